"""The report's plots, as SVG text that can stand inside a page. Equal facts give equal text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from galton.report.facts import LayerFacts, Point

INK, MUTED, GRID = "#1f2933", "#6b7785", "#e4e8ec"
ACCENT, SECOND, THIRD, PALE = "#0f766e", "#d97706", "#6366f1", "#cbd5dc"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "galton",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "legend.frameon": False,
}
MOST_HITS = 12
"""Larger hits are counted together with this one."""


@contextmanager
def figure(width: float, height: float) -> Iterator[tuple[Figure, list[str]]]:
    """A figure of that many inches, and a list that holds its SVG text once the block ends."""
    result: list[str] = []
    with rc_context(STYLE):
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing, result
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    result.append(text[text.index("<svg") :])


def accuracy_against_k(points: list[Point], chosen: float | None) -> str:
    """Quantized accuracy with paired standard errors over K, float as a line."""
    with figure(7.6, 3.1) as (drawing, result):
        axes = drawing.add_subplot()
        baseline = points[0].comparison.float_accuracy
        ks = [point.k for point in points]
        axes.axhline(baseline, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=f"float, {baseline:.1f} %")
        accuracies = [point.comparison.quantized_accuracy for point in points]
        errors = [point.comparison.error for point in points]
        axes.errorbar(ks, accuracies, errors, color=ACCENT, marker="o", markersize=5, capsize=3, linewidth=1.6, label="quantized")
        for point in points:
            if point.k == chosen:
                place = (point.k, point.comparison.quantized_accuracy)
                axes.plot(*place, "o", markersize=11, markerfacecolor="none", color=SECOND, label="this network")
        axes.set_xscale("log", base=2)
        axes.set_xticks(ks, [f"{k:g}" for k in ks])
        axes.minorticks_off()
        axes.grid(axis="y")
        axes.set_xlabel("K: samples per weight and per activation")
        axes.set_ylabel("held-out accuracy, %")
        axes.legend(loc="lower right")
    return result[0]


def hits(layers: list[LayerFacts]) -> str:
    """Share of weights and of counts that have each number of hits, a row per layer."""
    with figure(7.6, 1.25 * len(layers) + 0.7) as (drawing, result):
        grid = drawing.subplots(len(layers), 2, squeeze=False, sharex=True, sharey="col")
        for row, layer in zip(grid, layers, strict=True):
            for axes, values, colour in zip(row, (layer.weight_hits, layer.count_hits), (ACCENT, THIRD), strict=True):
                shares = percentages(values)
                axes.bar(range(len(shares)), shares, width=0.82, color=[PALE, *[colour] * (len(shares) - 1)])
                axes.grid(axis="y")
                axes.set_xticks(range(0, MOST_HITS + 1, 2), [*map(str, range(0, MOST_HITS, 2)), f"≥{MOST_HITS}"])
            row[0].set_ylabel(f"{layer.name}\n%", color=INK)
        grid[0][0].set_title("weights")
        grid[0][1].set_title("activations")
        for axes in grid[-1]:
            axes.set_xlabel("hits (magnitude of the count)")
    return result[0]


def percentages(values: list[int]) -> list[float]:
    """A histogram in percent, everything from MOST_HITS on in one bar."""
    kept = [*values[:MOST_HITS], *[0] * (MOST_HITS - len(values)), sum(values[MOST_HITS:])]
    total = sum(values) or 1
    return [100 * value / total for value in kept]
