"""What the default method is to reach, and whether it does: goals over cells of the bench, and speeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from galton.bench import markdown, presets, tables
from galton.bench.cells import SPARSE, Cell
from galton.bench.equal_work import Front
from galton.bench.scores import Difference, shown, unpack
from galton.bench.scoring import Row
from galton.quantizers import METHODS

METHOD = "galton"
POINT = 1.0
"""Percent."""
GOLDEN = 100
"""Inputs that the golden model runs for each method."""
COLUMNS = ("goal", "wanted", "measured", "met")
WORDS = {True: "yes", False: "**no**", None: "not measured"}


@dataclass(frozen=True)
class Outcome:
    """measured: in words, with the standard error; met: None where it could not be measured."""

    goal: str
    wanted: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class Goal:
    """What is wanted, in words, the cells that show it, and what judges their rows: words, and whether it is met."""

    name: str
    wanted: str
    cells: tuple[Cell, ...]
    judge: Callable[[Sequence[Row]], tuple[str, bool]]

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """From the rows of the cells, some of which may have failed."""
        failed = next((row["failure"] for row in rows if "failure" in row), None)
        if failed is not None and all("failure" in row for row in rows):
            return Outcome(self.name, self.wanted, failed, None)
        return Outcome(self.name, self.wanted, *self.judge(rows))


def goals(data: Path) -> list[Goal]:
    """Every goal over cells; `data` is the data folder."""
    entries = {entry.network: entry for entry in presets.COMPARE}

    def cell(network: str, **more: Any) -> Cell:
        entry = entries.get(network)
        known = {"calibration": 500 if entry is None else entry.calibration, "limit": 2000 if entry is None else entry.limit}
        return Cell(**{"network": network, "method": METHOD, "settings": {}, "data": str(data), **known, **more})

    def sweep(network: str) -> tuple[Cell, ...]:
        ladder = presets.ladder(entries[network].ladders, METHOD)
        return tuple(cell(network, settings=settings) for settings in ladder)

    found = [
        Goal(
            f"{network}, {kind}",
            f"at most {POINT:g} point below float at work {work:g}",
            sweep(network),
            partial(lost_at, column="effective", share=work, allowed=POINT),
        )
        for network, works in WORKS.items()
        for kind, work in zip(("realistic", "ambitious"), works, strict=True)
    ]
    found += [
        Goal(
            f"{network}, default setting",
            f"at most 0.5 points below float, at work {work:g} or less",
            (cell(network),),
            partial(lost, allowed=0.5, work=work),
        )
        for network, work in DEFAULT_WORK.items()
    ]
    found += [
        Goal("resnet8 on ic01, default setting", "at most 2 points below float", (cell("resnet8"),), partial(lost, allowed=2.0)),
        Goal(
            "lenet300100, weights",
            "at most 0.3 points below float at 20 % non-zero weights",
            sweep("lenet300100"),
            partial(lost_at, column="nonzero_weights", share=0.2, allowed=0.3),
        ),
        *(
            Goal(
                f"charlstm, 4 bits, {words}",
                "at most 0.02 nats per character below float",
                (cell("charlstm", settings=settings),),
                partial(lost, allowed=0.02),
            )
            for words, settings in (("default setting", {}), ("finest setting", presets.FINEST))
        ),
    ]
    for method, settings in UNFED.items():
        named = f"no data at all, weights only, {method}"
        work = tuple(cell(name, method=method, settings=settings, calibration=0) for name in ("kws", "resnet20"))
        found += [
            Goal(f"kws, {named}", "88.5 % or more", work[:1], partial(at_least, score=88.5)),
            Goal(f"resnet20, {named}", "at most 0.5 points below float", work[1:], partial(lost, allowed=0.5)),
        ]
    runs = [("lenet5", method) for method in METHODS] + [("vggsmall", METHOD)]
    return found + [
        Goal(
            f"{network}, {method} on the accelerator",
            f"the golden model gives torch's outputs and score on {GOLDEN} inputs",
            (cell(network, method=method, calibration=200, limit=GOLDEN, golden=GOLDEN, target=SPARSE.name),),
            same_on_golden,
        )
        for network, method in runs
    ]


WORKS = {"kws": (0.27, 0.23), "resnet8_training": (0.35, 0.29), "resnet20": (0.15, 0.13), "vggsmall": (0.18, 0.14)}
"""Effective work at which one point may be lost: the realistic goal, then the ambitious one."""
DEFAULT_WORK = {"resnet20": 0.22, "vggsmall": 0.26, "kws": 0.35}
"""Effective work of the default setting, at which half a point may be lost."""
UNFED: dict[str, dict[str, Any]] = {
    "gptq": {"activations": "float"},
    METHOD: {"activations": "float", "extra": {"price": 0.0}},
}
"""Methods that need no data, with the settings for that."""


def lost_at(rows: Sequence[Row], column: str, share: float, allowed: float) -> tuple[str, bool]:
    """The difference from float of the front at a share of work or weights, and where `allowed` is lost."""
    front = Front.of(rows, column)
    unit, floats = front.rows[0]["unit"], unpack(front.rows[0]["float_scores"])
    reached = front.at(share)
    least = front.cost_of(float(floats.mean()) - allowed)
    where = "nowhere" if least is None else f"at {least:.3f}"
    if reached is None:
        return f"no setting so low: from {front.costs[0]:.3f} on; {allowed:g} lost {where}", False
    found = Difference.of(reached - floats)
    words = markdown.error(found.mean, found.error, unit)
    return f"{words}; {allowed:g} lost {where}", found.mean >= -allowed


def lost(rows: Sequence[Row], allowed: float, work: float = 1.0) -> tuple[str, bool]:
    """The difference from float of one cell, and its work."""
    (row,) = rows
    words = markdown.error(row["difference"], row["standard_error"], row["unit"])
    return f"{words} at work {row['effective']:.3f}", row["difference"] >= -allowed and row["effective"] <= work


def at_least(rows: Sequence[Row], score: float) -> tuple[str, bool]:
    """The score of one cell, with the difference from float."""
    (row,) = rows
    words = markdown.error(row["difference"], row["standard_error"], row["unit"])
    return f"{shown(row['score'], row['unit'])} {row['unit']} ({words})", row["score"] >= score


def same_on_golden(rows: Sequence[Row]) -> tuple[str, bool]:
    """What the golden model makes of the image, beside torch."""
    (row,) = rows
    if "golden_score" not in row:
        return str(row.get("image_failure", "it was not run")), False
    on_golden, in_torch = row["golden_score"], row["golden_torch_score"]
    words = f"{row['golden_agrees']} of {row['golden_tested']} equal; {shown(on_golden, row['unit'])} and"
    same = row["golden_agrees"] == row["golden_tested"] and on_golden == in_torch
    return f"{words} {shown(in_torch, row['unit'])} {row['unit']}", same


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """targets.csv and targets.md in `folder`."""
    lines = [(one.goal, one.wanted, one.measured, WORDS[one.met]) for one in outcomes]
    table, text = folder / "targets.csv", folder / "targets.md"
    tables.write_csv(table, COLUMNS, [dict(zip(COLUMNS, (*line[:3], line[3].strip("*")), strict=True)) for line in lines])
    text.write_text(markdown.table(COLUMNS, lines))
    return [table, text]
