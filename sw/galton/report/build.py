"""A report's facts from a compiled network and its verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from galton.compiler import CompiledNetwork
from galton.network import Ints, Network
from galton.report.facts import Comparison, Facts, Point
from galton.report.measure import measure, memory_facts
from galton.roofline import LayerCycles, advice

TRACED = 100
"""Inputs in the histograms of hits."""


class Checked(Protocol):
    """What a simulation gave (galton.cli.verification.Verified)."""

    @property
    def cycles(self) -> list[int]:
        """Of each inference."""

    @property
    def mismatches(self) -> int:
        """Inferences that differ from the golden model."""

    @property
    def layers(self) -> list[LayerCycles]:
        """Where the cycles went."""

    def means(self) -> list[dict[str, float]]:
        """For each layer, the mean of every counter."""


def build(
    network: Network,
    compiled: CompiledNetwork,
    checked: Checked,
    raw: Ints,
    *,
    title: str,
    clock: tuple[float, str],
    notes: Sequence[str] = (),
    comparison: Comparison | None = None,
    curve: Sequence[Point] = (),
    chosen_k: float | None = None,
) -> Facts:
    """Facts of `network` as given to the compiler, simulated on raw inputs (n, rows, columns, channels).

    clock: Hz, and where the number comes from.
    """
    config = compiled.config
    hertz, source = clock
    return Facts(
        title=title,
        configuration=config.name,
        digest=f"{config.digest:08x}",
        clock=hertz,
        clock_source=source,
        layers=measure(network, compiled, raw[:TRACED], checked.means(), checked.layers),
        memories=memory_facts(compiled),
        cycles=float(np.mean(checked.cycles)),
        inferences=len(checked.cycles),
        mismatches=checked.mismatches,
        comparison=comparison,
        curve=list(curve),
        chosen_k=chosen_k,
        notes=list(notes),
        advice=advice(checked.layers, config),
    )
