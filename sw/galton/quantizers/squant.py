"""Flipped roundings without data, in the manner of SQuant (Guo et al. 2022, arXiv 2202.07471).

Round to nearest; then, kernel by kernel and after that channel by channel, round those weights the other way that are nearest to
it, until the errors of a kernel and of a channel sum to half a step at most. Inputs that are alike within a kernel, or within a
channel, then see almost no error. SQuant's steps are of a search of its own; here they are those of `nearest_mse`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.quantizers import Options
from galton.quantizers.nearest import best_step, round_to

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "squant" within +-limit, on steps of least squared rounding error by channel."""
    step = best_step(weights.reshape(len(weights), -1), options.limit)
    return balanced(weights, step, options.limit), step


def balanced(weights: Reals, step: Reals, limit: int) -> Ints:
    """Integers of weights (channels, inputs, rows, columns) on multiples of the steps (channels,).

    Errors of a channel sum to half a step at most, those of a kernel to one and a half, and no weight is off by more than one:
    all that where no weight is beyond the limit, and as far as the limit lets where one is.
    """
    integers = round_to(weights, step, limit).reshape(len(weights), weights.shape[1], -1)
    shaped = step[:, None, None]
    scaled = np.divide(weights.reshape(integers.shape), shaped, where=shaped > 0, out=np.zeros(integers.shape))
    rows = (-1, integers.shape[2])
    errors: Reals = scaled - integers
    integers += flips(errors.reshape(rows), integers.reshape(rows), limit).reshape(integers.shape)
    errors = scaled - integers
    return np.asarray((integers + flips_between(errors, integers, limit)).reshape(weights.shape), np.int64)


def flips(errors: Reals, integers: Ints, limit: int) -> Ints:
    """Changes of -1, 0 or 1 of integers (rows, n), so that the errors (rows, n) of each row sum to half a step."""
    total = errors.sum(axis=1, keepdims=True)
    sign = np.sign(total)
    gain = np.where(sign * integers < limit, sign * errors, -np.inf)
    place = np.argsort(np.argsort(-gain, axis=1, kind="stable"), axis=1)
    chosen = (place < np.round(np.abs(total))) & (gain > 0)
    return np.asarray(chosen * sign, np.int64)


def flips_between(errors: Reals, integers: Ints, limit: int) -> Ints:
    """Changes of integers (channels, kernels, n), one in a kernel at most; errors of each channel then sum to half a step."""
    total = errors.sum(axis=(1, 2))[:, None, None]
    sign = np.sign(total)
    gain = np.where(sign * integers < limit, sign * errors, -np.inf)
    best = gain.argmax(axis=2)[:, :, None]
    open_to = np.take_along_axis(gain, best, axis=2) > 0
    need = np.where(open_to, sign * errors.sum(axis=2, keepdims=True), -np.inf)
    place = np.argsort(np.argsort(-need, axis=1, kind="stable"), axis=1)
    result = np.zeros_like(integers)
    np.put_along_axis(result, best, ((place < np.round(np.abs(total))) & open_to) * sign.astype(np.int64), axis=2)
    return result
