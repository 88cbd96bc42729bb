"""What an accumulator can reach for any input at all: the arithmetic behind the overflow certificates.

Everything here is exact on integers. A bound is never exceeded; not every combination
of counts occurs, so it need not be reached.
"""

from __future__ import annotations

import numpy as np

from galton.format import FRACTION_BITS
from galton.network import Activation, Ints


def largest_count(activation: Activation, magnitude: int, count_limit: int) -> int:
    """The largest count that raw magnitudes 0..`magnitude` can give, cut to `count_limit`.

    A carried residue is at most 2^F - 1. In dynamic mode no magnitude passes the norm, so |a| m stays within N 2^F.
    """
    if magnitude < activation.dead_zone:
        return 0
    if activation.mode == "bypass":
        return min(magnitude, count_limit)
    if activation.dynamic:
        scaled = activation.samples << FRACTION_BITS
        product = min(magnitude * (scaled // (activation.samples + 1)), scaled)
    else:
        product = magnitude * activation.step
    residue = (1 << FRACTION_BITS) - 1 if activation.mode == "monte_carlo" else activation.residue
    return min((product + residue) >> FRACTION_BITS, count_limit)


def accumulator_bounds(weights: Ints, activation: Activation, low: int, high: int, count_limit: int) -> Ints:
    """The largest |acc| of each output channel for raw inputs low..high, shape (output channels,).

    Every tap takes the largest count of the sign that hurts; a dynamic Monte Carlo input has N hits in all, so no sum passes
    N times the largest weight. `weights` are (output channels, ...), the counts of `Layer.weights`.
    """
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    positive, negative = np.maximum(flat, 0).sum(axis=1), np.maximum(-flat, 0).sum(axis=1)
    above, below = (largest_count(activation, magnitude, count_limit) for magnitude in (max(high, 0), max(-low, 0)))
    bounds: Ints = np.maximum(positive * above + negative * below, negative * above + positive * below)
    if activation.dynamic and activation.mode == "monte_carlo":
        bounds = np.minimum(bounds, activation.samples * np.abs(flat).max(axis=1))
    return bounds
