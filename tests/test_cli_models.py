"""How a user's network and arrays come into the program, and what is said when they cannot."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from galton.cli.common import load_array
from galton.cli.models import load_calibration, load_model

SOURCE = """
from torch import nn
from helper import WIDTH

def make_model():
    return nn.Sequential(nn.Linear(4, WIDTH), nn.Dropout(), nn.ReLU())

def make_nothing():
    return None

def break_down():
    raise RuntimeError("no such luck")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A user's Python file that imports another one beside it."""
    (tmp_path / "helper.py").write_text("WIDTH = 3\n")
    path = tmp_path / "model.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_callable_with_weights(source, tmp_path, suffix) -> None:
    expected = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.ReLU())
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(expected.state_dict(), path)
    model = load_model(f"{source}:make_model", path)
    assert not model.training
    values = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(values), expected.eval()(values))


def test_an_exported_program(tmp_path) -> None:
    expected = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    values = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    torch.export.save(torch.export.export(expected, (values,)), tmp_path / "model.pt2")
    assert torch.equal(load_model(str(tmp_path / "model.pt2"), None)(values), expected(values))


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ("{folder}/model", "must be file.py:callable"),
        ("{folder}/model.py", "must be file.py:callable"),
        ("{folder}/other.py:make_model", "There is no file"),
        ("{folder}/other.pt2", "There is no file"),
        ("{folder}/broken.pt2", "cannot be read as a torch.export file"),
        ("{folder}/model.py:missing", "has no attribute 'missing'"),
        ("{folder}/model.py:make_nothing", "must return a torch.nn.Module, not NoneType"),
        ("{folder}/model.py:break_down", "RuntimeError: no such luck"),
        ("{folder}/syntax.py:make_model", "SyntaxError"),
    ],
)
def test_models_that_cannot_be_loaded(source, specification, words) -> None:
    folder = source.parent
    (folder / "broken.pt2").write_bytes(b"not an archive")
    (folder / "syntax.py").write_text("def make_model(:\n")
    with pytest.raises(click.UsageError, match=words.replace("(", r"\(")):
        load_model(specification.format(folder=folder), None)


def test_an_exported_program_takes_no_weights(tmp_path) -> None:
    with pytest.raises(click.UsageError, match="leave --weights out"):
        load_model("model.pt2", tmp_path / "weights.pt")


def test_weights_that_do_not_fit(source, tmp_path) -> None:
    torch.save({"0.weight": torch.zeros(2, 4)}, tmp_path / "weights.pt")
    with pytest.raises(click.UsageError, match="does not fit the model"):
        load_model(f"{source}:make_model", tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights_that_cannot_be_read(source, tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(click.UsageError, match="cannot be read as a state dict"):
        load_model(f"{source}:make_model", tmp_path / name)


def test_pickles_are_not_executed(source, tmp_path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"0.weight": Evil()}, tmp_path / "weights.pt")
    with pytest.raises(click.UsageError):
        load_model(f"{source}:make_model", tmp_path / "weights.pt")
    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(click.UsageError):
        load_array(tmp_path / "evil.npy")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
def test_arrays_of_every_kind(tmp_path, name) -> None:
    values = np.arange(12.0).reshape(3, 4)
    path = tmp_path / name
    if name == "x.pt":
        torch.save(torch.from_numpy(values), path)
    elif name == "x.npz":
        np.savez(path, x=values, y=np.zeros(3))
    else:
        np.save(path, values)
    assert np.array_equal(load_array(path), values)
    tensor = load_calibration(path)
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), values)


def test_an_archive_with_one_array_of_any_name(tmp_path) -> None:
    np.savez(tmp_path / "images.npz", digits=np.ones(3))
    assert np.array_equal(load_array(tmp_path / "images.npz"), np.ones(3))


def test_an_archive_must_say_which(tmp_path) -> None:
    np.savez(tmp_path / "images.npz", a=np.ones(3), b=np.ones(3))
    with pytest.raises(click.UsageError, match="a, b"):
        load_array(tmp_path / "images.npz")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
def test_files_that_are_no_arrays(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(click.UsageError, match="cannot be read"):
        load_array(tmp_path / name)
