"""Integer networks: shapes that follow, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from galton.errors import CalibrationError
from galton.network import NONE, Activation, Layer, Network


def layer(**changes) -> Layer:
    values = {
        "name": "conv",
        "input_shape": (8, 9, 2),
        "weights": np.ones((4, 3, 2, 2), np.int64),
        "multiplier": np.ones(4, np.int64),
        "bias": np.zeros(4, np.int64),
        "shift": 12,
        "low": 0,
        "high": 255,
    }
    return Layer(**{**values, **changes})


def last(size: int) -> Layer:
    one = np.ones(3, np.int64)
    return Layer("fc", (1, 1, size), np.ones((3, 1, 1, size), np.int64), one, one, 12, -128, 127, scale=0.5)


@pytest.mark.parametrize(
    ("changes", "map_shape", "output_shape"),
    [
        ({}, (6, 8), (6, 8, 4)),
        ({"stride": (2, 3)}, (3, 3), (3, 3, 4)),
        ({"padding": (1, 0, 0, 2)}, (7, 10), (7, 10, 4)),
        ({"pool": (2, 3)}, (6, 6), (3, 2, 4)),
        ({"stride": (2, 1), "pool": (2, 2)}, (2, 8), (1, 4, 4)),
    ],
)
def test_shapes(changes, map_shape, output_shape):
    made = layer(**changes)
    assert made.map_shape == map_shape
    assert made.output_shape == output_shape
    assert made.dense_operations == map_shape[0] * map_shape[1] * 48


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (8, 9, 3)}, r"conv: weights \(4, 3, 2, 2\) do not fit an input of shape \(8, 9, 3\)"),
        ({"multiplier": np.ones(3, np.int64)}, r"conv: multiplier has shape \(3,\), not \(4,\)"),
        ({"bias": np.ones((4, 1), np.int64)}, r"conv: bias has shape \(4, 1\), not \(4,\)"),
        ({"shift": 13}, r"conv: shift must be one of \(12, 16, 20, 24\), not 13"),
        ({"weights": np.ones((4, 17, 1, 2), np.int64)}, "is larger than 16"),
        ({"stride": (1, 5)}, r"stride \(1, 5\) is not in 1\.\.64 and 1\.\.4"),
        ({"stride": (65, 1)}, r"stride \(65, 1\) is not in 1\.\.64 and 1\.\.4"),
        ({"stride": (0, 1)}, r"stride \(0, 1\) is not in 1\.\.64 and 1\.\.4"),
        ({"pool": (1, 17)}, r"pool \(1, 17\) is not in 1\.\.16"),
        ({"padding": (0, 0, -1, 1)}, r"conv: padding \(0, 0, -1, 1\) must not be negative"),
        ({"norm_shift": 16}, r"conv: norm_shift must be in 0\.\.15, not 16"),
        ({"multiplier_shift": 4}, r"conv: multiplier_shift must be in 0\.\.3, not 4"),
        ({"weights": np.ones((4, 3, 2, 2))}, "conv: weights are integers, not float64"),
        ({"low": -1, "high": 200}, r"-1\.\.200 is not a range of raw bytes"),
        ({"low": 1}, r"1\.\.255 is not a range of raw bytes"),
        ({"high": 256}, r"0\.\.256 is not a range of raw bytes"),
        ({"input_shape": (2, 9, 2)}, "leaves no output"),
        ({"pool": (7, 1)}, "leaves no output"),
        ({"residual_multiplier": 1 << 16}, "conv: residual_multiplier 65536 does not fit 16 bits"),
        ({"residual_multiplier": -1}, "conv: residual_multiplier -1 does not fit 16 bits"),
        ({"residual_multiplier": 1, "pool": (1, 2)}, "conv: a layer cannot both add a tensor and max-pool"),
    ],
)
def test_layers_that_do_not_hold_together(changes, message):
    with pytest.raises(ValueError, match=message):
        layer(**changes)


def depthwise(**changes) -> Layer:
    values = {"input_shape": (8, 9, 4), "weights": np.ones((4, 3, 2, 1), np.int64), "elementwise": True}
    return layer(**{**values, **changes})


def test_elementwise_layers():
    made = depthwise(stride=(2, 1), pool=(1, 2))
    assert made.output_shape == (3, 4, 4)
    assert made.dense_operations == 3 * 8 * 24
    assert depthwise(input_shape=(64, 9, 4), weights=np.ones((4, 64, 1, 1), np.int64)).output_shape == (1, 9, 4)


def test_narrow_integers_are_widened() -> None:
    found = layer(weights=np.full((4, 3, 2, 2), -128, np.int8), bias=np.zeros(4, np.int16))
    assert found.weights.dtype == found.bias.dtype == np.int64
    assert abs(found.weights).max() == 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (8, 9, 3)}, r"conv: weights \(4, 3, 2, 1\) do not fit an input of shape \(8, 9, 3\)"),
        ({"weights": np.ones((4, 3, 2, 4), np.int64)}, r"conv: weights \(4, 3, 2, 4\) do not fit an input of shape \(8, 9, 4\)"),
        ({"elementwise": False}, r"conv: weights \(4, 3, 2, 1\) do not fit an input of shape \(8, 9, 4\)"),
        ({"weights": np.ones((4, 65, 1, 1), np.int64), "input_shape": (70, 9, 4)}, r"kernel \(65, 1\) is larger than 64"),
    ],
)
def test_elementwise_layers_that_do_not_hold_together(changes, message):
    with pytest.raises(ValueError, match=message):
        depthwise(**changes)


def test_activations():
    assert not Activation("rounding", step=3).dynamic
    assert Activation("monte_carlo", samples=3).dynamic
    with pytest.raises(ValueError, match="mode must be monte_carlo, rounding or bypass, not 'exact'"):
        Activation("exact")
    with pytest.raises(ValueError, match="takes no samples"):
        Activation(samples=3)


def test_networks_chain_and_flatten():
    network = Network("net", (8, 9, 2), (layer(), last(192)), input_low=-128, input_high=127)
    assert network.output_scale == 0.5
    assert network.layers[1].signed
    assert (network.inputs, network.residuals) == ((0, 1), (NONE, NONE))
    assert [network.signed(0), network.signed(1), network.signed(2)] == [True, False, True]
    assert not replace(network, input_low=0).signed(0)
    flat = Network("flat", (4, 4, 12), (last(192),))
    assert flat.layers[0].input_shape == (1, 1, 192)


@pytest.mark.parametrize(
    ("layers", "message"),
    [((), "net has no layers"), ((layer(), last(191)), r"fc takes an input of shape \(1, 1, 191\), but gets \(6, 8, 4\)")],
)
def test_networks_that_do_not_chain(layers, message):
    with pytest.raises(ValueError, match=message):
        Network("net", (8, 9, 2), layers)


@pytest.mark.parametrize(("low", "high"), [(0, 256), (-129, 0), (-1, 128), (1, 9)])
def test_inputs_are_raw_bytes(low, high):
    with pytest.raises(ValueError, match=rf"The input of net: {low}\.\.{high} is not a range of raw bytes"):
        Network("net", (8, 9, 2), (layer(),), input_low=low, input_high=high)


def keeping(name: str, **changes) -> Layer:
    """A layer that keeps the shape (3, 4, 2)."""
    values = {"name": name, "input_shape": (3, 4, 2), "weights": np.ones((2, 1, 1, 2), np.int64)}
    return layer(**{**values, "multiplier": np.ones(2, np.int64), "bias": np.zeros(2, np.int64), **changes})


def test_residual_networks():
    layers = (keeping("one", low=-7, high=9), keeping("two"), keeping("three", residual_multiplier=5), keeping("four"))
    network = Network("net", (3, 4, 2), layers, inputs=(0, 0, 1, 3), residuals=(NONE, NONE, 2, NONE))
    assert [network.tensor_shape(tensor) for tensor in range(5)] == [(3, 4, 2)] * 5
    assert [network.tensor_range(tensor) for tensor in range(3)] == [(0, 255), (-7, 9), (0, 255)]
    assert [network.last_use(tensor) for tensor in range(5)] == [1, 2, 2, 3, 4]
    assert Network("unused", (3, 4, 2), layers[:2], inputs=(0, 0)).last_use(1) == -1


DYNAMIC = Activation("rounding", samples=9)


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        ({}, {"inputs": (0,)}, "net has 2 layers, but 1 inputs and 2 residuals"),
        ({}, {"residuals": (NONE,) * 3}, "net has 2 layers, but 2 inputs and 3 residuals"),
        ({}, {"inputs": (0, 2)}, r"second takes tensor 2 and adds -1; there are 0\.\.1 before it"),
        ({}, {"inputs": (0, -1)}, r"second takes tensor -1 and adds -1; there are 0\.\.1 before it"),
        ({"residual_multiplier": 3}, {"residuals": (NONE, 2)}, r"second takes tensor 1 and adds 2; there are 0\.\.1"),
        ({"residual_multiplier": 3}, {"residuals": (NONE, -2)}, r"second takes tensor 1 and adds -2; there are 0\.\.1"),
        ({"residual_multiplier": 3}, {}, "second adds tensor -1 with a residual_multiplier of 3"),
        ({}, {"residuals": (NONE, 0)}, "second adds tensor 0 with a residual_multiplier of 0"),
        (
            {"residual_multiplier": 3, "stride": (1, 2)},
            {"residuals": (NONE, 1)},
            r"second adds \(3, 4, 2\) to an output of shape \(3, 2, 2\)",
        ),
        ({"activation": DYNAMIC}, {"inputs": (0, 0)}, "second has a dynamic step, but does not take the tensor before it"),
    ],
)
def test_residual_networks_that_do_not_hold_together(second, options, message):
    with pytest.raises(ValueError, match=message):
        Network("net", (3, 4, 2), (keeping("first"), keeping("second", **second)), **options)


def test_raw_inputs_round_half_up_and_clamp():
    network = Network("net", (1, 1, 3), (last(3),), input_scale=0.5, input_low=-128, input_high=127)
    raw = network.raw_input(np.array([[[[0.25, -0.25, 1.3]]], [[[100.0, -100.0, -0.26]]]]))
    assert raw.reshape(2, 3).tolist() == [[1, 0, 3], [127, -128, -1]]
    with pytest.raises(CalibrationError, match=r"net takes inputs of shape \(n, 1, 1, 3\), not \(1, 3\)"):
        network.raw_input(np.zeros((1, 3)))
    with pytest.raises(CalibrationError, match=r"Input 0 has nan at \(0, 0, 1\), not a finite number"):
        network.raw_input(np.array([[[[0, np.nan, 0]]]]))
