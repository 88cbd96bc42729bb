"""The bench of quantizers: cells, resumption, Dask, tables, pages in a browser."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import galton
from galton.bench import cells, page, runner, subjects, sweeps, tables
from galton.bench.cells import Cell
from galton.bench.scores import pack, unpack
from galton.cli import main as program
from galton.cli import sweep
from galton.cli.benching import settings
from galton.demo import model, training
from galton.errors import GaltonError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DATA = Path(__file__).parents[2] / "shared" / "data"
SMALL = {"calibration": 12, "limit": 20}


@pytest.fixture(autouse=True, scope="module")
def untrained(tmp_path_factory) -> Iterator[None]:
    """The network of the digits with random weights in the cache, where worker processes find it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.manual_seed(3)
        training.cache_file().parent.mkdir(parents=True)
        save_file(model.make_model().state_dict(), training.cache_file())
        for cached in subjects.load, subjects.float_outputs:
            cached.cache_clear()
        yield
    for cached in subjects.load, subjects.float_outputs:
        cached.cache_clear()


def row(method: str, setting: int, effective: float, score: float, **more: object) -> dict[str, object]:
    """A row as a cell gives it, of two layers."""
    layer = {"error": 0.1 * setting, "weight_bits": 3, "nonzero_weights": 0.5}
    numbers = {"tested": 100, "float_score": 90.0, "difference": score - 90, "standard_error": 0.5, "seconds": 1.0}
    numbers |= {"metric": "accuracy", "unit": "%", "output_error": 0.1}
    bits = {"weight_bits": 3.0, "weight_bits_signed": 4.0, "activation_bits": 5.0, "activation_bits_signed": 5.0}
    return {
        "key": f"{method}{setting}", "network": "<toy>", "method": method, "setting": f"k_weights={setting}",
        "settings": {"k_weights": setting}, "effective": effective, "score": score, "image_bytes": 1000 * setting,
        "nonzero_weights": 0.5, "nonzero_activations": 0.25, **numbers, **bits,
        "scores": pack(np.repeat([100.0, 0.0], [round(score), 100 - round(score)])),
        "layers": [{"name": name, **layer} for name in ("first", "last")],
        "histograms": {"weights": {"first": [5, 3, 1], "last": [1, 1]}, "activations": {"first": [4, 4]}}, **more,
    }  # fmt: skip


def test_a_cell_measures_what_torch_and_the_golden_model_compute() -> None:
    cell = Cell("digits", "mcq", {"k_weights": 1.0, "k_activations": 2.0}, golden=2, **SMALL)
    found = cells.measure(cell)
    subject = subjects.load("digits", subjects.DATA)
    quantized = galton.quantize(subject.network, subject.calibration[:12], method=cell.method, **cell.settings)
    labels = subject.targets[:20]
    with torch.no_grad():
        before = (subject.network(subject.inputs[:20]).argmax(1) == labels).double()
    after = (quantized(subject.inputs[:20]).argmax(1) == labels).double()
    assert found["score"] == pytest.approx(100 * float(after.mean()))
    assert found["float_score"] == pytest.approx(100 * float(before.mean()))
    assert found["standard_error"] == pytest.approx(100 * float((after - before).std()) / 20**0.5)
    assert found["golden_agrees"] == found["golden_tested"] == 2
    assert found["effective"] == quantized.report()["effective"]
    integers = {layer.name: layer.weights for layer in quantized.network.layers}
    assert found["histograms"]["weights"] == {name: np.bincount(abs(w).ravel()).tolist() for name, w in integers.items()}
    assert (found["golden_score"], found["golden_torch_score"]) == (100 * after[:2].mean(),) * 2
    assert unpack(found["scores"]).tolist() == (100 * after).tolist()
    json.dumps(found, allow_nan=False)


def test_warnings_go_into_the_row() -> None:
    found = cells.measure(Cell("digits", "galton", **SMALL))
    assert "failure" not in found
    assert any("hidden: 12 calibration rows" in text for text in found["warnings"])


