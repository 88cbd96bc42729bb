"""Where a layer's cycles go: the part that bounds it, what keeps it from its bound, and what would help.

A layer cannot take fewer cycles than each part of the machine needs for it: the busiest group for its entries, the scan for its
activations, the drain for its accumulators. The largest of these demands is its bound. The rest is lost, for a cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from galton.config import Config
from galton.cycles import Model, Profile, setup

PARTS = {"entries": "walking entries", "scan": "scanning activations", "drain": "draining sums"}
"""What a demand is on, in words."""
LOSSES = {
    "drain_stalls": "walker waits for the drain's fetches",
    "fifo_stalls": "scan waits for the walkers",
    "ring_stalls": "scan waits for the drain",
    "gaps": "start, end and imbalance",
    "setup": "setup: records and constants",
}
"""Causes of cycles beyond the bound, in words."""
CAUSES = {**PARTS, **LOSSES}
STALLS = ("fifo_stalls", "ring_stalls", "drain_stalls")
"""Fields of format.PROFILE."""
TOP = 3
"""Layers that are named."""


@dataclass(frozen=True)
class LayerCycles:
    """A layer's cycles, means over inferences.

    demands: least possible cycles in each of PARTS; bound: the mean of their maximum; setup: before it runs. stalls: fields of
    format.PROFILE: fifo_stalls, ring_stalls, drain_stalls (summed over groups). planes: entries of a vector.
    """

    name: str
    cycles: float
    setup: float
    bound: float
    demands: Mapping[str, float]
    stalls: Mapping[str, float]
    groups: int = 1
    planes: int = 1

    @property
    def limit(self) -> str:
        """The part with the largest demand."""
        return max(self.demands, key=lambda part: self.demands[part])

    @property
    def shares(self) -> dict[str, float]:
        """Cycles by cause, which add up to `cycles`: the bound under the name of its part, then what was lost.

        Stalls count as far as they touch the part that limits: those of the scan where it does, those of a mean group's walker
        where entries do. What no counter explains are gaps.
        """
        left = self.cycles - self.setup - self.bound
        found = {self.limit: self.bound}
        stalls = {
            "entries": {"drain_stalls": self.stalls["drain_stalls"] / self.groups},
            "scan": {name: self.stalls[name] for name in ("ring_stalls", "fifo_stalls")},
            "drain": {},
        }[self.limit]
        for name, value in stalls.items():
            found[name] = min(value, left)
            left -= found[name]
        return {**found, "gaps": left, "setup": self.setup}

    @property
    def utilisation(self) -> float:
        """Bound over cycles, 0..1."""
        return self.bound / self.cycles if self.cycles else 0.0


def measured(model: Model, profiles: Sequence[Sequence[Profile]]) -> list[LayerCycles]:
    """Every layer of a model's image, from its demands and from counters [input][layer], its own or the hardware's."""
    demands = model.demands()
    found = []
    for index, (plan, trace) in enumerate(model.layers):
        needs, counters = [layers[index] for layers in demands], [layers[index] for layers in profiles]
        found.append(
            LayerCycles(
                name=trace.name,
                cycles=mean(counters, "cycles"),
                setup=float(setup(plan.parsed, plan.config)),
                bound=float(np.mean([max(need.values()) for need in needs])),
                demands={part: mean(needs, part) for part in PARTS},
                stalls={name: mean(counters, name) for name in STALLS},
                groups=plan.config.groups,
                planes=plan.parsed.planes,
            )
        )
    return found


def mean(rows: Sequence[Mapping[str, int]], name: str) -> float:
    """The mean of one entry of the rows."""
    return float(np.mean([row[name] for row in rows]))


def totals(layers: Sequence[LayerCycles]) -> dict[str, float]:
    """Cycles of all layers by cause, the largest first."""
    found: dict[str, float] = {}
    for layer in layers:
        for cause, cycles in layer.shares.items():
            found[cause] = found.get(cause, 0.0) + cycles
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def advice(layers: Sequence[LayerCycles], config: Config) -> str:
    """What limits a network, and what would make it faster, in two or three sentences."""
    found = totals(layers)
    cycles = sum(found.values()) or 1.0
    first, *others = found
    second = max(others, key=lambda cause: found[cause], default=first)
    heaviest = sorted(layers, key=lambda layer: -layer.shares.get(first, 0.0))[:TOP]
    where = ", ".join(layer.name for layer in heaviest if layer.shares.get(first, 0.0) > 0)
    share = f"{100 * found[first] / cycles:.0f} % of the cycles"
    text = f"{share}: {CAUSES[first]}, most of them in {where}. {remedy(first, layers, config)}"
    if found[second] > 0.05 * cycles and second != first:
        text += f" Then {CAUSES[second]}, {100 * found[second] / cycles:.0f} %: {remedy(second, layers, config)}"
    return text


def remedy(cause: str, layers: Sequence[LayerCycles], config: Config) -> str:
    """What helps against a cause."""
    wide = [layer.name for layer in layers if layer.planes > 1]
    activations = "fewer non-zero activations (a larger dead_zone, a smaller k_activations)"
    lanes = f"{config.groups} x {config.lanes}"
    weights = ", fewer non-zero weights (a higher price, a smaller K)" if config.sparse else ""
    dense = "" if config.sparse else f" Zeros among weights gain nothing in {config.name}, whose columns are dense."
    narrow = f" Weights of two planes, in {', '.join(wide[:TOP])}, take two entries each." if wide else ""
    return {
        "entries": f"What helps: {activations}{weights}, or more than {lanes} lanes.{dense}{narrow}",
        "scan": "Zeros cost a slot each. What helps: fewer stored channels, a stride or pool earlier, or a configuration that "
        f"scans more than {config.scan_width} a cycle.",
        "drain": "Each output costs a slot. What helps: fewer output channels, a stride rather than a pool behind, or a "
        f"configuration that drains more than {config.drain_width} a cycle.",
        "drain_stalls": "Sums are fetched from the walkers' accumulators. What helps: fewer outputs for each input.",
        "fifo_stalls": f"Events come in bursts beyond {config.fifo_depth} places. What helps: a larger fifo_depth.",
        "ring_stalls": "The next row of sums has no room yet. What helps: more accumulator words.",
        "gaps": "Rows too short to keep every part busy. What helps: fewer, larger layers.",
        "setup": "Records of rows and channels are read for each layer. What helps: fewer layers or channels.",
    }[cause]
