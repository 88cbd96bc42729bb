"""The command line without torch or simulation: images and arrays in, messages and exit codes out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import call, network, toy_files

from galton import golden, storage
from galton.cli import main as program
from galton.compiler import compile as compile_network
from galton.image import Image
from galton.network import Layer, Network


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A quantized network, its image for tiny, real inputs and labels."""
    return toy_files(tmp_path)


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_has_help_with_an_example_and_json(capsys, name) -> None:
    code, out, _ = call(capsys, name, "--help")
    assert code == 0
    assert "Example:" in out
    assert f"  galton {name}" in out.split("Example:")[1]
    assert "--json" in out


def test_help_lists_every_command(capsys) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in program.COMMANDS)


def test_storage_gives_back_the_network(files) -> None:
    stored, report = storage.load(files["toy.galtonq"])
    expected = network()
    assert report == {"method": "by hand"}
    assert (stored.name, stored.input_shape, stored.input_scale) == (expected.name, expected.input_shape, expected.input_scale)
    for layer, other in zip(stored.layers, expected.layers, strict=True):
        for name, value in vars(other).items():
            assert np.array_equal(getattr(layer, name), value), name


def test_compile_writes_the_image_that_the_api_compiles(capsys, files, tmp_path) -> None:
    path = tmp_path / "other.galton"
    code, out, _ = call(capsys, "compile", files["toy.galtonq"], "--target", "tiny", "-o", path, "--json")
    facts = json.loads(out)
    assert code == 0
    assert path.read_bytes() == files["toy.galton"].read_bytes()
    assert facts["bytes"] == path.stat().st_size
    assert [layer["name"] for layer in facts["layers"]] == ["features.0", "head"]


def test_inspect_shows_memories_and_certificates(capsys, files) -> None:
    code, out, _ = call(capsys, "inspect", files["toy.galton"])
    assert code == 0
    for word in ("toy", "tiny", "weights", "table", "data", "features.0", "head", "digest"):
        assert word in out
    certificate = compile_network(network(), "tiny").certificates[0]
    assert f"{certificate.bound:,}" in out


@pytest.mark.parametrize("layout", ["rows first", "channels first", "flat", "raw"])
def test_run_gives_what_the_golden_model_gives(capsys, files, layout) -> None:
    image, real = Image.load(files["toy.galton"]), np.load(files["inputs.npy"])
    raw = np.floor(real * 255 + 0.5).astype(np.int64)
    expected = golden.run(image, raw)
    arrays = {"rows first": real, "channels first": real.transpose(0, 3, 1, 2), "flat": real[..., 0], "raw": raw}
    np.save(files["inputs.npy"], arrays[layout])
    options = ["--raw"] if layout == "raw" else []
    code, _, _ = call(capsys, "run", files["toy.galton"], files["inputs.npy"], "-o", files["out.npy"], *options)
    assert code == 0
    assert np.array_equal(np.load(files["out.npy"]), expected if layout == "raw" else expected[:, 0, 0] * np.float32(0.25))


@pytest.mark.parametrize("limit", [None, 3])
def test_run_reports_accuracy(capsys, files, limit) -> None:
    scores = golden.run(Image.load(files["toy.galton"]), np.floor(np.load(files["inputs.npy"]) * 255 + 0.5).astype(np.int64))
    first = scores[:limit]
    right = int((first.reshape(len(first), -1).argmax(axis=1) == np.load(files["labels.npy"])[:limit]).sum())
    options = ["--labels", files["labels.npy"], "--json", *([] if limit is None else ["--limit", str(limit)])]
    code, out, _ = call(capsys, "run", files["toy.galton"], files["inputs.npy"], *options)
    facts = json.loads(out)
    assert code == 0
    assert (facts["right"], facts["accuracy"]) == (right, right / len(first))
    assert np.array_equal(facts["outputs"], first[:, 0, 0] * 0.25)


@pytest.mark.parametrize("command", ["run", pytest.param("simulate", marks=pytest.mark.cosim)])
def test_inputs_out_of_range_are_cut_and_counted_or_refused(capsys, files, command) -> None:
    real = np.load(files["inputs.npy"])
    real[1, 2, 3], real[1, 0, 0], real[4, 5, 5] = 1.5, -0.25, -7
    np.save(files["inputs.npy"], real)
    image = Image.load(files["toy.galton"])
    expected = golden.run(image, np.clip(np.floor(real * 255 + 0.5), 0, 255).astype(np.int64))[:, 0, 0] * np.float32(0.25)
    words = "3 of 288 input values, in 2 of 8 inputs, are outside 0..1; the furthest is -7"
    code, out, error = call(capsys, command, files["toy.galton"], files["inputs.npy"], "-o", files["out.npy"], "--json")
    assert code == 0
    assert json.loads(out)["saturated_inputs"] == {"values": 3, "inputs": 2}
    assert f"galton: warning: {words}. They are cut to that range" in error
    assert np.array_equal(np.load(files["out.npy"]), expected)
    code, out, error = call(capsys, command, files["toy.galton"], files["inputs.npy"], "--out-of-range", "refuse")
    assert code == 2
    assert words in error
    np.save(files["inputs.npy"], real.clip(0, 1))
    code, _, error = call(
        capsys, command, files["toy.galton"], files["inputs.npy"], "--out-of-range", "refuse", "-o", files["out.npy"]
    )
    assert (code, error.strip()) == (0, "")


