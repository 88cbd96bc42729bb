"""Every tap lands where convolution says, walked from nothing but the fields."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from galton.compiler.geometry import Geometry
from galton.compiler.program import ring
from galton.config import Config
from galton.network import Layer

CONFIG = Config("x", lanes=2, accumulator_words=4096)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """A layer of any geometry, 3 output channels."""
    height, width, rows, columns = (draw(st.integers(1, high)) for high in (12, 12, 6, 6))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, 7)) for _ in range(4))
    pool = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    map_rows = (height + padding[0] + padding[1] - rows) // stride[0] + 1
    map_columns = (width + padding[2] + padding[3] - columns) // stride[1] + 1
    assume(map_rows >= pool[0] and map_columns >= pool[1])
    vector = np.zeros(3, np.int64)
    weights = np.ones((3, rows, columns, 1), np.int64)
    return Layer("x", (height, width, 1), weights, vector, vector, 12, 0, 255, stride=stride, padding=padding, pool=pool)


def expected(layer: Layer) -> set[tuple[int, ...]]:
    """(y, x, output row, output column, kernel row, kernel column) of every product whose output row is in the map."""
    (height, width, _), (_, rows, columns, _) = layer.input_shape, layer.weights.shape
    found = set()
    for y, x, ky, kx in product(range(height), range(width), range(rows), range(columns)):
        (oy, rest_y), (ox, rest_x) = (
            divmod(place + pad - tap, stride)
            for place, pad, tap, stride in (
                (y, layer.padding[0], ky, layer.stride[0]),
                (x, layer.padding[2], kx, layer.stride[1]),
            )
        )
        if not rest_y and not rest_x and 0 <= oy < layer.map_shape[0]:
            found.add((y, x, oy, ox, ky, kx))
    return found


def walked(geometry: Geometry) -> set[tuple[int, ...]]:
    """The same from the fields of LAYER and ROW."""
    stride, vectors, found, done = geometry.layer.stride[1], geometry.vectors, set(), 0
    for y, walk in enumerate(geometry.walks[:-1]):
        done += walk.done
        kernel_rows = geometry.row_taps(walk.phase)[walk.skipped :][: walk.segments]
        assert len(kernel_rows) == walk.segments
        word = geometry.start
        for x in range(geometry.layer.input_shape[1]):
            label = x % stride
            first = word + (vectors if geometry.short >> label & 1 else 0)
            taps = geometry.column_taps(label, 0)
            assert (label in geometry.labels) == bool(taps)
            for (segment, ky), (tap, kx) in product(enumerate(kernel_rows), enumerate(taps)):
                place = first + tap * vectors
                assert 0 <= place <= geometry.row_words - vectors
                found.add((y, x, done + segment, place // vectors - geometry.left, ky, kx))
            word += vectors * (geometry.advance >> label & 1)
    return found


@given(layer=layers())
@settings(max_examples=300, deadline=None)
def test_every_tap_lands_where_convolution_says(layer: Layer) -> None:
    assert walked(Geometry(layer, CONFIG)) == expected(layer)


@given(layer=layers(), groups=st.integers(2, 8), seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_every_tap_of_groups_with_kernels_of_their_own(layer: Layer, groups: int, seed: int) -> None:
    """Each group walks what has a weight there, and of other kernel columns no more than makes one tap less than the most."""
    rng, (_, rows, columns, _) = np.random.default_rng(seed), layer.weights.shape
    used = np.zeros((groups, columns), np.int64)
    for own in used:
        first, end = sorted(rng.integers(0, columns + 1, size=2))
        own[first:end] = rng.random(end - first) < rng.choice([0.5, 1])
    weights = np.broadcast_to(used[:, None, :, None], (groups, rows, columns, 1))
    vector = np.zeros(groups, np.int64)
    geometry = Geometry(replace(layer, weights=weights, multiplier=vector, bias=vector), replace(CONFIG, groups=groups))
    stride, most = layer.stride[1], geometry.kernel_columns
    for group, own in enumerate(used):
        places = set()
        for x in range(layer.input_shape[1]):
            label = x % stride
            short, fewer, late = geometry.short >> label, geometry.fewer >> 4 * group + label, geometry.late >> 4 * group + label
            taps = geometry.column_taps(label, group)
            advances = sum(geometry.advance >> before % stride & 1 for before in range(x))
            if label not in geometry.labels:
                assert not taps
                continue
            assert len(taps) == most - (short & 1) - (fewer & 1) >= most - 1
            first = geometry.start // geometry.vectors + advances + (short & 1) + (late & 1)
            for place, tap in enumerate(taps):
                assert 0 <= first + place < geometry.row_words // geometry.vectors
                assert (first + place - geometry.left) * stride + tap == x + layer.padding[2]
                if tap < columns and own[tap]:
                    places.add((x, tap))
        pairs = product(range(layer.input_shape[1]), np.flatnonzero(own).tolist())
        assert places == {(x, tap) for x, tap in pairs if (x + layer.padding[2] - tap) % stride == 0}
    assert most <= -(-columns // stride)


@given(layer=layers())
@settings(max_examples=300, deadline=None)
def test_every_row_is_done_and_the_ring_holds_what_is_touched(layer: Layer) -> None:
    geometry = Geometry(layer, CONFIG)
    done, held = 0, [0]
    for walk in geometry.walks:
        done += walk.done
        held.append(walk.segments)
    kernel, stride = layer.weights.shape[1], layer.stride[0]
    assert geometry.done_at_once <= max(1, 1 + (layer.padding[0] - kernel) // stride)
    assert done == layer.map_shape[0]
    assert geometry.walks[-1].segments == 0
    assert geometry.least_ring_rows == max(1, *held) <= ring(geometry)
    assert geometry.least_ring_rows <= max(1, -(-kernel // stride))


@given(layer=layers())
@settings(max_examples=100, deadline=None)
def test_rows_are_done_as_soon_as_nothing_touches_them(layer: Layer) -> None:
    geometry = Geometry(layer, CONFIG)
    last, done = [0] * layer.map_shape[0], 0
    for y, walk in enumerate(geometry.walks):
        done += walk.done
        for row in range(done, done + walk.segments):
            last[row] = y + 1
    complete = np.maximum.accumulate(last)
    assert [walk.done for walk in geometry.walks] == [int((complete == y).sum()) for y in range(len(geometry.walks))]


@pytest.mark.parametrize(("groups", "channels", "lanes", "vectors"), [(1, 8, 8, 1), (1, 9, 8, 2), (3, 9, 2, 2), (2, 4, 8, 1)])
def test_vectors_of_a_group(groups: int, channels: int, lanes: int, vectors: int) -> None:
    vector = np.zeros(channels, np.int64)
    layer = Layer("x", (1, 1, 1), np.ones((channels, 1, 1, 1), np.int64), vector, vector, 12, 0, 255)
    geometry = Geometry(layer, Config("x", groups=groups, lanes=lanes))
    assert (geometry.vectors, geometry.group_channels) == (vectors, channels // groups)
