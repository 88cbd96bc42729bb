"""Galton: from a trained PyTorch network to a verified, sparse, integer accelerator, without retraining.

`quantize`, `compile` and `simulate` are the whole path. They load what they need when they are first used: importing galton does
not import torch.
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
    MissingTool,
    UnsupportedLayer,
)

if TYPE_CHECKING:
    from galton.compiler import compile
    from galton.quantization import quantize
    from galton.simulation import simulate

LAZY = {"quantize": "galton.quantization", "compile": "galton.compiler", "simulate": "galton.simulation"}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'galton' has no attribute {name!r}")
    return getattr(import_module(LAZY[name]), name)


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
    "MissingTool",
    "UnsupportedLayer",
    "compile",
    "named",
    "quantize",
    "simulate",
]
