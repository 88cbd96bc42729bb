"""Walk orders of Monte Carlo quantization: blocks of places in the flattened weights, a few bytes each.

array: as stored. magnitude: smallest first, ties as stored. channel_sign: one output channel (axis 0) after the other, in each
first the positive weights and zeros, then the negative ones, each as stored: the mass of a channel's positive and of its negative
weights is kept to within one hit, and neighbouring taps cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 15
"""Places in a block: its float64 numbers stay in the cache."""
ORDERS = ("array", "magnitude", "channel_sign")

Flat = NDArray[Any]
Places = slice | NDArray[Any]


def magnitudes(block: Flat) -> NDArray[np.float64]:
    """|values| in float64."""
    real: NDArray[np.float64] = block.astype(np.float64)
    return np.abs(real, out=real)


def walker(flat: Flat, channel_size: int, order: str) -> Callable[[], Iterable[Places]]:
    """What gives the places of `flat` in walk order, at most BLOCK at a time; channels are `channel_size` neighbours.

    magnitude keeps 4 bytes a value (8 from 2^32 values on), the others next to nothing.
    """
    if order == "channel_sign":
        return lambda: _by_channel_and_sign(flat, channel_size)
    starts = range(0, len(flat), BLOCK)
    if order == "array":
        return lambda: (slice(start, start + BLOCK) for start in starts)
    permutation = by_magnitude(flat)
    return lambda: (permutation[start : start + BLOCK] for start in starts)


def _by_channel_and_sign(flat: Flat, channel_size: int) -> Iterator[Places]:
    """Whole channels sorted together where several fit in a block; two passes over each channel where not."""
    if 2 * channel_size <= BLOCK:
        step = BLOCK // channel_size * channel_size
        for start in range(0, len(flat), step):
            negative = flat[start : start + step] < 0
            keys = (2 * (np.arange(len(negative)) // channel_size) + negative).astype(np.uint16)
            yield start + np.argsort(keys, kind="stable")
        return
    for channel in range(0, len(flat), channel_size):
        for wanted in (False, True):
            for start in range(channel, channel + channel_size, BLOCK):
                negative = flat[start : min(start + BLOCK, channel + channel_size)] < 0
                places = start + np.flatnonzero(negative == wanted)
                if places.size:
                    yield places


def by_magnitude(flat: Flat) -> NDArray[Any]:
    """The stable permutation that sorts |flat|, with little more memory than its own.

    A counting sort by sign-less exponent and first mantissa bits, block by block, then a sort within each bucket.
    """
    permutation: NDArray[Any] = np.empty(len(flat), np.uint32 if len(flat) < 1 << 32 else np.uint64)
    starts = range(0, len(flat), BLOCK)
    ends = np.zeros(1 << 16, np.int64)
    for start in starts:
        ends += np.bincount(_coarse(flat[start : start + BLOCK]), minlength=1 << 16)
    places = np.cumsum(ends) - ends
    for start in starts:
        keys = _coarse(flat[start : start + BLOCK])
        order = np.argsort(keys, kind="stable")
        values, first, sizes = np.unique(keys[order], return_index=True, return_counts=True)
        permutation[np.arange(len(keys)) + np.repeat(places[values] - first, sizes)] = start + order
        places[values] += sizes
    for key in np.flatnonzero(ends > 1):
        bucket = permutation[places[key] - ends[key] : places[key]]
        values = np.abs(flat[bucket])
        if (values[1:] < values[:-1]).any():
            bucket[:] = bucket[np.argsort(values, kind="stable")]
    return permutation


def _coarse(block: Flat) -> NDArray[np.uint16]:
    """Sixteen bits that grow with the magnitude: sign-less exponent and the first mantissa bits of float32."""
    with np.errstate(over="ignore"):
        single = np.abs(block.astype(np.float64)).astype(np.float32)
    return (single.view(np.uint32) >> 15).astype(np.uint16)
