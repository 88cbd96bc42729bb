"""What the command line says to mistakes: files, arrays, labels and outputs that are not right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import call, toy_files

from galton.cache import cache_folder
from galton.cli import common
from galton.cli import main as program
from galton.errors import GaltonError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A quantized network, its image for tiny, real inputs and labels."""
    return toy_files(tmp_path)


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
        (
            ["simulate", "{toy.galton}", "{inputs.npy}", "--verilog", __file__],
            "test_cli_misuse.py: The Verilog text has no module",
        ),
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
