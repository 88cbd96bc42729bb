"""Direct convolution against loops over galton.arith."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galton import arith, reference
from galton.errors import AccumulatorOverflow
from galton.network import Activation, Layer, Network

MODES = {
    "bypass": Activation(),
    "monte_carlo": Activation("monte_carlo", step=3000, residue=arith.initial_residue(0.3)),
    "rounding": Activation("rounding", step=900, residue=1 << 15, dead_zone=9),
    "dynamic": Activation("monte_carlo", samples=40, dead_zone=3),
    "dynamic_rounding": Activation("rounding", samples=200, residue=1 << 15),
}


def by_loops(layer: Layer, raw: list[int], count_bits: int = 8) -> tuple[list[int], int, list[int]]:
    """Counts, norm and raw outputs of one input, all flat, in nothing but Python integers and galton.arith."""
    (height, width, channels), activation = layer.input_shape, layer.activation
    norm = arith.norm(raw, activation.dead_zone)
    step = arith.dynamic_step(norm, activation.samples) if activation.dynamic else activation.step
    counts, _ = arith.quantize_stream(
        raw,
        bypass=activation.mode == "bypass",
        carry=activation.mode == "monte_carlo",
        step=step,
        residue=activation.residue,
        dead_zone=activation.dead_zone,
        count_bits=count_bits,
    )
    outputs, kernel_y, kernel_x, _ = layer.weights.shape
    rows, columns = layer.map_shape
    result: dict[tuple[int, int, int], int] = {}
    for y, x, k in product(range(rows), range(columns), range(outputs)):
        accumulator = 0
        for ky, kx, c in product(range(kernel_y), range(kernel_x), [k] if layer.elementwise else range(channels)):
            row, column = y * layer.stride[0] + ky - layer.padding[0], x * layer.stride[1] + kx - layer.padding[2]
            if 0 <= row < height and 0 <= column < width:
                accumulator += counts[(row * width + column) * channels + c] * int(
                    layer.weights[k, ky, kx, 0 if layer.elementwise else c]
                )
        multiplier = int(layer.multiplier[k])
        if activation.dynamic:
            multiplier = arith.dynamic_multiplier(multiplier, norm, activation.samples, layer.norm_shift, layer.multiplier_shift)
        bias = arith.stored_bias(int(layer.bias[k]), layer.shift)
        value = arith.requantize(accumulator, multiplier, bias, layer.shift, layer.low, layer.high)
        place = (y // layer.pool[0], x // layer.pool[1], k)
        result[place] = max(result.get(place, -1000), value)
    return counts, norm, [result[place] for place in sorted(result)]


def random_layer(rng: np.random.Generator, shape: tuple[int, int, int], mode: str, name: str = "layer") -> Layer:
    """A layer of random geometry that leaves at least one pixel."""
    kernel = rng.integers(1, np.minimum(4, np.array(shape[:2]) + 1))
    signed, elementwise = bool(rng.integers(2)), bool(rng.integers(2))
    outputs, seen = (shape[2], 1) if elementwise else (int(rng.integers(1, 5)), shape[2])
    layer = Layer(
        name=name,
        input_shape=shape,
        weights=rng.integers(-7, 8, (outputs, *kernel, seen)),
        multiplier=rng.integers(0, 1 << 9, outputs),
        bias=rng.integers(-(1 << 18), 1 << 18, outputs),
        shift=12,
        low=-128 if signed else 0,
        high=127 if signed else 255,
        activation=MODES[mode],
        stride=tuple(rng.integers(1, 4, 2).tolist()),
        padding=tuple(rng.integers(0, 3, 4).tolist()),
        norm_shift=2,
        multiplier_shift=0,
        elementwise=elementwise,
    )
    pool = [int(rng.integers(1, min(size, 3) + 1)) for size in layer.map_shape]
    return replace(layer, pool=tuple(pool))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(MODES)), st.booleans())
def test_equals_loops_in_every_mode(seed, mode, signed):
    rng = np.random.default_rng(seed)
    low, high = (-128, 127) if signed else (0, 255)
    first = random_layer(rng, (int(rng.integers(1, 7)), int(rng.integers(1, 7)), int(rng.integers(1, 4))), mode, "first")
    second = random_layer(rng, first.output_shape, mode, "second")
    flat = (1, 1, int(np.prod(second.output_shape)))
    last = replace(random_layer(rng, flat, mode, "last"), stride=(1, 1), padding=(0, 0, 0, 0), pool=(1, 1))
    network = Network("random", first.input_shape, (first, second, last), input_low=low, input_high=high)
    raw = rng.integers(low, high + 1, (2, *first.input_shape)) * rng.integers(0, 2, (2, *first.input_shape))
    traces = reference.trace(network, raw)
    assert (reference.run(network, raw) == traces[-1].output).all()
    for index in range(2):
        values = raw[index].reshape(-1).tolist()
        for layer, found in zip(network.layers, traces, strict=True):
            counts, norm, values = by_loops(layer, values)
            assert found.counts[index].reshape(-1).tolist() == counts
            assert found.norms[index] == norm
            assert found.output[index].reshape(-1).tolist() == values


def identity(**changes) -> Layer:
    layer = Layer("one", (1, 1, 1), np.ones((1, 1, 1, 1), np.int64), np.array([1 << 12]), np.array([0]), 12, 0, 255)
    return replace(layer, **changes)


def test_sums_are_exact_beyond_single_precision():
    size = 10_001
    weights = np.full((1, 1, 1, size), 119)
    layer = replace(identity(weights=weights, input_shape=(1, 1, size)), multiplier=np.array([1]), shift=24)
    counts = np.full((1, 1, 1, size), 255)
    assert reference.convolve(counts, layer).item() == 255 * 119 * size


def test_elementwise_sums_are_exact_beyond_single_precision():
    weights = np.full((2, 64, 64, 1), 119)
    layer = Layer("window", (64, 64, 2), weights, np.array([1, 1]), np.array([0, 0]), 24, 0, 255, elementwise=True)
    counts = np.full((1, 64, 64, 2), 255)
    counts[..., 1] = -254
    assert reference.convolve(counts, layer).tolist() == [[[[255 * 119 * 4096, -254 * 119 * 4096]]]]


def test_counts_saturate_at_the_count_width():
    found = reference.layer_trace(identity(), np.array([[[[200]]]]), count_bits=4)
    assert found.counts.item() == 15
    assert found.cut.sum() == 1


def test_images_are_independent_of_their_batch(monkeypatch):
    rng = np.random.default_rng(1)
    layer = random_layer(rng, (6, 6, 2), "dynamic")
    network = Network("one", layer.input_shape, (layer,))
    raw = rng.integers(0, 256, (5, 6, 6, 2))
    whole = reference.run(network, raw)
    monkeypatch.setattr(reference, "CHUNK", 1)
    assert (reference.run(network, raw) == whole).all()
    assert (np.concatenate([reference.run(network, raw[index : index + 1]) for index in range(5)]) == whole).all()
    assert reference.run(network, raw[:0]).shape == (0, *layer.output_shape)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((1, 1, 2, 1), np.int64), r"takes raw inputs of shape \(n, 1, 1, 1\), not \(1, 1, 2, 1\)"),
        (np.full((1, 1, 1, 1), 256), r"Raw inputs must lie in 0\.\.255, not 256\.\.256"),
        (np.full((1, 1, 1, 1), -1), r"Raw inputs must lie in 0\.\.255, not -1\.\.-1"),
    ],
)
def test_wrong_inputs_are_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        reference.run(Network("one", (1, 1, 1), (identity(),)), raw)


def test_totals_that_pass_their_width_are_refused():
    raw = np.full((1, 1, 1, 1), 255)
    with pytest.raises(AccumulatorOverflow, match="one: a total"):
        reference.layer_trace(identity(multiplier=np.array([65535]), weights=np.full((1, 1, 1, 1), 1000)), raw)
    dynamic = identity(activation=Activation("monte_carlo", samples=1), multiplier=np.array([65535]), norm_shift=0)
    assert reference.layer_trace(dynamic, raw).sums.item() == 1
    wide = identity(activation=Activation("monte_carlo", samples=1 << 20), multiplier=np.array([1]))
    with pytest.raises(AccumulatorOverflow, match="a multiplier of"):
        reference.layer_trace(wide, raw)
