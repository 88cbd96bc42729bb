"""Pixels side by side: the same bytes from other walks, chosen where they are faster and fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import EVERY, prefer_pixels, random_inputs, random_network, residual_network

from galton import cycles, golden, reference
from galton.compiler import compile, pixels
from galton.compiler.pixels import possible, side_by_side
from galton.config import CONFIGS, Config
from galton.network import Activation, Ints, Layer, Network

TRIALS = 5


def convolution(
    outputs: int, *, width: int = 16, channels: int = 3, kernel: tuple[int, int] = (3, 3), seed: int = 0, **options: object
) -> Layer:
    """A layer whose counts are its raw inputs, of `width` columns and half as many rows."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-3, 4, size=(outputs, *kernel, channels))
    multiplier, bias = rng.integers(1, 900, size=outputs), rng.integers(0, 1 << 16, size=outputs)
    shape = (width // 2, width, channels)
    values: dict[str, object] = {"padding": (1, 1, 1, 1), **options}
    return Layer("x", shape, weights, multiplier, bias, 12, 0, 255, Activation(), **values)  # type: ignore[arg-type]


def alone(layer: Layer, raw: Ints) -> Ints:
    """What the layer by itself gives."""
    return reference.run(Network("x", layer.input_shape, (layer,)), raw)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Any geometry."""
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 7)))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, 5)) for _ in range(4))
    width = draw(st.integers(2, 20))
    assume((width // 2 + padding[0] + padding[1]) >= kernel[0] and width + padding[2] + padding[3] >= kernel[1])
    return convolution(draw(st.integers(1, 4)), width=width, kernel=kernel, stride=stride, padding=padding)


@given(layer=layers(), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_the_bytes_stay_where_they_are(layer: Layer, seed: int) -> None:
    raw = np.random.default_rng(seed).integers(0, 256, size=(1, *layer.input_shape))
    rows, columns, channels = layer.output_shape
    for count in possible(layer):
        wide = side_by_side(layer, count)
        assert wide.output_shape == (rows, columns // count, channels * count)
        assert (alone(wide, raw).reshape(-1) == alone(layer, raw).reshape(-1)).all()


def test_what_is_possible() -> None:
    assert possible(convolution(4)) == [1, 2, 4]
    assert possible(convolution(4, width=12)) == [1, 2, 3, 4]
    assert possible(convolution(4, width=14)) == [1, 2]
    assert possible(convolution(4, stride=(3, 2))) == [1, 2]
    assert possible(convolution(4, stride=(1, 3))) == [1]
    assert possible(convolution(4, pool=(1, 2))) == [1]
    assert possible(convolution(4, kernel=(3, 15), padding=(1, 1, 7, 7))) == [1, 2]
    depthwise = convolution(3)
    assert possible(replace(depthwise, weights=depthwise.weights[..., :1], elementwise=True)) == [1]


QUICK = ("tiny", "ecp5-25", "ecp5-85", "three-by-five", "four-at-once", "fours-odd")
"""Configurations of the fast tier: one group, few, many; each width of the scan and of the drain."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.cosim) for name in EVERY])
def test_random_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer_pixels(monkeypatch)
    config, many = EVERY[name], 0
    for seed, make in [(seed, make) for seed in range(TRIALS) for make in (random_network, residual_network)]:
        network = make(seed, config)
        raw = random_inputs(seed, network)
        compiled = compile(network, config)
        expected = reference.trace(compiled.network, raw, count_bits=config.count_bits)
        found = golden.trace(compiled.image, raw)
        for layer, wanted in zip(found, expected, strict=True):
            assert layer.outputs.shape == wanted.output.shape
            assert (layer.outputs == wanted.output).all(), (seed, layer.name)
            assert (layer.norms == wanted.norms).all()
        assert (golden.run(compiled.image, raw) == reference.run(network, raw, count_bits=config.count_bits)).all()
        many += sum(layer["pixels"] > 1 for layer in compiled.image.meta["layers"])
    assert many >= 3


def chain(*layers: Layer) -> Network:
    """Layers one behind the other, of 3 input channels."""
    taking: list[Layer] = []
    for index, layer in enumerate(layers):
        shape = taking[-1].output_shape if taking else layer.input_shape
        taking.append(replace(layer, name=f"layer{index}", input_shape=shape))
    return Network("chain", layers[0].input_shape, tuple(taking))


WIDE = Config("wide", groups=8, lanes=8)


def test_it_is_chosen_where_lanes_would_be_idle() -> None:
    network = chain(
        convolution(16),
        convolution(16, channels=16, pool=(2, 2)),
        convolution(32, channels=16, kernel=(3, 3), stride=(2, 2)),
        convolution(64, channels=32),
    )
    compiled = compile(network, WIDE)
    assert [layer["pixels"] for layer in compiled.image.meta["layers"]] == [4, 1, 2, 1]
    assert [layer["pixels"] for layer in compile(network, CONFIGS["up5k"]).image.meta["layers"]] == [1, 1, 1, 1]
    shapes = [tuple(layer["output_shape"]) for layer in compiled.image.meta["layers"]]
    assert shapes == [layer.output_shape for layer in network.layers]
    assert len(cycles.predict(compiled.image, random_inputs(0, network))[0]) == len(network.layers)


def test_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    network = chain(convolution(16, width=32), convolution(16, width=32, channels=16), convolution(16, width=32, channels=16))
    raw = random_inputs(3, network, 1)
    fast = cycles.predict(compile(network, WIDE).image, raw)[0]
    monkeypatch.setattr(pixels, "possible", lambda layer: [1])
    slow = cycles.predict(compile(network, WIDE).image, raw)[0]
    # A pixel walks 3 entries of each kernel row in every group, of four side by side one in three of four groups.
    for one, other in zip(fast[1:], slow[1:], strict=True):
        assert one["cycles"] < 0.35 * other["cycles"]
        assert 4 * one["entries"] <= 1.02 * other["entries"]


@pytest.mark.parametrize(("short", "memory"), [("weight_words", "weights"), ("data_words", "data"), ("channels", "channels")])
def test_what_does_not_fit_stays(short: str, memory: str) -> None:
    options = {"kernel": (7, 7), "padding": (3, 3, 3, 3)}
    network = chain(convolution(16, **options), *(convolution(16, channels=16, seed=seed, **options) for seed in range(3)))
    roomy = compile(network, WIDE)
    assert [layer["pixels"] for layer in roomy.image.meta["layers"]] == [4, 4, 4, 4]
    used = {memory.name: memory.used for memory in roomy.memory}
    tight = replace(WIDE, **{short: used[memory] - 1})
    compiled = compile(network, tight)
    assert min(layer["pixels"] for layer in compiled.image.meta["layers"]) < 4
    raw = random_inputs(1, network)
    assert (golden.run(compiled.image, raw) == reference.run(network, raw)).all()


def test_narrow_rows_fit_where_wide_ones_do_not() -> None:
    network = chain(convolution(16, width=64, channels=3))
    tight = replace(WIDE, accumulator_words=100)
    compiled = compile(network, tight)
    assert [layer["pixels"] for layer in compiled.image.meta["layers"]] == [4]
    raw = random_inputs(1, network)
    assert (golden.run(compiled.image, raw) == reference.run(network, raw)).all()