def test_a_network_that_does_not_fit_is_a_no_with_a_way_out(capsys, files) -> None:
    weights = np.random.default_rng(0).integers(-7, 8, (120, 1, 1, 4000))
    layer = Layer("wide", (1, 1, 4000), weights, np.full(120, 1), np.zeros(120, np.int64), 16, 0, 255)
    storage.save(Network("wide", (1, 1, 4000), (layer,)), files["toy.galtonq"])
    code, out, error = call(capsys, "compile", files["toy.galtonq"], "--target", "tiny", "--json")
    assert code == 1
    assert json.loads(out)["error"] in ("FitError", "AccumulatorOverflow")
    assert "wide" in error


def test_a_dry_run_writes_nothing_and_shows_every_layer(capsys, files) -> None:
    before = sorted(files["toy.galtonq"].parent.iterdir())
    code, out, _ = call(capsys, "compile", files["toy.galtonq"], "--target", "up5k", "--dry-run")
    network = storage.load(files["toy.galtonq"])[0]
    memory = {use.name: use for use in compile_network(network, "up5k").memory}
    assert code == 0
    assert sorted(files["toy.galtonq"].parent.iterdir()) == before
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    for index, layer in enumerate(network.layers):
        amounts = [int(number.replace(",", "")) for number in rows[layer.name]]
        assert amounts == [memory[name].layers[index][1] for name in ("weights", "data", "accumulators", "rows", "channels")]
    assert [int(number.replace(",", "")) for number in rows["needed"]] == [use.used for use in memory.values()]
    assert "It fits." in out


def test_a_dry_run_that_does_not_fit(capsys, files) -> None:
    layer = Layer(
        "wide", (1, 1, 1500), np.ones((120, 1, 1, 1500), np.int64), np.full(120, 1), np.zeros(120, np.int64), 16, 0, 255
    )
    storage.save(Network("wide", (1, 1, 1500), (layer,)), files["toy.galtonq"])
    code, out, _ = call(capsys, "compile", files["toy.galtonq"], "--target", "ecp5-25", "--dry-run", "--json")
    facts = json.loads(out)
    assert (code, facts["fits"], facts["network"], facts["configuration"]) == (1, False, "wide", "ecp5-25")
    assert facts["memories"][0]["layers"] == [{"name": "wide", "used": 12000}]
    assert "the network needs 12000" in facts["problem"]
    assert facts["ways"] == [
        "configuration ecp5-25-ternary",
        "configuration ecp5-85 (boards ulx3s-85f, orangecrab-85f, ecpix-5)",
        "configuration asic",
    ]
    code, out, _ = call(capsys, "compile", files["toy.galtonq"], "--target", "ecp5-25", "--dry-run")
    assert code == 1
    for way in facts["ways"]:
        assert f"- {way}" in out


def test_a_dry_run_of_what_could_overflow(capsys, files) -> None:
    for weight, inputs, way in ((119, 200, "- weights within -7..7 in every layer"), (7, 4000, "Neither narrower weights nor")):
        weights = np.full((2, 1, 1, inputs), weight)
        layer = Layer("wide", (1, 1, inputs), weights, np.full(2, 1), np.zeros(2, np.int64), 16, 0, 255)
        storage.save(Network("wide", (1, 1, inputs), (layer,)), files["toy.galtonq"])
        code, out, _ = call(capsys, "compile", files["toy.galtonq"], "--dry-run")
        assert code == 1
        assert way in out
        assert "wide" in out


def test_doctor_finds_what_is_missing(capsys, monkeypatch) -> None:
    assert call(capsys, "doctor")[0] == 0
    monkeypatch.setenv("PATH", "/nonexistent")
    code, out, _ = call(capsys, "doctor", "--json")
    facts = json.loads(out)
    missing = {finding["name"]: finding["install"] for finding in facts["findings"] if finding["version"] is None}
    assert code == 1
    assert not facts["ready"]
    missing.pop("openFPGALoader", None)
    assert missing == {"g++": "apt-get install g++", "make": "apt-get install make", "perl": "apt-get install perl"}


def test_the_installed_program(files) -> None:
    command = [sys.executable, "-m", "galton", "inspect", str(files["toy.galton"]), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["network"] == "toy"


def test_a_dry_run_imports_nothing_heavy(files) -> None:
    heavy = "{'torch', 'matplotlib', 'amaranth', 'jinja2', 'numba'}"
    arguments = ["compile", str(files["toy.galtonq"]), "--dry-run", "--json"]
    code = f"import sys; from galton.cli.main import run; run({arguments}); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'matplotlib', 'amaranth', 'jinja2'}"
    code = f"import sys, galton.cli.main, galton.config, galton.compiler; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
