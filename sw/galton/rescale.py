"""From real scales to the integers of the drain: multiplier, bias and shifts for as many significant bits as provably fit.

Both functions take the largest shift for which every multiplier has 16 bits and no total passes 32 bits for any input.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galton.errors import AccumulatorOverflow
from galton.format import MULTIPLIER_BITS, SHIFTS, TOTAL_BITS
from galton.network import Ints

LARGEST_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
LARGEST_TOTAL = (1 << (TOTAL_BITS - 1)) - 1


NOTHING = (0.0, 0)
"""No residual."""


class Rescaling(NamedTuple):
    """`Layer.multiplier`, `Layer.bias` (no rounding constant), `Layer.shift` and `Layer.residual_multiplier`."""

    multiplier: Ints
    bias: Ints
    shift: int
    residual_multiplier: int = 0


class DynamicRescaling(NamedTuple):
    """`Layer.multiplier`, `norm_shift`, `multiplier_shift`, `shift`, `bias` and `residual_multiplier`."""

    multiplier: Ints
    norm_shift: int
    multiplier_shift: int
    shift: int
    bias: Ints
    residual_multiplier: int = 0


def rescaling(
    real_multipliers: ArrayLike,
    real_bias: ArrayLike,
    bound: ArrayLike,
    *,
    residual: tuple[float, int] = NOTHING,
    name: str = "A layer",
) -> Rescaling:
    """raw = acc * real_multipliers + real_bias as (acc * multiplier + bias) >> shift.

    Parameters
    ----------
    real_multipliers: raw output steps for one accumulator unit, (channels,) or a scalar, finite, not negative.
    real_bias: raw output steps, (channels,) or a scalar.
    bound: largest |acc|, (channels,) or a scalar: `bounds.accumulator_bounds`.
    residual: raw output steps for one unit of the residual tensor, and its largest magnitude.
    name: the layer, for messages.

    Raises ValueError for values that are negative or not finite, AccumulatorOverflow where no shift fits.
    """
    real, bias, bounds = _checked(name, real_multipliers, real_bias, bound)
    for shift in reversed(SHIFTS):
        multiplier = np.floor(real * 2.0**shift + 0.5)
        integer_bias = np.floor(bias * 2.0**shift + 0.5)
        added = _residual(residual, shift)
        total = _total(bounds, multiplier, integer_bias, shift) + added * residual[1]
        if max(multiplier.max(), added) <= LARGEST_MULTIPLIER and total <= LARGEST_TOTAL:
            return Rescaling(multiplier.astype(np.int64), integer_bias.astype(np.int64), shift, added)
    raise _overflow(name, real, bias, bounds)


def dynamic_rescaling(
    real_multipliers: ArrayLike,
    samples: int,
    norm_max: int,
    real_bias: ArrayLike = 0.0,
    bound: ArrayLike = 0,
    *,
    residual: tuple[float, int] = NOTHING,
    name: str = "A layer",
) -> DynamicRescaling:
    """raw = acc * real_multipliers * T + real_bias, T the norm of the very input, as arith.dynamic_multiplier and requantize.

    Parameters
    ----------
    real_multipliers: raw output steps for one accumulator unit and one unit of norm, (channels,) or a scalar, not negative.
    samples: N of the activation. norm_max: largest norm of any input, its size times its largest magnitude.
    real_bias, bound, residual, name: as in `rescaling`; a bound of 0 leaves the total to the compiler's certificate.

    Raises ValueError for values that are negative or not finite, AccumulatorOverflow where no pair of shifts fits.
    """
    real, bias, bounds = _checked(name, real_multipliers, real_bias, bound)
    largest_norm = max(norm_max, samples + 1)
    norm_shift = max(0, largest_norm.bit_length() - MULTIPLIER_BITS)
    short = largest_norm >> norm_shift
    for shift in reversed(SHIFTS):
        integer_bias = np.floor(bias * 2.0**shift + 0.5)
        added = _residual(residual, shift)
        for index, multiplier_shift in reversed(list(enumerate(SHIFTS))):
            multiplier = np.floor(real * 2.0 ** (shift + norm_shift + multiplier_shift) + 0.5)
            if max(multiplier.max(), added) > LARGEST_MULTIPLIER:
                continue
            result = np.floor(multiplier * short / 2.0**multiplier_shift)
            total = _total(bounds, result, integer_bias, shift) + added * residual[1]
            if result.max() <= LARGEST_MULTIPLIER and total <= LARGEST_TOTAL:
                return DynamicRescaling(
                    multiplier.astype(np.int64), norm_shift, index, shift, integer_bias.astype(np.int64), added
                )
    raise _overflow(name, real * largest_norm, bias, bounds)


Reals = NDArray[np.float64]


def _checked(name: str, real_multipliers: ArrayLike, real_bias: ArrayLike, bound: ArrayLike) -> tuple[Reals, Reals, Reals]:
    """The three as equally long float64 vectors; every integer below 2^53 is exact in them."""
    arrays = [np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in (real_multipliers, real_bias, bound)]
    real, bias, bounds = np.broadcast_arrays(*arrays)
    if not (np.isfinite(real).all() and np.isfinite(bias).all()):
        raise ValueError(f"{name}: multipliers and bias must be finite")
    if real.min() < 0:
        raise ValueError(
            f"{name}: multipliers must not be negative, as that of channel {int(real.argmin())} is; negate its weights"
        )
    return real, bias, bounds


def _residual(residual: tuple[float, int], shift: int) -> int:
    """The residual's multiplier, 0 for no residual and at least 1 for any."""
    return max(int(np.floor(residual[0] * 2.0**shift + 0.5)), 1) if residual[1] else 0


def _total(bounds: Reals, multiplier: Reals, bias: Reals, shift: int) -> float:
    """The largest |acc * multiplier + stored bias|."""
    return float((bounds * multiplier + np.abs(bias) + 2.0 ** (shift - 1)).max())


def _overflow(name: str, real: Reals, bias: Reals, bounds: Reals) -> AccumulatorOverflow:
    """The message for rescaling that no shift makes fit."""
    channel = int((real * bounds + np.abs(bias)).argmax())
    reach = real[channel] * bounds[channel] + abs(bias[channel])
    multipliers, totals = LARGEST_MULTIPLIER / (1 << SHIFTS[0]), LARGEST_TOTAL / (1 << SHIFTS[0])
    return AccumulatorOverflow(
        f"{name}: channel {channel} has multiplier {real[channel]:.4g} and bias {bias[channel]:.4g} in steps of its output, "
        f"so with an accumulator of up to {int(bounds[channel])} it can reach {reach:.4g} steps; "
        f"{MULTIPLIER_BITS}-bit multipliers go to {multipliers:.4g}, {TOTAL_BITS}-bit totals to {totals:.4g}. "
        "A coarser output scale fits."
    )
