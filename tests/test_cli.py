"""The command line without torch or simulation: images and arrays in, messages and exit codes out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galton import golden, storage
from galton.cache import cache_folder
from galton.cli import common
from galton.cli import main as program
from galton.compiler import compile as compile_network
from galton.errors import GaltonError
from galton.image import Image
from galton.network import Activation, Layer, Network


def network() -> Network:
    """A convolution with max-pool and a linear layer on 6x6 inputs."""
    generator = np.random.default_rng(7)
    weights = generator.integers(-3, 4, (4, 3, 3, 1))
    convolution = Layer(
        "features.0", (6, 6, 1), weights, np.full(4, 300), np.full(4, 900), 16, 0, 255,
        Activation("monte_carlo", step=9000), padding=(1, 1, 1, 1), pool=(2, 2), scale=0.5,
    )  # fmt: skip
    weights = generator.integers(-7, 8, (3, 1, 1, 36))
    linear = Layer("head", (1, 1, 36), weights, np.full(3, 400), np.zeros(3, np.int64), 16, -128, 127, scale=0.25)
    return Network("toy", (6, 6, 1), (convolution, linear), input_scale=1 / 255)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A quantized network, its image for tiny, real inputs and labels."""
    paths = {name: tmp_path / name for name in ("toy.galtonq", "toy.galton", "inputs.npy", "labels.npy", "out.npy")}
    storage.save(network(), paths["toy.galtonq"], {"method": "by hand"})
    compile_network(network(), "tiny").save(paths["toy.galton"])
    generator = np.random.default_rng(3)
    np.save(paths["inputs.npy"], generator.random((8, 6, 6, 1), np.float32))
    np.save(paths["labels.npy"], generator.integers(0, 3, 8))
    return paths


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program."""
    code = program.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


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


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 6, 6, 1)), "no inputs"),
        (np.zeros((4, 5, 6, 1)), "(n, 6, 6, 1)"),
        (np.zeros(36), "(n, 6, 6, 1)"),
        (np.full((2, 6, 6, 1), np.nan), "Input 0 has nan at (0, 0, 0)"),
        (np.full((2, 6, 6, 1), np.inf), "Input 0 has inf"),
        (np.array(["digits"]), "one array of numbers"),
        (b"digits", "it begins with b'digits'"),
        (b"", "it is empty"),
    ],
)
def test_wrong_inputs_are_misuse(capsys, files, array, words) -> None:
    files["inputs.npy"].write_bytes(array) if isinstance(array, bytes) else np.save(files["inputs.npy"], array)
    code, _, error = call(capsys, "run", files["toy.galton"], files["inputs.npy"])
    assert code == 2
    assert words in error
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize("value", [-1, 256])
def test_raw_inputs_may_be_refused(capsys, files, value) -> None:
    np.save(files["inputs.npy"], np.full((1, 6, 6, 1), value))
    code, _, error = call(capsys, "run", files["toy.galton"], files["inputs.npy"], "--raw", "--out-of-range", "refuse")
    assert code == 2
    assert "36 of 36 input values, in 1 of 1 inputs, are outside 0..255" in error
    np.save(files["inputs.npy"], np.full((1, 6, 6, 1), 1.0))
    code, _, error = call(capsys, "run", files["toy.galton"], files["inputs.npy"], "--raw")
    assert (code, "integers in 0..255; this file holds float64" in error) == (2, True)


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


@pytest.mark.parametrize("command", ["run", "simulate", "report"])
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(7, np.int64), "There are 8 inputs, but labels of shape (7,)"),
        (np.zeros((8, 1), np.int64), "labels of shape (8, 1)"),
        (np.array(3), "labels of shape ()"),
        (np.arange(8) - 1, "integers in 0..2; {} holds -1"),
        (np.arange(8), "integers in 0..2; {} holds 3"),
        (np.full(8, np.nan), "integers in 0..2; {} holds nan"),
        (np.full(8, 0.5), "integers in 0..2; {} holds 0.5"),
    ],
)
def test_labels_are_a_class_for_each_input(capsys, monkeypatch, files, command, labels, words) -> None:
    """They are refused before anything is run."""
    for place in ("galton.cli.verification.verify", "galton.golden.Machine.run"):
        monkeypatch.setattr(place, None)
    np.save(files["labels.npy"], labels)
    image = files["toy.galtonq" if command == "report" else "toy.galton"]
    code, _, error = call(capsys, command, image, files["inputs.npy"], "--labels", files["labels.npy"])
    assert code == 2
    assert words.format(files["labels.npy"]) in error


@pytest.mark.parametrize("command", ["inspect", "run", "simulate"])
def test_damaged_images_are_refused_without_a_traceback(capsys, files, command) -> None:
    whole = files["toy.galton"].read_bytes()
    arguments = [files["inputs.npy"]] if command != "inspect" else []
    for broken in (whole[:-1], whole[:40], b"", b"GIF89a" + whole[6:], whole[:-1] + bytes([whole[-1] ^ 1])):
        files["toy.galton"].write_bytes(broken)
        code, _, error = call(capsys, command, files["toy.galton"], *arguments)
        assert code == 1
        assert error.startswith(f"galton: {files['toy.galton']}: ")


def test_damaged_networks_are_refused_at_every_length(capsys, files) -> None:
    whole = files["toy.galtonq"].read_bytes()
    for length in range(0, len(whole), 61):
        files["toy.galtonq"].write_bytes(whole[:length])
        code, _, error = call(capsys, "compile", files["toy.galtonq"])
        assert code == 1
        assert "is not a quantized network" in error


def test_a_flipped_weight_is_found(capsys, files) -> None:
    whole = bytearray(files["toy.galtonq"].read_bytes())
    whole[-1] ^= 1
    files["toy.galtonq"].write_bytes(whole)
    code, _, error = call(capsys, "compile", files["toy.galtonq"])
    assert code == 1
    assert "digest does not match" in error


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


@pytest.mark.parametrize("path", ["no/out.npy", "locked/out.npy"])
def test_outputs_that_cannot_be_written_are_refused_before_any_work(capsys, monkeypatch, tmp_path, files, path) -> None:
    monkeypatch.setattr(common.os, "access", lambda place, mode: "locked" not in str(place))
    monkeypatch.setattr("galton.golden.Machine.run", None)
    (tmp_path / "locked").mkdir()
    code, _, error = call(capsys, "run", files["toy.galton"], files["inputs.npy"], "-o", tmp_path / path)
    assert code == 2
    assert f"folder '{(tmp_path / path).parent}'" in error


def test_the_cache_is_named_where_it_cannot_be_used(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = cache_folder() / "boards" / "some.lock"
    said = program.described(PermissionError(13, "Permission denied", str(place)))
    assert (
        said.startswith(f"{place}: Permission denied. Results are kept in {tmp_path / 'galton'}: ") and "XDG_CACHE_HOME" in said
    )
    assert program.described(PermissionError(13, "Permission denied", "elsewhere")) == "elsewhere: Permission denied"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "~")
    with pytest.raises(GaltonError, match="name a place for them in XDG_CACHE_HOME"):
        cache_folder()
    assert program.described(PermissionError(13, "Permission denied", "elsewhere")) == "elsewhere: Permission denied"


def test_no_command_is_misuse_and_shows_them(capsys) -> None:
    code, out, error = call(capsys)
    assert (code, error) == (2, "")
    assert out.startswith("Usage: galton")


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_full_disk_is_told(option) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "galton", "boards", *option]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "galton: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command"),
        (["inspect"], "Missing argument"),
        (["inspect", "nowhere.galton"], "does not exist"),
        (["compile", "{toy.galtonq}", "--target", "spartan"], "the known ones are"),
        (["verilog", "--config", "spartan", "-o", "{out.npy}"], "the known ones are"),
        (["run", "{toy.galton}", "{inputs.npy}", "-o", "/dev/null/out.npy"], "There is no folder '/dev/null' to write out"),
        (["simulate", "{toy.galton}", "{inputs.npy}", "--limit", "0"], "--limit"),
        (["simulate", "{toy.galton}", "{inputs.npy}", "--dump", "{out.npy}"], "--dump is what --bisect writes"),
        (["simulate", "{toy.galton}", "{inputs.npy}", "--verilog", "{labels.npy}"], "labels.npy is not a text file"),
        (["simulate", "{toy.galton}", "{inputs.npy}", "--verilog", __file__], "test_cli.py: The Verilog text has no module"),
        (["verilog", "-o", "core.json"], "would both be core.json"),
        (["compile", "{toy.galtonq}", "-o", "{toy.galtonq}"], "name another --output"),
    ],
)
def test_misuse(capsys, files, arguments, words) -> None:
    filled = [str(files[argument[1:-1]]) if argument.startswith("{") else argument for argument in arguments]
    code, _, error = call(capsys, *filled)
    assert code == 2
    assert words in error
    assert "Traceback" not in error


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
