"""Pixels side by side: a layer of few output channels as one that gives P neighbouring pixels of a row at once.

With C output channels, kernel (k_y, k_x) and stride (s_y, s_x), P pixels side by side are one pixel of P C channels, kernel (k_y,
k_x + (P - 1) s_x) and stride (s_y, P s_x): pixel p has the same weights, p s_x kernel columns further to the right. The output's
bytes stay where they are, since tensors are in (row, column, channel) order. So lanes and groups that had no channel get one; an
event walks about (k_x + (P - 1) s_x) / (P s_x) entries of each kernel row instead of k_x / s_x. See docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from galton.compiler.geometry import Geometry
from galton.compiler.pack import Columns, columns
from galton.config import Config
from galton.format import CHANNEL, MAXIMUM_KERNEL, MAXIMUM_STRIDE
from galton.network import Layer


@dataclass(frozen=True)
class Walked:
    """A stored layer as a machine walks it.

    pixels: P. geometry, packed: of the layer with its pixels side by side, the weights of each group. cycles: about what it
    takes if every activation is an event.
    """

    pixels: int
    geometry: Geometry
    packed: tuple[Columns, ...]
    cycles: int

    @property
    def channels(self) -> int:
        """CHANNEL records."""
        return len(self.geometry.layer.weights)

    @property
    def entries(self) -> tuple[int, ...]:
        """Entries of each group."""
        return tuple(len(part.lanes) for part in self.packed)

    @property
    def segments(self) -> int:
        """Words of the segment table."""
        return 0 if self.packed[0].segments is None else len(self.packed[0].segments)

    @property
    def fits(self) -> bool:
        """Whether accumulators and CHANNEL records have room for it."""
        geometry, config = self.geometry, self.geometry.config
        return geometry.least_ring_rows * geometry.row_words <= config.accumulator_words and self.channels <= config.channels


def side_by_side(layer: Layer, pixels: int) -> Layer:
    """The layer that gives `pixels` neighbouring pixels as the channels of one.

    Its outputs (rows, columns / pixels, pixels * channels) are the bytes of the layer's own.
    """
    outputs, rows, cols, channels = layer.weights.shape
    step = layer.stride[1]
    weights = np.zeros((pixels, outputs, rows, cols + (pixels - 1) * step, channels), layer.weights.dtype)
    for pixel in range(pixels):
        weights[pixel, :, :, pixel * step :][:, :, :cols] = layer.weights
    return replace(
        layer,
        weights=weights.reshape(pixels * outputs, *weights.shape[2:]),
        multiplier=np.tile(layer.multiplier, pixels),
        bias=np.tile(layer.bias, pixels),
        stride=(layer.stride[0], pixels * step),
    )


def possible(layer: Layer) -> list[int]:
    """Numbers of pixels that the layer can give at once, 1 first. Windows of a max-pool and elementwise vectors are not split."""
    if layer.elementwise or layer.pool != (1, 1):
        return [1]
    columns, step, kernel = layer.map_shape[1], layer.stride[1], layer.weights.shape[2]
    return [
        pixels
        for pixels in range(1, MAXIMUM_STRIDE // step + 1)
        if columns % pixels == 0 and kernel + (pixels - 1) * step <= MAXIMUM_KERNEL
    ]


def walked(layer: Layer, pixels: int, config: Config) -> Walked:
    """The stored layer with so many pixels side by side."""
    geometry = Geometry(side_by_side(layer, pixels) if pixels > 1 else layer, config)
    packed = tuple(columns(geometry, group) for group in range(config.groups))
    busiest = max(_entries(geometry, part, group) for group, part in enumerate(packed))
    return Walked(pixels, geometry, packed, max(busiest, prod(layer.input_shape)) + CHANNEL.words * len(geometry.layer.weights))


def _entries(geometry: Geometry, part: Columns, group: int) -> int:
    """Cycles of a group's walker if every activation is an event; a segment without entries takes one, too."""
    layer, columns = geometry.layer, geometry.layer.input_shape[1]
    vectors = geometry.vectors if layer.elementwise else layer.input_shape[2]
    walked, place = 0, 0
    for phase in geometry.phases:
        rows = [walk for walk in geometry.walks if walk.segments and walk.phase == phase]
        taps = len(geometry.row_taps(phase))
        for label in geometry.labels:
            met = len(geometry.column_taps(label, group))
            here, end = len(range(label, columns, layer.stride[1])) * (met > 0), place + vectors * taps
            dense = np.full(vectors * taps, met * geometry.tap_vectors * geometry.planes)
            counts = dense if part.segments is None else part.segments[place:end, 1]
            each = np.maximum(counts, 1).reshape(vectors, taps).sum(axis=0)
            walked += here * sum(int(each[walk.skipped :][: walk.segments].sum()) for walk in rows)
            place = end
    return walked


def choose(layers: Sequence[Layer], config: Config, spare: int) -> list[Walked]:
    """Each stored layer with as many pixels side by side as make it fastest, as long as everything fits.

    The layers that gain most come first. `spare`: words of the data memory that are left.
    """
    chosen = [walked(layer, 1, config) for layer in layers]
    ways: list[tuple[int, Walked]] = []
    for index, (layer, plain) in enumerate(zip(layers, chosen, strict=True)):
        others = [other for other in _promising(layer, plain, config) if other.fits]
        if others and not plain.fits:
            chosen[index] = min(others, key=lambda way: way.cycles)
        ways += [(index, way) for way in others]
    for index, way in sorted(ways, key=lambda found: found[1].cycles - chosen[found[0]].cycles):
        tried = [*chosen[:index], way, *chosen[index + 1 :]]
        if way.cycles < chosen[index].cycles and _fit(tried, config, spare):
            chosen = tried
    return chosen


def _promising(layer: Layer, plain: Walked, config: Config) -> Iterator[Walked]:
    """The layer with more pixels side by side, those that leave as many lanes idle left out."""
    return (walked(layer, pixels, config) for pixels in possible(layer)[1:] if fills_lanes(plain, pixels))


def fills_lanes(plain: Walked, pixels: int) -> bool:
    """Whether so many pixels side by side need fewer vectors than one after the other."""
    vectors = -(-pixels * plain.geometry.group_channels // plain.geometry.config.lanes)
    return vectors < pixels * plain.geometry.vectors


def _fit(layers: Sequence[Walked], config: Config, spare: int) -> bool:
    """Whether weights, segment table and the program's CHANNEL records have room."""
    entries = np.sum([layer.entries for layer in layers], axis=0).max()
    segments = sum(layer.segments for layer in layers)
    more = sum(layer.channels - layer.channels // layer.pixels for layer in layers)
    return bool(entries <= config.weight_words and segments <= config.table_words and CHANNEL.words * more <= spare)