def test_fewer_samples_take_fewer_bytes() -> None:
    sizes = [cells.measure(Cell("digits", "mcq", {"k_weights": k}, **SMALL))["image_bytes"] for k in (0.25, 2.0)]
    assert sizes[0] < 0.8 * sizes[1]


def test_a_run_computes_only_what_is_missing(tmp_path, monkeypatch) -> None:
    measured: list[str] = []

    def measure(cell: Cell, threads: int) -> dict[str, object]:
        measured.append(cell.setting)
        failed = {"failure": "GaltonError: not today"} if cell.settings["k_weights"] == 3 else {}
        return {"key": cell.key, "setting": cell.setting, **failed}

    monkeypatch.setattr(runner, "measure", measure)
    work = [Cell("digits", "mcq", {"k_weights": k}) for k in (1, 2, 3)]
    first = runner.run(work[:2], tmp_path)
    seen: list[str] = []
    again = runner.run(work, tmp_path, done=lambda row: seen.append(row["setting"]))
    assert again[:2] == first
    assert measured == ["k_weights=1", "k_weights=2", "k_weights=3"]
    assert sorted(seen) == measured
    (tmp_path / "cells" / f"{work[0].key}.json").write_text('{"key":')
    runner.run(work, tmp_path)
    assert measured[3:] == ["k_weights=1", "k_weights=3"], "a broken file and a failure count as missing"
    runner.run(work[:2], tmp_path, fresh=True)
    assert measured[5:] == ["k_weights=1", "k_weights=2"]


def test_what_is_finished_stays_when_a_run_is_stopped(tmp_path, monkeypatch) -> None:
    def measure(cell: Cell, threads: int) -> dict[str, object]:
        if cell.settings["k_weights"] == 2:
            raise KeyboardInterrupt
        return {"key": cell.key, "setting": cell.setting}

    monkeypatch.setattr(runner, "measure", measure)
    work = [Cell("digits", "mcq", {"k_weights": k}) for k in (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        runner.run(work, tmp_path)
    assert [key for key, _ in runner.stored(tmp_path / "cells")] == [work[0].key]


def test_a_key_depends_on_what_is_measured_only() -> None:
    one = Cell("digits", "mcq", {"xi": 0.1, "k_weights": 1}, data="here")
    assert one.key == Cell("digits", "mcq", {"k_weights": 1, "xi": 0.1}, data="there").key
    others = [
        Cell("digits", "mcq", {"xi": 0.2, "k_weights": 1}),
        Cell("digits", "mcq", one.settings, limit=5),
        Cell("kws", "mcq"),
    ]
    assert len({cell.key for cell in [one, *others]}) == 4


@pytest.mark.cosim
def test_two_dask_workers_give_the_rows_of_one_process(tmp_path) -> None:
    pytest.importorskip("distributed")
    work = [Cell("digits", "mcq", {"k_weights": k}, **SMALL) for k in (1.0, 2.0)]
    rows = [runner.run(work, tmp_path / name, dask=dask) for name, dask in (("here", None), ("there", "local:2"))]
    for here, there in zip(*rows, strict=True):
        assert "failure" not in there
        same = ("key", "score", "scores", "difference", "standard_error", "effective", "image_bytes", "options", "histograms")
        assert {name: here[name] for name in same} == {name: there[name] for name in same}
        errors = [[layer["error"] for layer in found["layers"]] for found in (here, there)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-4)


@pytest.mark.parametrize("address", ["local:0", "local:two", "tcp://127.0.0.1:1"])
def test_no_cluster_is_said(tmp_path, address, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(runner, "TIMEOUT", "100ms")
    with pytest.raises(GaltonError, match=re.escape(address)):
        runner.run([Cell("digits", "mcq")], tmp_path, dask=address)


def test_the_front_is_what_nothing_beats() -> None:
    points = [(3, 80), (1, 50), (2, 70), (2, 75), (2.5, 74), (4, 80), (0.5, 10)]
    beaten = {p for p in points for q in points if q != p and q[0] <= p[0] and q[1] >= p[1]}
    assert [points[place] for place in tables.front(points)] == sorted(set(points) - beaten)


def test_tables_are_tidy(tmp_path) -> None:
    rows = [row("mcq", 1, 0.25, 80.0), {**row("nearest", 2, 0.5, 85.0), "options": {"k_weights": 2.0}}]
    failed = {"network": "toy", "method": "aciq", "setting": "default", "failure": "GaltonError: no"}
    results, layers = tables.write([*rows, failed], tmp_path)
    with results.open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["effective"], line["failure"]) for line in lines] == [
        ("mcq", "0.25", ""), ("nearest", "0.5", ""), ("aciq", "", "GaltonError: no"),
    ]  # fmt: skip
    assert lines[1]["k_weights"] == "2.0"
    with layers.open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["layer"]) for line in lines] == [(m, n) for m in ("mcq", "nearest") for n in ("first", "last")]


