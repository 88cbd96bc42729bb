"""What a report shows: plain values, so that the page depends on no other part of the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.roofline import LayerCycles

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """Accuracy of a network and its quantized counterpart on the same `count` samples, all in percent.

    difference is quantized less float; error its paired standard error.
    """

    count: int
    float_accuracy: float
    quantized_accuracy: float
    difference: float
    error: float

    @staticmethod
    def of(float_right: Bools, quantized_right: Bools) -> Comparison:
        """From which samples each of the two got right, both (n,) with n at least 1."""
        count = len(float_right)
        gain = quantized_right.astype(float) - float_right.astype(float)
        error = 100 * float(gain.std(ddof=1)) / sqrt(count) if count > 1 else 0.0
        accuracies = 100 * float(float_right.mean()), 100 * float(quantized_right.mean())
        return Comparison(count, *accuracies, 100 * float(gain.mean()), error)


@dataclass(frozen=True)
class Point:
    """One place on the curve of accuracy against K. cut: weights that were too large for their bits."""

    k: float
    comparison: Comparison
    nonzero_weights: float
    nonzero_counts: float
    cut: int


@dataclass(frozen=True)
class MemoryFacts:
    """One memory of the core: bytes used and bytes there are."""

    name: str
    used: int
    available: int

    @property
    def share(self) -> float:
        """Used of available, 0..1."""
        return self.used / self.available if self.available else 0.0


@dataclass(frozen=True)
class LayerFacts:
    """One layer, averaged over inferences where it says mean.

    bits: of a weight with its sign; weight_hits, count_hits: how many weights, and how many counts of all samples, have
    magnitude 0, 1, 2, ...; operations: dense multiply-accumulates; work: those with both operands non-zero, mean;
    timing: where the cycles went; events, entries: means of PROFILE; certificate: bound, width, margin.
    """

    name: str
    shape: str
    bits: int
    nonzero_weights: float
    nonzero_counts: float
    weight_hits: list[int]
    count_hits: list[int]
    operations: int
    work: float
    timing: LayerCycles
    events: float
    entries: float
    certificate: dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """Everything on the page. clock is in Hz; inferences were simulated, mismatches of them differ from the golden model."""

    title: str
    configuration: str
    digest: str
    clock: float
    clock_source: str
    layers: list[LayerFacts]
    memories: list[MemoryFacts]
    cycles: float
    inferences: int
    mismatches: int
    comparison: Comparison | None = None
    curve: list[Point] = field(default_factory=list)
    chosen_k: float | None = None
    notes: list[str] = field(default_factory=list)
    advice: str = ""

    @property
    def latency(self) -> float:
        """Seconds of an inference at the clock."""
        return self.cycles / self.clock

    @property
    def utilisation(self) -> float:
        """The layers' bounds over all cycles, 0..1."""
        return sum(layer.timing.bound for layer in self.layers) / self.cycles if self.cycles else 0.0
