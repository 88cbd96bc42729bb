"""Whether a network fits a configuration's memories: how much of each it takes, layer by layer, and a refusal that helps."""

from __future__ import annotations

from dataclasses import dataclass

from galton.compiler.geometry import Geometry
from galton.compiler.pack import Columns
from galton.compiler.place import Placement
from galton.compiler.program import ring
from galton.config import Config
from galton.errors import FitError
from galton.network import Network


@dataclass(frozen=True)
class MemoryUse:
    """One memory of the core.

    used, available: in `unit`s, per group where there is one memory per group. layers: what each layer takes of it; layers add up
    where `shared`, else the largest counts.
    """

    name: str
    unit: str
    used: int
    available: int
    layers: tuple[tuple[str, int], ...]
    shared: bool

    @property
    def largest(self) -> tuple[str, int]:
        """The layer that takes most, and how much."""
        return max(self.layers, key=lambda layer: layer[1])

    def __str__(self) -> str:
        name, amount = self.largest
        return f"{self.name}: {self.used} of {self.available} {self.unit}; most for {name}: {amount}"


@dataclass(frozen=True)
class DryRun:
    """What `dry_run` finds.

    memory: () where the network cannot be stored at all. problem: what does not fit, "" where all does. ways: changes that were
    tried and make it fit, the smallest first.
    """

    network: str
    config: Config
    memory: tuple[MemoryUse, ...]
    problem: str
    ways: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether `compile` would give an image."""
        return not self.problem


def memory_use(
    network: Network, geometries: list[Geometry], packed: list[tuple[Columns, ...]], placement: Placement, config: Config
) -> tuple[MemoryUse, ...]:
    """What a stored network takes of every memory."""
    names = [layer.name for layer in network.layers]

    def use(name: str, unit: str, amounts: list[int], available: int, *, shared: bool, used: int | None = None) -> MemoryUse:
        total = used if used is not None else (sum if shared else max)(amounts)
        return MemoryUse(name, unit, total, available, tuple(zip(names, amounts, strict=True)), shared)

    entries = [[len(columns.lanes) for columns in layer] for layer in packed]
    fullest = max(sum(layer[group] for layer in entries) for group in range(config.groups))
    tensors = [placement.taken(network, index) for index in range(len(names))]
    rings = [max(ring(geometry), geometry.least_ring_rows) * geometry.row_words for geometry in geometries]
    uses = [
        use("weights", "entries", [max(layer) for layer in entries], config.weight_words, shared=True, used=fullest),
        use("data", "words", tensors, config.data_words, shared=False, used=placement.needed),
        use("accumulators", "words", rings, config.accumulator_words, shared=False),
        use("rows", "rows", [layer.input_shape[0] + 1 for layer in network.layers], config.rows, shared=False),
        use("channels", "channels", [len(geometry.layer.weights) for geometry in geometries], config.channels, shared=False),
    ]
    if config.sparse:
        segments = [0 if columns[0].segments is None else len(columns[0].segments) for columns in packed]
        uses.insert(1, use("table", "segments", segments, config.table_words, shared=True))
    return tuple(uses)


REMEDIES = {
    "weights": "fewer channels, or a smaller K where empty entries are left out",
    "table": "fewer input channels or smaller kernels",
    "data": "a smaller input, or a stride or max-pool earlier in the network",
    "accumulators": "narrower maps, fewer output channels, or kernels of fewer rows",
    "rows": "an input of fewer rows",
    "channels": "fewer output channels",
}


def check_memories(uses: tuple[MemoryUse, ...], placement: Placement, config: Config) -> None:
    """Raises FitError naming every memory that is too small, by how much, the layer that takes most, and what would help."""
    lines = []
    for memory in uses:
        if memory.used <= memory.available:
            continue
        name, amount = memory.largest
        line = (
            f"the {memory.name} memory holds {memory.available} {memory.unit}{_each(memory, config)}, "
            f"the network needs {memory.used}, {memory.used - memory.available} too many; {name} takes {amount}"
        )
        if memory.name == "data":
            line += f" with the tensors that are alive then, {placement.fixed} go to the program and its counters"
        lines.append(f"{line}. What would help: {REMEDIES[memory.name]}")
    if lines:
        raise FitError(f"The network does not fit {config.name}: " + "\n  ".join(lines))


def check_weights(network: Network, config: Config) -> None:
    """Raises FitError for a layer with a weight that no number of planes of the configuration holds."""
    for layer in network.layers:
        largest, limit = int(abs(layer.weights).max()), config.wide_weight_limit
        if largest > limit:
            raise FitError(
                f"{layer.name} has weights up to {largest}; {config.name} holds up to {limit} with {config.weight_bits} bits "
                f"and {config.planes} plane{'s' if config.planes > 1 else ''}. What would help: narrower weights (a larger step)"
            )


def _each(memory: MemoryUse, config: Config) -> str:
    """Says that a memory is one of several."""
    return " in each group" if config.groups > 1 and memory.name in ("weights", "table", "accumulators") else ""
