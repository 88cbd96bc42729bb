"""What calibrated quantizers know of a layer's inputs: rows, and their moments H = cov(xq, xq), C = cov(xq, xf).

The output error of a neuron with float weights w and quantized ones q is E (q.xq - w.xf)^2, of which only H, C and the means are
needed; its least-squares answer is W* = (H + rho I)^-1 (C + rho I) W.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import CalibrationWarning
from galton.quantizers import Options

Reals = NDArray[np.float64]

PART = 2048
"""Rows whose products are summed at a time."""


@dataclass(frozen=True)
class Rows:
    """Inputs of a layer's neurons, row by row: im2col rows of a convolution.

    quantized, real: (groups, rows, weights of a neuron), what the quantized and the float network multiply with at one place.
    """

    quantized: NDArray[np.floating[Any]]
    real: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Moments:
    """h: cov(xq, xq), (groups, n, n). rows: what it is made of, from which c follows; None where xf is xq."""

    h: Reals
    rows: Rows | None = None
    centred: bool = True

    @cached_property
    def c(self) -> Reals:
        """cov(xq, xf), (groups, n, n); it costs as much as h, and more than `towards` of few neurons."""
        return self.h if self.rows is None else self._with(self.rows.real)

    def towards(self, neurons: Reals) -> Reals:
        """C w of neurons (groups, neurons, n), (groups, neurons, n)."""
        if self.rows is None or "c" in self.__dict__ or neurons.shape[1] >= neurons.shape[2]:
            return np.asarray(neurons @ self.c.transpose(0, 2, 1))
        turned = neurons.transpose(0, 2, 1).astype(self.rows.real.dtype)
        return np.asarray(self._with(self.rows.real @ turned).transpose(0, 2, 1))

    def _with(self, values: NDArray[np.floating[Any]]) -> Reals:
        """cov(xq, values) for values (groups, rows, any)."""
        assert self.rows is not None
        return covariance(self.rows.quantized, values, centred=self.centred)


def moments(rows: Rows, *, centred: bool = True) -> Moments:
    """Second moments of rows, about their means where `centred`."""
    return Moments(covariance(rows.quantized, rows.quantized, centred=centred), rows, centred)


def covariance(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]], *, centred: bool) -> Reals:
    """E one^T other of rows (groups, rows, any), about the means where `centred`; a part of the rows at a time."""
    groups, count, width = one.shape
    total: Reals = np.zeros((groups, width, other.shape[2]))
    if not count:
        return total
    middles = [mean(values) if centred else None for values in (one, other)]

    def part(values: NDArray[np.floating[Any]], middle: NDArray[np.floating[Any]] | None, first: int) -> NDArray[Any]:
        own = values[:, first : first + PART]
        return own if middle is None else own - middle

    for first in range(0, count, PART):
        left = part(one, middles[0], first)
        # With one array on both sides half of the products do.
        total += left.transpose(0, 2, 1) @ (left if other is one else part(other, middles[1], first))
    total /= count
    return total


def mean(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Mean over rows (groups, rows, any), in their own type: (groups, 1, any)."""
    ones = np.ones((1, PART), rows.dtype)
    parts = [rows[:, first : first + PART] for first in range(0, rows.shape[1], PART)]
    total = sum((ones[:, : part.shape[1]] @ part).astype(np.float64) for part in parts)
    return np.asarray(total / rows.shape[1]).astype(rows.dtype)


def power(neurons: Reals, rows: Rows, *, centred: bool = True) -> float:
    """E (w.xf)^2 summed over neurons (groups, neurons, n), about the means where `centred`."""
    real = _about_mean(rows.real) if centred else rows.real
    return float(((real @ neurons.transpose(0, 2, 1)) ** 2).sum() / max(real.shape[1], 1))


def _about_mean(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Values less their mean over the rows, in their own type."""
    return values - mean(values) if values.shape[1] else values


def of(weights: NDArray[np.float64], options: Options, *, centred: bool = True) -> tuple[Reals, Moments]:
    """The neurons' weights (groups, neurons of a group, n), and the moments of what they multiply with."""
    size = int(np.prod(weights.shape[1:]))
    if options.rows is None:
        same = np.eye(size)[None]
        return weights.reshape(1, len(weights), size), Moments(same)
    rows = options.rows()
    if isinstance(rows, Moments):
        return weights.reshape(len(rows.h), -1, size), rows
    if rows.quantized.shape[1] < size:
        warnings.warn(
            f"{options.name or 'A layer'}: {rows.quantized.shape[1]} calibration rows for neurons of {size} weights leave some "
            "of their moments open; give more calibration inputs, and samples= for as many",
            CalibrationWarning,
            stacklevel=2,
        )
    found = moments(rows, centred=centred)
    return weights.reshape(len(found.h), -1, size), found


def damped(matrix: Reals, share: float) -> Reals:
    """matrix (groups, n, n) with `share` of its mean diagonal added to the diagonal; the identity where that is zero."""
    size = matrix.shape[1]
    mean = np.trace(matrix, axis1=1, axis2=2)[:, None, None] / size
    level: Reals = np.where(mean > 0, share * mean, 1.0)
    result: Reals = matrix + level * np.eye(size)
    return result


def regress(neurons: Reals, found: Moments, share: float) -> Reals:
    """W* of float weights (groups, neurons, n): on the quantized inputs it comes closest to the float network's outputs."""
    level = damped(found.h, share) - found.h
    answer = np.linalg.solve(found.h + level, (found.towards(neurons) + neurons @ level).transpose(0, 2, 1))
    return np.asarray(answer.transpose(0, 2, 1), np.float64)


def grouped(weights: NDArray[Any], found: Moments) -> NDArray[Any]:
    """(outputs, ...) as (groups, outputs of a group, n)."""
    return weights.reshape(len(found.h), -1, found.h.shape[1])


def outputs_error(weights: Reals, integers: NDArray[np.int64], steps: Reals, found: Moments, *, fitted: bool) -> Reals:
    """E (s q.xq - w.xf)^2 of each output less E (w.xf)^2, at the best s of each where they are `fitted` afterwards."""
    neurons, floats = grouped(integers.astype(np.float64), found), grouped(weights, found)
    power = np.einsum("goi,gij,goj->go", neurons, found.h, neurons, optimize=True).reshape(-1)
    match = (neurons * found.towards(floats)).sum(axis=2).reshape(-1)
    if not fitted:
        return np.asarray(steps**2 * power - 2 * steps * match)
    return np.asarray(-np.divide(np.maximum(match, 0) ** 2, power, out=np.zeros_like(power), where=power > 0))
