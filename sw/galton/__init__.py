"""Galton: from a trained PyTorch network to a verified, sparse, integer accelerator, without retraining.

`quantize`, `compile` and `simulate` are the whole path, `connect` reaches a board; `save` and `load` keep what `quantize` gives,
`load_onnx` reads ONNX files. They load what they need when they are first used: importing galton does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galton.config import Config, named
from galton.errors import (
    AccumulatorOverflow,
    CalibrationError,
    FitError,
    GaltonError,
    HardwareMismatch,
    ImageError,
    LinkError,
    MissingTool,
    NoAnswer,
    PortError,
    UnsupportedLayer,
    WrongBoard,
)

if TYPE_CHECKING:
    from galton.compiler import compile
    from galton.link import connect
    from galton.onnx_files import load as load_onnx
    from galton.quantization import quantize
    from galton.saving import load, save
    from galton.simulation import simulate

LAZY = {
    "quantize": ("galton.quantization", "quantize"),
    "save": ("galton.saving", "save"),
    "load": ("galton.saving", "load"),
    "load_onnx": ("galton.onnx_files", "load"),
    "compile": ("galton.compiler", "compile"),
    "simulate": ("galton.simulation", "simulate"),
    "connect": ("galton.link", "connect"),
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'galton' has no attribute {name!r}")
    module, member = LAZY[name]
    return getattr(import_module(module), member)


def __dir__() -> list[str]:
    return sorted([*globals(), *LAZY])


__all__ = [
    "AccumulatorOverflow",
    "CalibrationError",
    "Config",
    "FitError",
    "GaltonError",
    "HardwareMismatch",
    "ImageError",
    "LinkError",
    "MissingTool",
    "NoAnswer",
    "PortError",
    "UnsupportedLayer",
    "WrongBoard",
    "compile",
    "connect",
    "load",
    "load_onnx",
    "named",
    "quantize",
    "save",
    "simulate",
]
