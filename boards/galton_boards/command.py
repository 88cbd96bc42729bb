"""What the command lines of this package's modules share: a user's mistake is a message and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import CalibrationError, GaltonError


def answered(work: Callable[[], int]) -> int:
    """The exit code of `work`: its own; 2 for misuse, 1 for other mistakes of a user, told on standard error; 130 for Ctrl-C."""
    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (GaltonError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        no = isinstance(error, GaltonError) and not isinstance(error, CalibrationError | ValueError)
        return 1 if no else 2


def positive(text: str) -> int:
    """An option's value as an integer of 1 or more. Raises argparse.ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no integer of 1 or more")
    return int(text)


def raw_inputs(path: Path, count: int) -> NDArray[Any]:
    """The first `count` raw inputs (n, rows, columns, channels) of a .npy file. Raises CalibrationError where it has none."""
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CalibrationError(f"{path} is no .npy file of raw inputs") from error
    if not isinstance(found, np.ndarray) or found.ndim != 4 or found.dtype.kind not in "iu":
        raise CalibrationError(f"{path} must hold raw inputs, integers of shape (n, rows, columns, channels)")
    return found[:count].astype(np.int64)
