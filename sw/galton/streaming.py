"""The streaming quantizer over whole batches: arith.quantize_stream, vectorised by its telescoping sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.format import BYTE_BITS, FRACTION_BITS
from galton.network import Activation, Ints

MAGNITUDES = 1 << BYTE_BITS
"""Raw magnitudes are below it."""
TABLE = np.concatenate([np.arange(MAGNITUDES), np.arange(-MAGNITUDES, 0)])
"""Every activation, where `take` finds it."""
LARGEST_TABLE = 2 * MAGNITUDES
"""Activations from which on a table pays."""


def norms(raw: Ints, dead_zone: int) -> Ints:
    """T of each row of `raw` (n, size): the sum of the magnitudes that reach the dead zone, shape (n,)."""
    magnitude = np.abs(raw)
    total: Ints = np.where(magnitude >= dead_zone, magnitude, 0).sum(axis=1, dtype=np.int64)
    return total


def effective_norms(raw: Ints, activation: Activation) -> Ints:
    """max(T, N + 1) of each row, shape (n,)."""
    return np.maximum(norms(raw, activation.dead_zone), activation.samples + 1)


def counts(raw: Ints, activation: Activation, count_bits: int = 8) -> tuple[Ints, NDArray[np.bool_]]:
    """Signed counts (n, size) of raw activations (n, size) in walk order, and which of them were cut to the count width.

    The carried residue needs no loop: the hits up to place j telescope to (r_0 + m * sum of magnitudes) >> F.
    """
    if activation.mode != "monte_carlo" and not activation.dynamic and raw.size > LARGEST_TABLE:
        # Each count depends on its activation alone: those of all bytes are looked up.
        found, cut = counts(TABLE[None], activation, count_bits)
        return found[0].take(raw, mode="wrap"), cut[0].take(raw, mode="wrap")
    magnitude = np.abs(raw)
    magnitude = np.where(magnitude >= activation.dead_zone, magnitude, 0).astype(np.int64)
    if activation.mode == "bypass":
        hits = magnitude
    else:
        if activation.dynamic:
            step: Ints = (np.int64(activation.samples) << FRACTION_BITS) // effective_norms(raw, activation)[:, None]
        else:
            step = np.asarray(activation.step, np.int64)
        if activation.mode == "monte_carlo":
            reached = (activation.residue + step * np.cumsum(magnitude, axis=1)) >> FRACTION_BITS
            hits = np.diff(reached, axis=1, prepend=0)
        else:
            hits = (magnitude * step + activation.residue) >> FRACTION_BITS
    limit = (1 << count_bits) - 1
    kept = np.minimum(hits, limit)
    return np.where(raw < 0, -kept, kept), hits > limit
