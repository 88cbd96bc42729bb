"""From an integer network to a memory image: padding, balance, certificates, placement, fit, packing.

Sources: 2-D geometry and entries as in docs/architecture.md; longest-processing-time balance after Graham (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from galton.compiler.balance import Stored, store
from galton.compiler.certify import Certificate, certify
from galton.compiler.compiled import CompiledNetwork, Quantized
from galton.compiler.fit import MemoryUse, check_memories, check_weights, memory_use
from galton.compiler.geometry import Geometry
from galton.compiler.pack import Columns, entry_words, table_words
from galton.compiler.pixels import Walked, choose
from galton.compiler.place import place
from galton.compiler.program import assemble
from galton.config import CONFIGS, Config, named
from galton.errors import AccumulatorOverflow, FitError, UnsupportedLayer
from galton.image import Image, Words
from galton.network import Network

Rates = Sequence[NDArray[np.float64]]


def compile(
    quantized: Quantized | Network,
    target: str | Config,
    *,
    profile: bool = True,
    rates: Rates | None = None,
    reorder: bool = False,
) -> CompiledNetwork:
    """The network as a memory image for `target`.

    Parameters
    ----------
    quantized: what `galton.quantize` returns, or its `network`.
    target: a board, a configuration, or the name of either.
    profile: reserve room for the counters of each layer, which the core then writes behind the program.
    rates: for each layer, events per input channel and inference, to balance sparse groups by.
    reorder: also permute channels in front of Monte Carlo layers. Outputs then follow the compiled network's walk order and no
        longer equal those of the network that was given.

    Raises FitError, AccumulatorOverflow, UnsupportedLayer for a module that the accelerator cannot run, and ValueError for an
    unknown target.
    """
    network = quantized if isinstance(quantized, Network) else getattr(quantized, "network", None)
    reason = getattr(quantized, "reason", None)
    if network is None and isinstance(reason, str):
        raise UnsupportedLayer(f"This network is quantized, but not for the accelerator. {reason}")
    if not isinstance(network, Network):
        raise TypeError(
            f"compile takes a quantized module or a Network, not {type(quantized).__name__}: call galton.quantize first"
        )
    config = target if isinstance(target, Config) else named(target)
    try:
        return _compile(network, config, profile, rates, reorder)
    except FitError as error:
        raise FitError(f"{error}\n{_way_out(network, config, profile)}") from error


def _compile(network: Network, config: Config, profile: bool, rates: Rates | None, reorder: bool) -> CompiledNetwork:
    """The network on one configuration, or a FitError without advice."""
    check_weights(network, config)
    stored = store(network, config, rates, reorder=reorder)
    certificates = certify(stored.network, config)
    plain = [Geometry(layer, config) for layer in stored.network.layers]
    layers = choose(stored.network.layers, config, config.data_words - place(stored.network, plain, profile=profile).needed)
    geometries, packed = [layer.geometry for layer in layers], [layer.packed for layer in layers]
    placement = place(stored.network, geometries, profile=profile)
    memory = memory_use(stored.network, geometries, packed, placement, config)
    check_memories(memory, placement, config)
    chunks, table, bases = _joined(geometries, packed, config)
    words = assemble(stored.network, geometries, bases, placement)
    image = Image(config, _meta(network, stored, layers, certificates), words, chunks, table)
    return CompiledNetwork(config, stored.network, image, certificates, memory)


def _joined(
    geometries: list[Geometry], packed: list[tuple[Columns, ...]], config: Config
) -> tuple[tuple[Words, ...], tuple[Words, ...], list[dict[int, int]]]:
    """Each group's weights and table, and the address of each layer's row phases, layer behind layer."""
    chunks: list[list[Words]] = [[np.zeros((0, config.entry_chunks), np.uint32)] for _ in range(config.groups)]
    tables: list[list[Words]] = [[np.zeros(0, np.uint32)] for _ in range(config.groups)]
    stored, base = [0] * config.groups, 0
    bases = []
    for geometry, groups in zip(geometries, packed, strict=True):
        bases.append({phase: base + place for phase, place in groups[0].bases.items()})
        for group, part in enumerate(groups):
            chunks[group].append(entry_words(part.lanes, part.steps, config))
            if part.segments is not None:
                occupied = part.segments[:, 1:] > 0
                tables[group].append(table_words(part.segments + occupied * [stored[group], 0], geometry.layer.name))
            stored[group] += len(part.lanes)
        base += len(groups[0].lanes if groups[0].segments is None else groups[0].segments)
    return tuple(map(np.concatenate, chunks)), tuple(map(np.concatenate, tables)), bases


def _meta(network: Network, stored: Stored, walked: list[Walked], certificates: tuple[Certificate, ...]) -> dict[str, object]:
    """META of the image; shapes are those of the network as given."""
    last = network.layers[-1]
    return {
        "network": network.name,
        "input": {
            "shape": list(network.input_shape),
            "scale": float(network.input_scale),
            "low": network.input_low,
            "high": network.input_high,
        },
        "output": {
            "shape": list(last.output_shape),
            "scale": float(last.scale),
            "low": last.low,
            "high": last.high,
            "order": stored.places,
        },
        "layers": [
            {
                "name": layer.name,
                "input_shape": list(layer.input_shape),
                "output_shape": list(layer.output_shape),
                "stored_channels": len(padded.weights),
                "pixels": way.pixels,
                "certificate": {key: value for key, value in asdict(certificate).items() if key != "layer"},
            }
            for layer, padded, way, certificate in zip(network.layers, stored.network.layers, walked, certificates, strict=True)
        ],
        "labels": network.labels,
    }


def _way_out(network: Network, config: Config, profile: bool) -> str:
    """What was tried and would fit: narrower weights here, and other configurations."""
    narrow = replace(
        network,
        layers=tuple(
            replace(layer, weights=np.clip(layer.weights, -config.weight_limit, config.weight_limit)) for layer in network.layers
        ),
    )
    ways = []
    if any((old.weights != new.weights).any() for old, new in zip(network.layers, narrow.layers, strict=True)) and _fits(
        narrow, config, profile
    ):
        ways.append(f"weights within -{config.weight_limit}..{config.weight_limit} in every layer")
    others = [other.name for other in CONFIGS.values() if other.digest != config.digest and _fits(network, other, profile)]
    ways += [f"configuration {name}" for name in others]
    if ways:
        return f"Tried, and it fits with {' or with '.join(ways)}."
    return "Tried: neither narrower weights nor any other named configuration makes it fit."


def _fits(network: Network, config: Config, profile: bool) -> bool:
    """Whether the network compiles for `config`."""
    try:
        _compile(network, config, profile, None, False)
    except (FitError, AccumulatorOverflow):
        return False
    return True


__all__ = ["Certificate", "CompiledNetwork", "MemoryUse", "compile"]
