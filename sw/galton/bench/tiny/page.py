"""The tables as one HTML file that needs nothing else, with where the cycles of each network go."""

from __future__ import annotations

from importlib.metadata import version

from galton.bench.scores import shown
from galton.bench.scoring import Row
from galton.bench.tiny.references import NAMES
from galton.bench.tiny.summary import correlation, failures, first, heading, number, verdict
from galton.pages import template
from galton.roofline import LayerCycles


def render(value: Row) -> str:
    """The page of a result (galton.bench.tiny.summary.result); equal results give equal text."""
    return template("galton.bench.tiny").render(
        value=value,
        version=version("galton"),
        names=NAMES,
        shown=shown,
        heading=heading,
        first=first,
        failures=failures,
        correlation=correlation,
        number=number,
        verdict=verdict,
        timings=lambda row: [LayerCycles(**layer) for layer in row["layers"]],
        best=lambda table: best(table["rows"]),
    )


def best(rows: list[Row]) -> dict[str, float | None]:
    """The quoted latency of each task on a configuration, with input and output; None where it does not fit."""
    found = {row["task"]: row["total"] for row in rows if row["variant"] == "quoted" and "failure" not in row}
    return {name: found.get(name) for name in NAMES}
