"""One layer on data memories, activation by activation in the core's own order: the compiled part of the golden model.

Input words are read when their first activation is scanned, output words are written when their last activation is drained, and
an output row is drained as soon as ROW.done says so, the earliest that a core can be. So a tensor that is overwritten too soon
shows. Sums are those of 32-bit integers, which wrap; what is left of them in fewer bits is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from galton.format import FRACTION_BITS, TOTAL_BITS, WORD_BYTES
from galton.loops import released

Numbers = NDArray[Any]

inlined: Callable[..., Any] = numba.njit(inline="always")
"""Calls would copy all of `Steps`. Its arrays are taken out once: each time costs two atomic counts."""


class Steps(NamedTuple):
    """A layer as the compiled loops take it; arrays are int64 unless stated, places in bytes or in single accumulators.

    input_base, output_base, residual_base: places in the data memory, residual_base negative for none. columns, channels: of an
    input row. mode: 0 bypass, 1 Monte Carlo, 2 rounding. done, segments, ring_start, key: of each ROW, `ring_start` as a place,
    `key` a number for its weights. label, start: of each input column, `label` negative where it has no taps. taps: accumulators
    beside each other that an event of each label meets in a row. offset: (keys, labels) where in `weights` (int32) the first
    channel's, or vector's, begin. row_size, ring_size, left: of the ring. width: accumulators of a word. vectors: words
    of a pixel. vector, lane: the word and the place in it of each output channel. bias: (channels,). pool_y, pool_x: windows.
    """

    input_base: int
    output_base: int
    residual_base: int
    columns: int
    channels: int
    mode: int
    residue: int
    dead_zone: int
    count_limit: int
    accumulator_bits: int
    signed_input: bool
    signed_output: bool
    signed_residual: bool
    elementwise: bool
    done: Numbers
    segments: Numbers
    ring_start: Numbers
    key: Numbers
    label: Numbers
    start: Numbers
    taps: Numbers
    offset: Numbers
    weights: Numbers
    row_size: int
    ring_size: int
    left: int
    width: int
    vectors: int
    vector: Numbers
    lane: Numbers
    map_columns: int
    bias: Numbers
    residual_multiplier: int
    shift: int
    low: int
    high: int
    pool_y: int
    pool_x: int


@inlined
def wrapped(value: int, bits: int) -> int:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


@inlined
def byte(value: int, signed: bool) -> int:
    """What a byte of the memory stands for."""
    return value - 256 if signed and value > 127 else value


@released
def layer(
    s: Steps, memory: Numbers, steps: Numbers, multipliers: Numbers, counts: Numbers, saturations: Numbers, traced: bool
) -> None:
    """Run the layer on every row of `memory` (n, bytes).

    steps: (n,) of the quantizer. multipliers: (n, channels). counts: (n, size), filled where `traced`. saturations: (n,), zeros.
    """
    done, segments_of, ring_start, key, label_of, start = s.done, s.segments, s.ring_start, s.key, s.label, s.start
    taps_of, offset, weights, vector, lane, bias = s.taps, s.offset, s.weights, s.vector, s.lane, s.bias
    accumulators = np.zeros(s.ring_size, np.int32)
    word, gathered = np.zeros(WORD_BYTES, np.int64), np.zeros(WORD_BYTES, np.int64)
    for index in range(len(memory)):
        accumulators[:] = 0
        data, multiplier, step = memory[index], multipliers[index], steps[index]
        magnitudes, reached, drained, read, cut = 0, 0, 0, 0, 0
        for y in range(len(done)):
            for _ in range(done[y]):
                drain(s, data, accumulators, gathered, drained, multiplier, bias, vector, lane)
                drained += 1
            if y == len(done) - 1:
                break
            segments = segments_of[y]
            for x in range(s.columns):
                label = label_of[x]
                active = segments > 0 and label >= 0
                taps = taps_of[max(label, 0)]
                first, base = offset[key[y], max(label, 0)], ring_start[y]
                for channel in range(s.channels):
                    if read % WORD_BYTES == 0:
                        for place in range(WORD_BYTES):
                            word[place] = byte(data[s.input_base + read + place], s.signed_input)
                    raw = word[read % WORD_BYTES]
                    magnitude = abs(raw)
                    if magnitude < s.dead_zone:
                        magnitude = 0
                    hits = magnitude
                    if s.mode == 1:
                        magnitudes += magnitude
                        total = (s.residue + step * magnitudes) >> FRACTION_BITS
                        hits = total - reached
                        reached = total
                    elif s.mode == 2:
                        hits = (magnitude * step + s.residue) >> FRACTION_BITS
                    if hits > s.count_limit:
                        hits = s.count_limit
                        cut += active
                    if traced:
                        counts[index, read] = -hits if raw < 0 else hits
                    read += 1
                    if hits == 0 or not active:
                        continue
                    count = np.int32(-hits if raw < 0 else hits)
                    for segment in range(segments):
                        row = (base + segment * s.row_size) % s.ring_size + start[x]
                        if s.elementwise:
                            here = first + (vector[channel] * segments + segment) * taps * s.width + lane[channel]
                            row += vector[channel] * s.width + lane[channel]
                            for tap in range(taps):
                                accumulators[row + tap * s.vectors * s.width] += count * weights[here + tap * s.width]
                        else:
                            add(accumulators, row, weights, first + (channel * segments + segment) * taps, taps, count)
        saturations[index] = cut
        if s.pool_y == 1 and s.pool_x == 1:
            size = drained * s.map_columns * len(bias)
            rest = size % WORD_BYTES
            for place in range(WORD_BYTES if rest else 0):
                data[s.output_base + size - rest + place] = gathered[place] if place < rest else 0


@released
def add(accumulators: Numbers, base: int, weights: Numbers, first: int, size: int, count: int) -> None:
    """Add `size` weights times a count to as many accumulators."""
    target, source = accumulators[base : base + size], weights[first : first + size]
    for place in range(size):
        target[place] += count * source[place]


@inlined
def drain(
    s: Steps,
    data: Numbers,
    accumulators: Numbers,
    gathered: Numbers,
    row: int,
    multiplier: Numbers,
    bias: Numbers,
    vector: Numbers,
    lane: Numbers,
) -> None:
    """Rescale, add, clamp, pool and write a row of the map, and clear its accumulators; `gathered` is the incomplete word."""
    channels = len(bias)
    base = row * s.row_size % s.ring_size
    pooled = s.pool_y > 1 or s.pool_x > 1
    for x in range(s.map_columns):
        for channel in range(channels):
            value = accumulators[base + s.left + (x * s.vectors + vector[channel]) * s.width + lane[channel]]
            total = wrapped(value, s.accumulator_bits) * multiplier[channel] + bias[channel]
            place = (row * s.map_columns + x) * channels + channel
            if s.residual_base >= 0:
                total += byte(data[s.residual_base + place], s.signed_residual) * s.residual_multiplier
            raw = min(max(wrapped(total, TOTAL_BITS) >> s.shift, s.low), s.high)
            if pooled:
                cell = s.output_base + (row // s.pool_y * (s.map_columns // s.pool_x) + x // s.pool_x) * channels + channel
                if row % s.pool_y or x % s.pool_x:
                    raw = max(raw, byte(data[cell], s.signed_output))
                data[cell] = raw & 255
                continue
            gathered[place % WORD_BYTES] = raw & 255
            if place % WORD_BYTES == WORD_BYTES - 1:
                for back in range(WORD_BYTES):
                    data[s.output_base + place - back] = gathered[WORD_BYTES - 1 - back]
    accumulators[base : base + s.row_size] = 0
