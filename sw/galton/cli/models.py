"""Brings a user's network and calibration images into the program."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galton.cli.common import first_line, load_array

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_model(specification: str, weights: Path | None) -> nn.Module:
    """The network that `specification` names, in evaluation mode.

    specification: `file.py:callable`, whose call returns a torch module, a `.onnx` file, or a `.pt2` file of torch.export.
    weights: a state dict, .safetensors or .pt, that the module takes.
    Raises click.UsageError for whatever of this does not work, and what galton.load_onnx raises.
    """
    if specification.endswith((".pt2", ".onnx")) and weights is not None:
        raise click.UsageError(f"A {Path(specification).suffix} file holds its own weights: leave --weights out")
    if specification.endswith(".onnx"):
        from galton.onnx_files import load

        require(Path(specification))
        return load(specification)
    if specification.endswith(".pt2"):
        return load_exported(Path(specification))
    file, _, name = specification.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise click.UsageError(f"MODEL must be file.py:callable, a .onnx or a .pt2 file, not {specification!r}")
    model = call(Path(file), name)
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def load_exported(path: Path) -> nn.Module:
    """The module of a torch.export file."""
    import torch

    require(path)
    try:
        return torch.export.load(path).module()
    except Exception as error:
        raise click.UsageError(f"{path} cannot be read as a torch.export file: {first_line(error)}") from error


def call(path: Path, name: str) -> nn.Module:
    """What the function `name` of the Python file returns; its folder is importable while it runs."""
    from torch import nn

    require(path)
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found.loader.exec_module(module)
        model = getattr(module, name)()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        raise click.UsageError(f"{path}:{name} does not give a model: {type(error).__name__}: {error} ({place})") from error
    finally:
        sys.path.pop(0)
    if not isinstance(model, nn.Module):
        raise click.UsageError(f"{path}:{name} must return a torch.nn.Module, not {type(model).__name__}")
    return model


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state dict into `model`; every name and shape must agree."""
    import torch
    from safetensors.torch import load_file

    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise click.UsageError(f"{path} cannot be read as a state dict: {first_line(error)}") from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise click.UsageError(f"{path} does not fit the model: {error}") from error


def load_calibration(path: Path) -> Tensor:
    """Calibration inputs in the model's own layout, the batch first: float32, or int64 where the file has integers."""
    import torch

    values = load_array(path)
    return torch.from_numpy(values).to(torch.int64 if values.dtype.kind in "iub" else torch.float32)


def require(path: Path) -> None:
    """Raise click.UsageError where there is no such file."""
    if not path.is_file():
        raise click.UsageError(f"There is no file {path}")
