"""What the inputs of a layer are like when there is no data: moments of a stationary field of values behind a ReLU.

A unit Gaussian behind a ReLU has the mean square .5, of which .16 is the squared mean and .34 the variance. Neighbouring taps of
one channel share half of that variance, channels share none of it.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.quantizers.moments import Moments

Reals = NDArray[np.float64]

SQUARED_MEAN = 1 / (2 * pi)
VARIANCE = 0.5 - SQUARED_MEAN
SHARED = 0.5
"""Correlation of two taps of one channel."""


def second_moment(channels: int, taps: int, *, centred: bool = False) -> Reals:
    """E x x^T of the inputs of a neuron, (n, n), n = channels * taps, channel by channel; their covariance where `centred`."""
    within = VARIANCE * (SHARED * np.ones((taps, taps)) + (1 - SHARED) * np.eye(taps))
    whole: Reals = np.kron(np.eye(channels), within).astype(np.float64)
    return whole if centred else whole + SQUARED_MEAN


def keep_power(weights: Reals, integers: NDArray[np.int64], steps: Reals) -> Reals:
    """Steps (outputs,) with which `integers` give outputs of the prior power that those of `weights` have.

    Of the least-squares steps these make up for what the error took. A channel without power keeps its step.
    """
    matrix = second_moment(weights.shape[1], int(np.prod(weights.shape[2:])))
    wanted, reached = (((rows @ matrix) * rows).sum(axis=1) for rows in (flat(weights), flat(integers) * steps[:, None]))
    factor = np.sqrt(np.divide(wanted, reached, out=np.ones(len(steps)), where=(reached > 0) & (wanted > 0)))
    kept: Reals = steps * factor
    return kept


def least_squares(weights: Reals, integers: NDArray[np.int64], steps: Reals) -> Reals:
    """Steps (outputs,) with which `integers` come closest to `weights` under the prior, means included.

    A channel that runs against its weights keeps its step.
    """
    matrix = second_moment(weights.shape[1], int(np.prod(weights.shape[2:])))
    counts = flat(integers)
    power, match = (((counts @ matrix) * rows).sum(axis=1) for rows in (counts, flat(weights)))
    fitted: Reals = np.where((power > 0) & (match > 0), np.divide(match, power, out=np.ones_like(power), where=power > 0), steps)
    return fitted


def flat(weights: NDArray[Any]) -> Reals:
    """(outputs, ...) as (outputs, n)."""
    return weights.reshape(len(weights), -1).astype(np.float64)


def moments(shape: tuple[int, ...], *, centred: bool = False) -> Moments:
    """Moments of the inputs of weights (outputs, channels of a group, rows, columns), the same in the quantized network.

    Where nothing fits the biases afterwards, the mean belongs to the error: not `centred`.
    """
    same = second_moment(shape[1], int(np.prod(shape[2:])), centred=centred)[None]
    return Moments(same)
