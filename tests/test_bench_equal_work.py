"""Methods at equal work, and goals: fronts, interpolation, verdicts, tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from galton.bench import equal_work, markdown, presets, targets
from galton.bench.cells import Cell, check
from galton.bench.equal_work import Front
from galton.bench.scores import pack
from galton.bench.scoring import Row
from galton.cli import main as program
from galton.quantizers import METHODS

DATA = Path(__file__).parents[2] / "shared" / "data"


def row(method: str, work: float, right: list[int], network: str = "toy", **more: object) -> Row:
    """A cell's row with so many right of ten; float has them all."""
    scores = 100 * np.array(right, float)
    return {
        "network": network, "method": method, "setting": f"work {work:g}", "settings": {"k_weights": work}, "effective": work,
        "score": scores.mean(), "scores": pack(scores), "float_scores": pack(np.full(len(right), 100.0)), "unit": "%",
        "float_score": 100.0, "difference": scores.mean() - 100, "standard_error": 1.0, "nonzero_weights": 2 * work,
        "seconds": 1.0, "key": f"{method}{work}", **more,
    }  # fmt: skip


FEW, HALF, MOST, ALL = [1] * 2 + [0] * 8, [1] * 5 + [0] * 5, [1] * 8 + [0] * 2, [1] * 10


def test_a_front_is_interpolated_sample_by_sample() -> None:
    failed = {"network": "toy", "method": "a", "failure": "no"}
    front = Front.of([row("a", 0.4, MOST), row("a", 0.2, HALF), row("a", 0.3, [0] * 10), failed])
    assert front.costs == (0.2, 0.4)
    assert front.at(0.1) is None
    assert front.at(0.2).tolist() == [100.0] * 5 + [0.0] * 5
    assert front.at(0.35) == pytest.approx([100] * 5 + [75] * 3 + [0] * 2)
    assert front.at(0.9).tolist() == [100.0] * 8 + [0.0] * 2
    assert [front.cost_of(score) for score in (40, 50, 65, 80, 81)] == [0.2, 0.2, pytest.approx(0.3), pytest.approx(0.4), None]


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        ([row("b", 0.4, FEW)], "better"),
        ([row("b", 0.4, MOST)], "tied"),
        ([row("b", 0.2, MOST)], "worse"),
        ([row("b", 0.2, MOST), row("b", 0.5, ALL)], "worse"),
        ([row("b", 0.1, ALL)], "not compared"),
        ([row("b", 0.2, [0] * 10), row("b", 0.4, ALL)], "mixed"),
    ],
)
def test_verdicts(theirs, verdict) -> None:
    ours = [row("a", 0.2, [1] * 4 + [0] * 6), row("a", 0.4, MOST)]
    if verdict == "mixed":
        ours = [row("a", 0.2, [1] * 4 + [0] * 6), row("a", 0.4, HALF)]
    (found,) = equal_work.contests([*ours, *theirs], "a")
    assert (found["peer"], found["verdict"]) == ("b", verdict)
    assert found["cheaper"] == (verdict == "not compared")


def test_a_contest_pairs_the_samples() -> None:
    ours, theirs = [1, 1, 1, 0, 0, 0, 1, 0, 1, 1], [1, 0, 1, 0, 1, 0, 1, 0, 0, 1]
    (found,) = equal_work.contests([row("a", 0.2, ours), row("b", 0.3, theirs)], "a")
    gains = 100 * (np.array(ours) - np.array(theirs))
    assert found["difference"] == pytest.approx(gains.mean())
    assert found["error"] == pytest.approx(gains.std(ddof=1) / 10**0.5)
    with pytest.raises(ValueError, match="10 and 3 samples cannot be paired"):
        equal_work.contests([row("a", 0.2, ours), row("b", 0.3, [1, 0, 1])], "a")


def test_the_tables_of_a_comparison(tmp_path) -> None:
    rows = [row("galton", 0.2, HALF), row("galton", 0.4, MOST), row("gptq", 0.4, FEW), row("mcq", 0.1, HALF)]
    table, text = equal_work.write(rows, tmp_path)
    with table.open() as file:
        assert [(line["peer"], line["work"], line["difference"]) for line in csv.DictReader(file)] == [("gptq", "0.4", "60.0")]
    lines = text.read_text().splitlines()
    assert lines[2].startswith("| toy | `gptq` | better | +60.00 ± 16.33 |")
    assert lines[3] == "| toy | `mcq` | not compared |  |  |  | 0 | 1 |"
    assert len(lines) == 2 + 2 + 1 + 2 + 4
    assert markdown.table(["a|b"], [["c"]]) == "| a\\|b |\n| --- |\n| c |\n"


def test_goals_are_judged_by_their_cells() -> None:
    rows = [row("galton", 0.2, HALF), row("galton", 0.4, MOST)]
    assert targets.lost_at(rows, "effective", 0.3, 40) == ("-35.00 ± 13.02; 40 lost at 0.267", True)
    assert targets.lost_at(rows, "effective", 0.3, 10) == ("-35.00 ± 13.02; 10 lost nowhere", False)
    assert targets.lost_at(rows, "nonzero_weights", 0.3, 50) == ("no setting so low: from 0.400 on; 50 lost at 0.400", False)
    assert targets.lost(rows[1:], 20) == ("-20.00 ± 1.00 at work 0.400", True)
    assert not targets.lost(rows[1:], 20, work=0.3)[1]
    assert targets.at_least(rows[1:], 81) == ("80.00 % (-20.00 ± 1.00)", False)
    ran = {"golden_agrees": 5, "golden_tested": 5, "golden_score": 80.0, "golden_torch_score": 80.0}
    assert targets.same_on_golden([{**rows[0], **ran}]) == ("5 of 5 equal; 80.00 and 80.00 %", True)
    assert not targets.same_on_golden([{**rows[0], **ran, "golden_agrees": 4}])[1]
    assert targets.same_on_golden([{**rows[0], "image_failure": "too large"}]) == ("too large", False)
    goal = targets.Goal("name", "wanted", (Cell("digits", "mcq"),), lambda rows: ("words", True))
    assert goal.outcome([{"failure": "GaltonError: no"}]) == targets.Outcome("name", "wanted", "GaltonError: no", None)


def test_goals_and_presets_ask_for_settings_that_there_are() -> None:
    goals = targets.goals(DATA)
    work = [cell for goal in goals for cell in goal.cells]
    work += [
        Cell(entry.network, method, settings)
        for entry in presets.COMPARE
        for method in METHODS
        for settings in presets.ladder(entry.ladders, method)
    ]
    check("sparse", [cell.settings for cell in work])
    assert {cell.method for cell in work} == set(METHODS)
    assert all(any(f"lenet5, {method} on" in goal.name for goal in goals) for method in METHODS)


@pytest.mark.build
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_torchs_score_on_the_accelerator(method, tmp_path, capsys) -> None:
    if not (DATA / "models").is_dir():
        pytest.skip(f"There is no data folder at {DATA}")
    only = ["--only", f"lenet5, {method} on"]
    assert program.run(["bench", "targets", *only, "--data", str(DATA), "-j", "1", "-o", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["targets"]
    assert found["met"] is True
    assert found["measured"].startswith("100 of 100 equal")
    assert len((tmp_path / "targets.md").read_text().splitlines()) == 3
