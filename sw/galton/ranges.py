"""Inputs that raw integers cannot hold: cut to the nearest one that they can, and counted, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import CalibrationError, RangeWarning

Ints = NDArray[np.int64]

CHOICES = ("saturate", "refuse")
"""What may be done with values out of range."""


@dataclass(frozen=True)
class Cut:
    """Values that were cut. values, inputs: how many, and in how many inputs. of_values, of_inputs: among how many.

    low, high: the real values that raw integers reach. furthest: the value that is furthest outside.
    """

    values: int
    inputs: int
    of_values: int
    of_inputs: int
    low: float
    high: float
    furthest: float

    def __bool__(self) -> bool:
        return self.values > 0

    def __str__(self) -> str:
        some = f"{self.values:,} of {self.of_values:,} input values, in {self.inputs:,} of {self.of_inputs:,} inputs"
        return f"{some}, are outside {self.low:.6g}..{self.high:.6g}; the furthest is {self.furthest:.6g}"


def rounded(values: NDArray[Any], scale: float, low: int, high: int) -> tuple[Ints, Cut]:
    """round(value / scale) of inputs (n, ...) clamped to low..high, and what was clamped.

    Raises CalibrationError for values that are not finite.
    """
    if not np.isfinite(values).all():
        first = np.argwhere(~np.isfinite(values))[0].tolist()
        raise CalibrationError(f"Input {first[0]} has {values[tuple(first)]} at {tuple(first[1:])}, not a finite number")
    raw = np.floor(values / scale + 0.5)
    outside = (raw < low) | (raw > high)
    distance = np.maximum(low - raw, raw - high)
    furthest = float(values.reshape(-1)[distance.argmax()]) if outside.any() else 0.0
    inputs = int(outside.reshape(len(values), -1).any(axis=1).sum()) if outside.any() else 0
    cut = Cut(int(outside.sum()), inputs, values.size, len(values), low * scale, high * scale, furthest)
    return np.clip(raw, low, high).astype(np.int64), cut


def warn(text: str) -> None:
    """Warn whoever called what calls `settle`."""
    warnings.warn(text, RangeWarning, stacklevel=4)


def settle(cut: Cut, out_of_range: str, warn: Callable[[str], None] = warn) -> None:
    """Say by `warn` that values were cut, or refuse them.

    Raises CalibrationError where `out_of_range` is "refuse" and there are any; ValueError for what is no choice.
    """
    if out_of_range not in CHOICES:
        raise ValueError(f"out_of_range must be one of {', '.join(CHOICES)}, not {out_of_range!r}")
    if cut and out_of_range == "refuse":
        raise CalibrationError(f"{cut}. Scale them as in calibration, or choose to saturate them")
    if cut:
        warn(f"{cut}. They are cut to that range")


__all__ = ["CHOICES", "Cut", "rounded", "settle"]