def test_settings_that_all_cells_share_are_not_shown() -> None:
    rows = [row("mcq", k, 0.1, 80.0, settings={"order": "array", "xi": 1 / 3, "k_weights": k}) for k in (1, 2)]
    assert [shown["setting"] for shown in tables.shortened(rows)] == ["k_weights=1", "k_weights=2"]
    assert tables.shortened(rows[:1])[0]["setting"] == "order=array, xi=0.3333, k_weights=1"


def test_settings_are_all_combinations() -> None:
    found = settings(["k_weights=1,2.5", "order=array", 'layers={"a": {"k_weights": 1}, "b": {}}', "dynamic=true"])
    rest = {"order": "array", "layers": {"a": {"k_weights": 1}, "b": {}}, "dynamic": True}
    assert found == [{"k_weights": 1, **rest}, {"k_weights": 2.5, **rest}]
    assert settings(["xi=0", 'extra={"price": 1}', 'extra={"price": 2}']) == [{"xi": 0, "extra": {"price": p}} for p in (1, 2)]


def test_layers_that_a_sweep_leaves_alone() -> None:
    assert (sweep.WHAT, sweep.ALONE) == (sweeps.WHAT, sweeps.ALONE)
    chosen = {which: sweeps.names("digits", subjects.DATA, which) for which in sweeps.ALONE}
    assert chosen == {"none": [], "first": ["conv1"], "last": ["scores"], "both": ["conv1", "scores"]}


@pytest.mark.parametrize("engine", ["graph", "accelerator"])
@pytest.mark.parametrize("alone", ["none", "first"])
@pytest.mark.parametrize("what", sweeps.WHAT)
def test_a_sweep_samples_what_it_is_asked_for_and_nothing_else(engine, alone, what) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 4)).eval()
    inputs = torch.rand(64, 1, 6, 6)
    layers = ["0"] if alone == "first" else []
    fixed = {"order": "magnitude", "norm": "layer", "correct": False, "weight_limit": 119, "dynamic": True, "seed": 3}
    options = sweeps.settings(1.0, what, alone, layers, engine, fixed)
    assert sweeps.case({"settings": options}) == (what, ", ".join(layers))
    quantized = galton.quantize(module, inputs, method="mcq", **options)
    with torch.no_grad():
        error = float((quantized(inputs) - module(inputs)).norm() / module(inputs).norm())
    assert 0.01 < error < 1.0
    found = {layer["name"]: layer for layer in quantized.report()["layers"]}
    if engine == "graph" and alone == "first":
        assert torch.equal(quantized.module.get_submodule("0").weight, module[0].weight)
        assert "0" not in found
    if engine == "accelerator" and alone == "first":
        assert found["0"]["weight_bits"] == 7
        assert found["0"]["error"] < 0.02
    sampled = found["3"]
    assert sampled["weight_samples"] == (5 * 64 if what != "activations" else pytest.approx(sampled["weight_samples"]))
    assert (sampled["weight_bits"] == 7) == (what == "activations")
    assert (sampled["activation_samples"] == pytest.approx(64, abs=2)) == (what != "weights")


