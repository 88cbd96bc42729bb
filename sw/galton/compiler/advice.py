"""What would make a network fit: changes that were tried, the smallest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from galton.compiler.fit import MemoryUse
from galton.config import BOARDS, CONFIGS, Config
from galton.network import Ints, Layer, Network

STEPS = 6
"""Halvings in the search for the fewest weights to leave out: to 1/64 of them."""
NAMED_LAYERS = 3
"""Layers that are named one by one."""
DEPTHS = {
    "weights": "weight_words",
    "table": "table_words",
    "data": "data_words",
    "accumulators": "accumulator_words",
    "rows": "rows",
    "channels": "channels",
}
"""The parameter of a configuration behind each memory."""


@dataclass(frozen=True)
class Case:
    """What is to be compiled. profile: with room for the counters of each layer."""

    network: Network
    config: Config
    profile: bool


Fits = Callable[[Case], bool]


def ways_out(case: Case, memory: Sequence[MemoryUse], fits: Fits) -> tuple[str, ...]:
    """In words every change that was tried and fits, the smallest first; () where none of them does.

    memory: what the network takes, () where that is not known. Tried are: no counters, fewer weights where empty entries are left
    out, narrower weights in as few layers as will do, the other named configurations, and where none of these fits, this
    configuration with larger memories.
    """
    short = {use.name for use in memory if use.used > use.available}
    ways = []
    if case.profile and short == {"data"} and fits(replace(case, profile=False)):
        ways.append("no counters of each layer (--no-profile, profile=False)")
    if case.config.sparse and short and short <= {"weights", "table"}:
        ways += fewer_weights(case, fits)
    if not memory or short == {"weights"}:
        ways += narrower_weights(case, fits)
    for config in CONFIGS.values():
        if config.digest != case.config.digest and fits(replace(case, config=config)):
            boards = [board for board, name in BOARDS.items() if name == config.name]
            ways.append(f"configuration {config.name}" + f" (boards {', '.join(boards)})" * bool(boards))
    return tuple(ways or larger(case, memory, fits))


def fewer_weights(case: Case, fits: Fits) -> list[str]:
    """The smallest weights left out, as few as will do."""
    network = case.network
    magnitudes = np.concatenate([np.abs(layer.weights).ravel() for layer in network.layers])
    order = np.argsort(magnitudes, kind="stable")[np.count_nonzero(magnitudes == 0) :]

    def without(part: int) -> Case:
        kept = np.ones(len(magnitudes), bool)
        kept[order[: -(-part * len(order) // (1 << STEPS))]] = False
        ends = np.cumsum([layer.weights.size for layer in network.layers])[:-1]
        parts = np.split(kept, ends)
        changed = [layer.weights * part.reshape(layer.weights.shape) for layer, part in zip(network.layers, parts, strict=True)]
        return replace(case, network=_with_weights(network, changed))

    low, high = 0, 1 << STEPS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(without(middle)) else (middle, high)
    if high == 1 << STEPS:
        return []
    return [
        f"{100 * high / (1 << STEPS):.0f} % of the non-zero weights left out, the smallest first (a smaller K, a higher price)"
    ]


def narrower_weights(case: Case, fits: Fits) -> list[str]:
    """Weights that one plane holds, or else that two hold, in as few layers as will do."""
    layers, config = case.network.layers, case.config
    for limit in sorted({config.weight_limit, config.wide_weight_limit}, reverse=True):
        wide = [index for index, layer in enumerate(layers) if np.abs(layer.weights).max() > limit]
        # Those with most weights save most.
        wide.sort(key=lambda index: -layers[index].weights.size)
        low, high = 0, len(wide)
        if not wide or not fits(_clipped(case, wide, limit)):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(_clipped(case, wide[:middle], limit)) else (middle, high)
        names = list(compress((layer.name for layer in layers), (index in wide[:high] for index in range(len(layers)))))
        where = ", ".join(names) if len(names) <= NAMED_LAYERS else f"the {len(names)} layers with most weights"
        return [f"weights within -{limit}..{limit} in {'every layer' if len(names) == len(layers) else where}"]
    return []


def larger(case: Case, memory: Sequence[MemoryUse], fits: Fits) -> list[str]:
    """The configuration with memories as large as the network needs, if there can be one."""
    depths = {DEPTHS[use.name]: use.used for use in memory if use.used > use.available}
    try:
        config = replace(case.config, name="larger", **depths)
    except ValueError:
        return []
    if not depths or not fits(replace(case, config=config)):
        return []
    return [f"a configuration like {case.config.name} with {', '.join(f'{name}={depth}' for name, depth in depths.items())}"]


def told(ways: Sequence[str]) -> str:
    """The ways out as a sentence."""
    if not ways:
        return "Tried: neither narrower weights nor any other named configuration makes it fit."
    return f"Tried, and it fits with {', or with '.join(ways)}."


def _clipped(case: Case, chosen: Sequence[int], limit: int) -> Case:
    """The case with the weights of some layers within the limit."""
    layers = enumerate(case.network.layers)
    changed = [np.clip(layer.weights, -limit, limit) if index in chosen else layer.weights for index, layer in layers]
    return replace(case, network=_with_weights(case.network, changed))


def _with_weights(network: Network, weights: Sequence[Ints]) -> Network:
    """The network with other weights."""
    layers: tuple[Layer, ...] = tuple(
        replace(layer, weights=changed) for layer, changed in zip(network.layers, weights, strict=True)
    )
    return replace(network, layers=layers)
