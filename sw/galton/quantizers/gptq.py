"""Optimal brain quantization column by column (Frantar et al. 2022, GPTQ): each rounding error is spread over what is left.

With H^-1 = U^T U, U upper triangular in the order of descending H_jj: rounding weight j by e costs (e / U_jj)^2, and the weights
behind it move by -(e / U_jj) U_j. A price of a non-zero drops a weight whose keeping gains less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.loops import compiled
from galton.quantizers import Options
from galton.quantizers.moments import damped, of, regress
from galton.quantizers.nearest import best_step

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

DAMPING = 0.01


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "gptq": H of the quantized network's inputs, steps of least squared rounding error by channel.

    extra: "damping" (.01) of the mean diagonal; "regress": start from W*, fitted to the float network's outputs.
    """
    step = best_step(weights.reshape(len(weights), -1), options.limit)
    neurons, found = of(weights, options)
    damping = float(options.extra.get("damping", DAMPING))
    if options.extra.get("regress"):
        neurons = regress(neurons, found, damping)
    steps = step.reshape(neurons.shape[:2])
    pairs = zip(neurons, damped(found.h, damping), steps, strict=True)
    return np.stack([feedback(*group, options.limit, 0.0) for group in pairs]).reshape(weights.shape), step


def feedback(neurons: Reals, h: Reals, step: Reals, limit: int, price: float) -> Ints:
    """Integers (neurons, n) of weights (neurons, n) for positive definite h (n, n).

    A weight is zero where keeping it gains less than `price`: s^2 (z^2 - (z - round z)^2) / U_jj^2 with z = w / s.
    """
    return spread(neurons, factor(h), step, limit, price)


def factor(h: Reals) -> tuple[Ints, Reals]:
    """The order of descending h_jj, and U with U^T U the inverse of h in that order; h (n, n) positive definite."""
    order = np.argsort(-np.diag(h), kind="stable")
    inverse = np.linalg.inv(h[np.ix_(order, order)])
    return order, np.ascontiguousarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)


def spread(neurons: Reals, factored: tuple[Ints, Reals], step: Reals, limit: int, price: float) -> Ints:
    """`feedback` with what `factor` gives."""
    order, upper = factored
    work = np.ascontiguousarray(neurons[:, order], np.float64)
    integers = np.zeros(work.shape, np.int64)
    _feedback(work, upper, np.ascontiguousarray(step, np.float64), float(limit), float(price), integers)
    result = np.empty_like(integers)
    result[:, order] = integers
    return result


@compiled
def _feedback(work: Reals, upper: Reals, step: Reals, limit: float, price: float, integers: Ints) -> None:
    """Consumes `work` (neurons, n), fills `integers`."""
    neurons, size = work.shape
    for neuron in range(neurons):
        row, s = work[neuron], step[neuron]
        if s <= 0:
            continue
        for j in range(size):
            diagonal = upper[j, j]
            z = row[j] / s
            nearest = min(max(np.round(z), -limit), limit)
            if s * s * (z * z - (z - nearest) ** 2) <= price * diagonal * diagonal:
                nearest = 0.0
            integers[neuron, j] = int(nearest)
            error = (row[j] - nearest * s) / diagonal
            for k in range(j + 1, size):
                row[k] -= error * upper[j, k]
