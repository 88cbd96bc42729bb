"""From an integer network to a memory image: padding, balance, certificates, placement, fit, packing.

Sources: 2-D geometry and entries as in docs/architecture.md; longest-processing-time balance after Graham (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from galton.compiler.advice import Case, told, ways_out
from galton.compiler.balance import Stored, store
from galton.compiler.certify import Certificate, certify
from galton.compiler.compiled import CompiledNetwork, Quantized
from galton.compiler.fit import DryRun, MemoryUse, check_memories, check_weights, memory_use
from galton.compiler.geometry import Geometry
from galton.compiler.pack import Columns, entry_words, table_words
from galton.compiler.pixels import Walked, choose
from galton.compiler.place import Placement, place
from galton.compiler.program import assemble
from galton.config import Config, named
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
    unknown target or rates of other shapes.
    """
    case = _case(quantized, target, profile)
    try:
        return _compile(case, rates, reorder)
    except FitError as error:
        raise FitError(f"{error}\n{told(ways_out(case, _memory(case), _fits))}") from error


def dry_run(quantized: Quantized | Network, target: str | Config, *, profile: bool = True) -> DryRun:
    """Whether the network fits `target`, what it takes of every memory, and if it does not fit, what would make it fit.

    Parameters and what is raised are those of `compile`, but for FitError and AccumulatorOverflow.
    """
    case = _case(quantized, target, profile)
    memory = _memory(case)
    try:
        _compile(case)
    except (FitError, AccumulatorOverflow) as error:
        return DryRun(case.network.name, case.config, memory, str(error), ways_out(case, memory, _fits))
    return DryRun(case.network.name, case.config, memory, "", ())


def _case(quantized: Quantized | Network, target: str | Config, profile: bool) -> Case:
    """What is to be compiled; raises as `compile` does for what is none of that."""
    network = quantized if isinstance(quantized, Network) else getattr(quantized, "network", None)
    reason = getattr(quantized, "reason", None)
    if network is None and isinstance(reason, str):
        raise UnsupportedLayer(f"This network is quantized, but not for the accelerator. {reason}")
    if not isinstance(network, Network):
        raise TypeError(
            f"compile takes a quantized module or a Network, not {type(quantized).__name__}: call galton.quantize first"
        )
    return Case(network, target if isinstance(target, Config) else named(target), profile)


@dataclass(frozen=True)
class _Plan:
    """A network as it would be packed, whether or not that fits."""

    stored: Stored
    certificates: tuple[Certificate, ...]
    layers: list[Walked]
    placement: Placement
    memory: tuple[MemoryUse, ...]


def _plan(case: Case, rates: Rates | None = None, reorder: bool = False) -> _Plan:
    """Raises FitError where there is no way to store the network at all, and AccumulatorOverflow."""
    config = case.config
    check_weights(case.network, config)
    stored = store(case.network, config, rates, reorder=reorder)
    certificates = certify(stored.network, config)
    plain = [Geometry(layer, config) for layer in stored.network.layers]
    needed = place(stored.network, plain, profile=case.profile).needed
    layers = choose(stored.network.layers, config, config.data_words - needed)
    geometries = [layer.geometry for layer in layers]
    placement = place(stored.network, geometries, profile=case.profile)
    memory = memory_use(stored.network, geometries, [layer.packed for layer in layers], placement, config)
    return _Plan(stored, certificates, layers, placement, memory)


def _compile(case: Case, rates: Rates | None = None, reorder: bool = False) -> CompiledNetwork:
    """The compiled network, or a FitError without advice."""
    plan, config = _plan(case, rates, reorder), case.config
    check_memories(plan.memory, plan.placement, config)
    geometries = [layer.geometry for layer in plan.layers]
    chunks, table, bases = _joined(geometries, [layer.packed for layer in plan.layers], config)
    words = assemble(plan.stored.network, geometries, bases, plan.placement)
    image = Image(config, _meta(case.network, plan.stored, plan.layers, plan.certificates), words, chunks, table)
    return CompiledNetwork(config, plan.stored.network, image, plan.certificates, plan.memory)


def _memory(case: Case) -> tuple[MemoryUse, ...]:
    """What the network takes; () where that is not known."""
    try:
        return _plan(case).memory
    except (FitError, AccumulatorOverflow):
        return ()


def _fits(case: Case) -> bool:
    """Whether it compiles."""
    try:
        _compile(case)
    except (FitError, AccumulatorOverflow):
        return False
    return True


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


__all__ = ["Certificate", "CompiledNetwork", "DryRun", "MemoryUse", "compile", "dry_run"]