def test_the_papers_table_has_means_over_offsets(tmp_path) -> None:
    rows = [row("mcq", k, 0.1 * k, 80 + k + offset) for k in (2, 1) for offset in (0, 1)]
    lines = sweeps.write(rows, tmp_path).read_text().splitlines()
    assert lines[0] == sweeps.HEAD
    assert len(lines) == 4
    assert [line.split(" | ")[3] for line in lines[2:]] == ["1", "2"]
    assert all("(offsets 0.71)" in line and line.count("|") == lines[1].count("|") == lines[0].count("|") for line in lines[2:])


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program."""
    code = program.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_bench_from_the_command_line(capsys, tmp_path) -> None:
    options = ["--network", "digits", "--method", "mcq", "--limit", 20, "--calibration", 12, "-j", 1, "-o", tmp_path / "out"]
    code, out, _ = call(capsys, "bench", "quantizers", *options, "--set", "k_weights=1,2", "--json")
    found = json.loads(out)
    assert code == 0
    assert [line["setting"] for line in found["rows"]] == ["k_weights=1", "k_weights=2"]
    assert all(Path(file).is_file() for file in found["files"])
    code, out, _ = call(capsys, "bench", "quantizers", *options, "--set", "k_weights=1,-2")
    assert code == 1, "K must be positive"
    assert "digits, mcq, k_weights=-2: GaltonError: k_weights must be a positive number" in out
    assert "k_weights must be a positive number" in (tmp_path / "out" / "report.html").read_text()


def test_a_sweep_from_the_command_line(capsys, tmp_path) -> None:
    options = ["--limit", 20, "--calibration", 12, "-j", 1, "-o", tmp_path, "--k", 0.5, "--k", 2, "--seed", 0, "--seed", 1]
    code, out, _ = call(capsys, "sweep", *options, "--skip", "last", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0
    with (tmp_path / "results.csv").open() as file:
        assert [line["k_weights"] for line in csv.DictReader(file)] == ["0.5", "2.0"] * 2
    assert len((tmp_path / "paper.md").read_text().splitlines()) == 4
    assert rows[0]["nonzero_weights"] < rows[1]["nonzero_weights"]
    assert "Accuracy against K" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "quantizers", "--network", "lenet"], "There is no network 'lenet' on the bench; the known ones are digits,"),
        (["bench", "quantizers", "--network", "kws", "--data", "nowhere"], "nowhere/models/mlperf_kws_dscnn.safetensors"),
        (["bench", "quantizers", "--method", "magic"], "There is no method 'magic'"),
        (["bench", "quantizers", "--set", "k=1"], "galton.quantize has no setting 'k'"),
        (["bench", "quantizers", "--set", "k_weights"], "--set takes NAME=VALUE"),
        (["bench", "quantizers", "--target", "moon"], "There is no configuration 'moon'"),
        (["sweep", "--skip", "middle"], "'middle' is not one of 'none', 'first', 'last', 'both'"),
    ],
)
def test_mistakes_are_said_before_anything_runs(capsys, tmp_path, arguments, message) -> None:
    code, _, err = call(capsys, *arguments, "-o", tmp_path / "out")
    assert code in (1, 2)
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["bench", "sweep"])
def test_the_page_draws_in_a_browser(tmp_path, kind) -> None:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    rows = [row(method, k, 0.1 * k, 80 + k + len(method)) for method in ("galton", "nearest") for k in (1, 2, 3)]
    file = tmp_path / "report.html"
    file.write_text({"bench": page.bench, "sweep": page.sweep}[kind](rows, "Toy"))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
    ]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*(?:Uncaught|Error|Failed).*", done.stderr)
    drawn = done.stdout
    plots = re.findall(r'<div id="plot-\d+"', file.read_text())
    assert len(plots) >= 5
    assert len(re.findall(r'class="[^"]*\bsvg-container\b', drawn)) == len(plots)
    points = 2 * len(rows) + 3 if kind == "bench" else len(rows)
    assert ('id="contests"' in drawn) == ("less the other, %" in drawn) == (kind == "bench")
    assert len(re.findall(r'<path class="point\b', drawn)) >= points
    assert "&lt;toy&gt;" in drawn
    assert "<toy>" not in drawn


def test_the_page_needs_nothing_else() -> None:
    html = page.bench([row("mcq", 1, 0.2, 80.0)], "Toy")
    assert html == page.bench([row("mcq", 1, 0.2, 80.0)], "Toy")
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", html)
