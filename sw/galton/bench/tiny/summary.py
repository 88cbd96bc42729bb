"""Rows of trials and of the machine put together: a table for each configuration, as JSON values and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from galton.bench import markdown
from galton.bench.scores import shown
from galton.bench.scoring import Row
from galton.bench.tiny.references import NAMES, goal, references
from galton.bench.tiny.tasks import Task

NOTE = (
    "Unofficial MLPerf Tiny results: not submitted, not reviewed, and the closed division forbids discarding weights. Float "
    "weights are the published ones, without retraining. Cycles are those of the cycle model, which the simulated Verilog equals."
)
SCORES = (
    "metric",
    "unit",
    "tested",
    "folds",
    "float_score",
    "score",
    "difference",
    "standard_error",
    "output_error",
    "correlation",
)
SIZES = (
    "weight_bits", "weight_bits_signed", "activation_bits", "activation_bits_signed", "nonzero_weights", "nonzero_activations",
    "effective", "seconds",
)  # fmt: skip
MACHINE = (
    "image_bytes", "file_bytes", "memories", "inputs", "agrees", "cycles", "fewest", "most", "transfers", "bound", "utilisation",
    "layers", "advice",
)  # fmt: skip
COLUMNS = (
    "network", "float", "quantized", "difference", "bits w, a", "used w, a", "work", "image bytes", "cycles", "of bound",
    "latency", "with input and output", "goal",
)  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """Hz at which cycles are stated, where the number comes from, and whether place and route is known to reach it."""

    hertz: float
    source: str
    routed: bool


def row(task: Task, variant: str, settings: Mapping[str, Any], trial: Row, placed: Row | None, clock: Clock) -> Row:
    """Everything about a variant of a network on a configuration; `failure` where there is nothing to say.

    latency: milliseconds of the layers; total: with input and output, of an image without counters. goal: milliseconds, None
    for none; met: whether `total` is within it. Without a routed clock there is none.
    """
    found: Row = {"task": task.name, "network": task.network, "title": task.title, "variant": variant, "settings": dict(settings)}
    if "failure" in trial:
        return found | {"failure": trial["failure"]}
    found |= {name: trial[name] for name in (*SCORES, *SIZES)}
    if placed is None or "failure" in placed:
        return found | {"failure": placed["failure"] if placed else "it was not compiled"}
    found |= {name: placed[name] for name in MACHINE}
    found["latency"] = 1000 * placed["cycles"] / clock.hertz
    found["total"] = 1000 * (placed["cycles"] + placed["transfers"]) / clock.hertz
    found["goal"] = goal(placed["configuration"], task.name) if clock.routed else None
    found["met"] = None if found["goal"] is None else found["total"] <= found["goal"]
    return found


def result(tables: Mapping[str, tuple[Clock, Sequence[Row]]], verified: Sequence[Row]) -> Row:
    """The JSON values of all tables: for each configuration its clock and its rows.

    verified: what ran in Verilog (galton.cli.tiny_verification.measure), with `agrees`.
    """
    return {
        "note": NOTE,
        "configurations": [
            {"name": name, "hertz": clock.hertz, "clock_source": clock.source, "routed": clock.routed, "rows": list(rows)}
            for name, (clock, rows) in tables.items()
        ],
        "verified": list(verified),
        "references": [asdict(one) for one in references()],
    }


def text(value: Row) -> str:
    """The result in Markdown, as docs/benchmarks.md has it."""
    parts = [f"{value['note']}\n"]
    for table in value["configurations"]:
        fitting = [one for one in table["rows"] if "failure" not in one]
        parts.append(f"### {table['name']}, {table['hertz'] / 1e6:g} MHz\nThe clock is {table['clock_source']}.\n")
        if fitting:
            parts.append(markdown.table(COLUMNS, [cells(one) for one in fitting]))
        parts += [f"- {heading(one)}: {first(one['failure'])}" for one in failures(table["rows"])]
        parts.append("")
    if value["verified"]:
        parts += ["### Verilog against the models\n", *(f"- {verdict(line)}" for line in value["verified"]), ""]
    parts.append("### Published latencies, ms\n")
    lines = [[one["name"], *(number(one["milliseconds"][name]) for name in NAMES), one["source"]] for one in value["references"]]
    parts.append(markdown.table(("machine", *NAMES, "source"), lines))
    return "\n".join(parts)


def heading(one: Row) -> str:
    """A row's network and variant in words."""
    name = f"{one['task']}: {one['title']}" if one["task"] else str(one["title"])
    return name if one["variant"] == "quoted" else f"{name}, {one['variant']}"


def verdict(line: Row) -> str:
    """A line about a network in Verilog."""
    where = f"{line['network']} on {line['configuration']}"
    if "failure" in line:
        return f"{where}: {first(line['failure'])}"
    counts = [f"{line[name]} {name}" for name in ("mismatches", "mispredictions")]
    counts += [f"{line['late']} cycles unexplained"] if line["late"] else []
    return f"{where}: {', '.join(counts)} in {line['inputs']} inferences of {line['cycles']:,.0f} cycles"


def first(failure: str) -> str:
    """Why something does not fit, and what would make it, in one line."""
    return "; ".join(line.strip().rstrip(".") for line in failure.splitlines()) + "."


def failures(rows: Sequence[Row]) -> list[Row]:
    """What is not there, each network once for each reason."""
    return list({(one["network"], one["failure"]): one for one in reversed(rows) if "failure" in one}.values())[::-1]


def correlation(one: Row) -> str:
    """That of the anomaly score with the float network's, in words, where it is known."""
    return "" if one["correlation"] is None else f", r = {one['correlation']:.3f}"


def number(value: float | None) -> str:
    """Milliseconds with three digits, nothing for None."""
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def cells(one: Row) -> list[str]:
    """A row of a table; see COLUMNS."""
    unit = one["unit"]
    reached = "" if one["goal"] is None else f"{number(one['goal'])} ms, {'met' if one['met'] else '**missed**'}"
    return [
        heading(one),
        f"{shown(one['float_score'], unit)} {unit}",
        f"{shown(one['score'], unit)} {unit}" + correlation(one),
        f"{shown(one['difference'], unit, sign=True)} ± {shown(one['standard_error'], unit)}",
        f"{one['weight_bits_signed']:.1f}, {one['activation_bits']:.1f}",
        f"{100 * one['nonzero_weights']:.0f}, {100 * one['nonzero_activations']:.0f} %",
        f"{100 * one['effective']:.0f} %",
        f"{one['image_bytes']:,}",
        f"{one['cycles']:,.0f}",
        f"{1 / one['utilisation']:.2f}",
        f"{number(one['latency'])} ms",
        f"{number(one['total'])} ms",
        reached,
    ]
