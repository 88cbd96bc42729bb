"""The bench of whole networks, on the demonstration's network with random weights: stages, resumption, tables, page, goals."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import galton
from galton import cycles, golden
from galton.bench import subjects
from galton.bench.tiny import machine, page, plan, references, summary, tasks, trials
from galton.bench.tiny.tasks import MONTE_CARLO, QUOTED, Task
from galton.cli import main as program
from galton.cli import tiny_verification
from galton.config import CONFIGS
from galton.demo import model, training

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SMALL = Task("ic", "digits", "Small <network>", 20, 30, {"": {"method": "mcq"}, "tiny": {"dead_zone": 1.0}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the command for the demonstration's network on two configurations, of which it fits one."""
    path = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        prepared(path, patch)
        arguments = ["--config", "up5k", "--config", "tiny", "--inputs", "3", "-j", "1", "-o", str(path / "results")]
        assert program.run(["bench", "mlperf-tiny", *arguments]) == 0
    return path / "results"


def prepared(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Random weights in the cache, and a bench of one network."""
    patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setattr(tasks, "TASKS", (replace(SMALL, settings={}),))
    torch.manual_seed(3)
    training.cache_file().parent.mkdir(parents=True, exist_ok=True)
    save_file(model.make_model().state_dict(), training.cache_file())
    subjects.load.cache_clear()
    subjects.float_outputs.cache_clear()


def result(folder: Path) -> dict[str, object]:
    """What the command wrote."""
    found: dict[str, object] = json.loads((folder / "results.json").read_text())
    return found


def test_rows_are_those_of_the_network_that_is_kept(folder) -> None:
    up5k, tiny = result(folder)["configurations"]
    quoted, monte_carlo = up5k["rows"]
    assert (quoted["variant"], monte_carlo["variant"]) == (QUOTED, MONTE_CARLO)
    assert monte_carlo["settings"] == {**tasks.PUBLISHED, "k_activations": 4.0}
    assert up5k["routed"]
    assert not tiny["routed"]
    assert all("does not fit tiny" in row["failure"] for row in tiny["rows"])
    assert quoted["tested"] == 30
    trial = trials.Trial("digits", {}, 20, 30, str(subjects.DATA), str(folder / "networks"))
    network, raw, expected = trial.load()
    image = galton.compile(network, "up5k").image
    profiles = cycles.predict(image, raw[:3])
    assert quoted["cycles"] == np.mean([sum(layer["cycles"] for layer in one) for one in profiles])
    assert sum(layer["cycles"] for layer in quoted["layers"]) == pytest.approx(quoted["cycles"])
    assert quoted["utilisation"] == pytest.approx(np.sum(np.mean(cycles.bounds(image, raw[:3]), axis=0)) / quoted["cycles"])
    assert (golden.run(image, raw) == expected).all()
    assert (quoted["inputs"], quoted["agrees"]) == (3, 3)
    assert quoted["transfers"] == cycles.transfers(image)
    assert quoted["total"] == 1000 * (quoted["cycles"] + quoted["transfers"]) / up5k["hertz"]
    assert quoted["goal"] == references.goal("up5k", "ic")
    assert quoted["met"] == (quoted["total"] <= quoted["goal"])


def test_what_is_finished_is_not_computed_again(folder, tmp_path, monkeypatch, capsys) -> None:
    prepared(tmp_path, monkeypatch)
    folder = shutil.copytree(folder, tmp_path / "results")
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/*")}

    def never(*_: object) -> dict[str, object]:
        raise AssertionError("computed again")

    monkeypatch.setattr(trials, "measure", never)
    monkeypatch.setattr(machine, "measure", never)
    arguments = ["--config", "up5k", "--inputs", "3", "-o", str(folder), "--json"]
    assert program.run(["bench", "mlperf-tiny", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["configurations"][0]["rows"][0]["inputs"] == 3
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/*")} == before


def test_the_page_and_the_tables_show_every_network(folder) -> None:
    html, text = ((folder / name).read_text() for name in ("report.html", "tables.md"))
    for shown in ("Small &lt;network&gt;", "nofficial", "arXiv 2201.01863", "What helps: ", "2100", "walking entries: "):
        assert shown in html, shown
    for shown in ("ic: Small <network>", "nofficial", "does not fit tiny", "### up5k, "):
        assert shown in text, shown
    assert html == page.render(result(folder))
    if CHROMIUM is not None:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        done = subprocess.run([CHROMIUM, *options, f"file://{folder}/report.html"], capture_output=True, text=True, timeout=60)
        assert done.stdout.count('class="stack"') == html.count('class="stack"') > 0


def test_settings_are_those_of_the_configuration() -> None:
    assert SMALL.setting("up5k", QUOTED) == {"method": "mcq"}
    assert SMALL.setting("tiny", QUOTED) == {"dead_zone": 1.0}
    assert SMALL.setting("tiny", MONTE_CARLO) == {**tasks.PUBLISHED, "k_activations": 4.0}
    configs = [CONFIGS["up5k"], CONFIGS["tiny"]]
    found = plan.entries([SMALL], configs, [], Path("data"), Path("out"))
    assert [(one.config.name, one.variant) for one in found] == [(c.name, v) for c in configs for v in (QUOTED, MONTE_CARLO)]
    given = plan.entries([SMALL], configs, [{"dead_zone": 2}, {"dead_zone": 3}], Path("data"), Path("out"))
    assert [one.variant for one in given] == ["dead_zone=2", "dead_zone=3"] * 2
    assert given[0].trial.key == given[2].trial.key != given[1].trial.key


def test_every_network_is_verified_on_three_configurations() -> None:
    others = replace(SMALL, network="other")
    configs = [CONFIGS[name] for name in ("up5k", "ecp5-25", "ecp5-85")]
    found = plan.entries([SMALL, others], configs, [], Path("data"), Path("out"))
    fits = {(one.trial.key, one.config.name): one.task is SMALL or one.config.name == "ecp5-85" for one in found}
    chosen = plan.to_verify(found, fits)
    names = [(trial.network, config.name) for trial, config in chosen]
    assert names.count(("digits", "up5k")) == names.count(("other", "ecp5-85")) == 2, "both variants"
    simulated = {config.name for config in plan.SIMULATED}
    assert {name for network, name in names if network == "other"} == {"ecp5-85", *simulated}
    assert not {name for network, name in names if network == "digits"} & simulated


def test_goals_and_references_are_named_with_their_source() -> None:
    assert all(one.source and set(one.milliseconds) == set(references.NAMES) for one in references.references())
    assert references.goal("up5k", "kws") == 8.0
    assert references.goal("up5k", "ad") is None
    assert references.goal("tiny", "ic") is None


def test_a_failure_is_said_in_one_line() -> None:
    trial = {"failure": "GaltonError: not today"}
    row = summary.row(SMALL, QUOTED, {}, trial, None, summary.Clock(1e6, "made up", True))
    assert row["failure"] == "GaltonError: not today"
    assert summary.first("It does not fit:\n  too large.\nTried, and it fits with up5k.") == (
        "It does not fit:; too large; Tried, and it fits with up5k."
    )


@pytest.mark.cosim
def test_verification_counts_what_differs(folder, monkeypatch) -> None:
    trial = trials.Trial("digits", {}, 20, 30, str(subjects.DATA), str(folder / "networks"))
    placed = machine.Placed(trial, CONFIGS["up5k"], 2)
    check = tiny_verification.Check(placed, tiny_verification.digest(placed.config))
    found = tiny_verification.measure(check)
    assert tiny_verification.agrees(found), found
    assert summary.verdict(found | {"agrees": True}).startswith("digits on up5k: 0 mismatches, 0 mispredictions in 2 inf")
    monkeypatch.setattr(cycles, "GIVING", 1)
    late = tiny_verification.measure(check)
    assert (late["mismatches"], late["mispredictions"], late["late"]) == (0, 0, 3)
    assert not tiny_verification.agrees(late)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "nothing"], "There is no network or task 'nothing'"),
        (["--inputs", "51"], "50 inputs are kept"),
        (["--set", "speed=3"], "no setting 'speed'"),
        (["--config", "huge"], "There is no configuration 'huge'"),
    ],
)
def test_misuse(tmp_path, monkeypatch, capsys, arguments, words) -> None:
    prepared(tmp_path, monkeypatch)
    assert program.run(["bench", "mlperf-tiny", *arguments, "-o", str(tmp_path / "out")]) != 0
    assert words in capsys.readouterr().err
