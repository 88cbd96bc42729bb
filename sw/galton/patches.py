"""im2col rows at places drawn at random, the same in the float and in the quantized network's activations."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galton import processors
from galton.loops import released
from galton.quantizers.moments import Rows

ROWS = 24_000
"""Rows that a layer is calibrated on, where the data has as many."""
NUMBERS = 1 << 25
"""Numbers in a matrix of rows, at most; with many weights in a neuron there are fewer rows."""
OUTSIDE = -1
"""Where a tap meets the zeros around a map."""

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]


def sample_rows(
    quantized: Tensor,
    real: Tensor,
    kernel: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    share: float = 1.0,
    seed: int = 0,
) -> Rows:
    """Rows (groups, rows, channels of a group * places of the kernel) of maps (n, channels, rows, columns) or of any dimensions.

    As many places of each input as give about share * ROWS together; all places where there are no more.
    padding: before and behind, dimension by dimension.
    """
    count, channels = quantized.shape[:2]
    sizes = [
        (size + before + behind - spread * (taps - 1) - 1) // step + 1
        for size, before, behind, spread, taps, step in zip(
            quantized.shape[2:], padding[::2], padding[1::2], dilation, kernel, stride, strict=True
        )
    ]
    places = prod(sizes)
    wanted = max(int(share * min(ROWS, max(NUMBERS // (channels * prod(kernel)), 1))), 1)
    each = min(places, -(-wanted // count))
    generator = np.random.default_rng(seed)
    if each == places:
        chosen = np.broadcast_to(np.arange(places), (count, places))
    else:
        chosen = np.argsort(generator.random((count, places)), axis=1)[:, :each]
    corners = np.unravel_index(chosen.reshape(-1), sizes)
    offsets = np.indices(kernel).reshape(len(kernel), -1)
    taken, inside = np.zeros((count * each, prod(kernel)), np.int64), np.ones((count * each, prod(kernel)), np.bool_)
    for axis, size in enumerate(quantized.shape[2:]):
        along = corners[axis][:, None] * stride[axis] + offsets[axis] * dilation[axis] - padding[2 * axis]
        taken, inside = taken * size + along, inside & (along >= 0) & (along < size)
    places_of = np.where(inside, taken, OUTSIDE)
    return Rows(*(_gathered(values, places_of, each, groups) for values in (quantized, real)))


def _gathered(values: Tensor, places: Ints, each: int, groups: int) -> Singles:
    """Rows (groups, rows, channels of a group * taps) of maps (n, channels, ...); `each` rows of every input.

    places: of each row's taps in a map, (rows, taps), or OUTSIDE, where there are zeros.
    """
    channels = values.shape[1]
    maps = values.float().movedim(1, -1).reshape(len(values), -1, channels).contiguous().numpy()
    rows = np.empty((groups, len(places), channels // groups * places.shape[1]), np.float32)
    share = -(-len(places) // processors.count())

    def part(first: int) -> None:
        _gather(maps, places, each, first, min(first + share, len(places)), rows)

    with ThreadPoolExecutor(processors.count()) as pool:
        list(pool.map(part, range(0, len(places), max(share, 1))))
    return rows


@released
def _gather(maps: Singles, places: Ints, each: int, first: int, last: int, rows: Singles) -> None:
    """Fills rows[:, first:last]."""
    taps, width = places.shape[1], maps.shape[2] // len(rows)
    for row in range(first, last):
        for tap in range(taps):
            place = places[row, tap]
            for group in range(len(rows)):
                into, start = rows[group, row], group * width
                if place == OUTSIDE:
                    for channel in range(width):
                        into[channel * taps + tap] = 0
                else:
                    source = maps[row // each, place]
                    for channel in range(width):
                        into[channel * taps + tap] = source[start + channel]


def sample_vectors(quantized: Tensor, real: Tensor, *, share: float = 1.0, seed: int = 0) -> Rows:
    """Rows (1, rows, features) of vectors (..., features), at most share * ROWS drawn at random."""
    pair = [values.reshape(-1, values.shape[-1]) for values in (quantized, real)]
    count, wanted = len(pair[0]), max(int(share * min(ROWS, max(NUMBERS // pair[0].shape[1], 1))), 1)
    if count > wanted:
        places = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(count)[:wanted]))
        pair = [values[places] for values in pair]
    return Rows(*(values.float().numpy()[None] for values in pair))


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several calls of a layer."""
    return Rows(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("quantized", "real")))
