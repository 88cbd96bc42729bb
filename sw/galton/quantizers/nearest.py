"""Round to nearest: w ~ s round(w / s), with one step for the tensor, one for each channel, or each channel's best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.quantizers import Options

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

CANDIDATES = 80
"""Steps that `mse` tries between a fifth of the largest magnitude's and the whole."""


def round_to(weights: Reals, step: Reals, limit: int) -> Ints:
    """round(w / step) within +-limit, ties away from zero as the machine's; zeros where the step is.

    weights: (channels, ...); step: (channels,).
    """
    shaped = step.reshape(-1, *[1] * (weights.ndim - 1))
    ratio = np.divide(weights, shaped, out=np.zeros(weights.shape), where=shaped > 0)
    return np.asarray(np.sign(ratio) * np.minimum(np.floor(np.abs(ratio) + 0.5), limit), np.int64)


def tensor(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """One step, max |w| / limit, for the whole tensor."""
    step = np.full(len(weights), np.abs(weights).max(initial=0.0) / options.limit)
    return round_to(weights, step, options.limit), step


def channel(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """max |w| / limit of each channel."""
    step = np.abs(weights.reshape(len(weights), -1)).max(axis=1, initial=0.0) / options.limit
    return round_to(weights, step, options.limit), step


def mse(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The step of each channel whose rounding has the least squared error, clipping included."""
    step = best_step(weights.reshape(len(weights), -1), options.limit)
    return round_to(weights, step, options.limit), step


def best_step(rows: Reals, limit: int) -> Reals:
    """argmin over steps of sum (w - s round(w / s))^2 for each row of (channels, n): a scan, each refined by s = w.q / q.q."""
    widest = np.abs(rows).max(axis=1, initial=0.0) / limit
    best: Reals = widest.copy()
    least = np.full(len(rows), np.inf)
    for share in np.linspace(0.2, 1.0, CANDIDATES):
        found = round_to(rows, widest * share, limit)
        power = (found * found).sum(axis=1)
        step = np.divide((rows * found).sum(axis=1), power, out=widest * share, where=power > 0)
        error = ((rows - step[:, None] * round_to(rows, step, limit)) ** 2).sum(axis=1)
        better = error < least
        best[better], least[better] = step[better], error[better]
    return best
