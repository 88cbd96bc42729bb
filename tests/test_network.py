"""Integer networks: shapes that follow, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from galton.network import Activation, Layer, Network


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
        ({"stride": (5, 1)}, r"stride \(5, 1\) is not in 1\.\.4"),
        ({"stride": (0, 1)}, r"stride \(0, 1\) is not in 1\.\.4"),
        ({"pool": (1, 17)}, r"pool \(1, 17\) is not in 1\.\.16"),
        ({"low": -1, "high": 200}, r"-1\.\.200 is not a range of raw bytes"),
        ({"low": 1}, r"1\.\.255 is not a range of raw bytes"),
        ({"high": 256}, r"0\.\.256 is not a range of raw bytes"),
        ({"input_shape": (2, 9, 2)}, "leaves no output"),
        ({"pool": (7, 1)}, "leaves no output"),
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
    assert [network.signed_input(0), network.signed_input(1)] == [True, False]
    assert not replace(network, input_low=0).input_signed
    flat = Network("flat", (4, 4, 12), (last(192),))
    assert flat.layers[0].input_shape == (1, 1, 192)


@pytest.mark.parametrize(
    ("layers", "message"),
    [((), "net has no layers"), ((layer(), last(191)), r"fc takes an input of shape \(1, 1, 191\), but gets \(6, 8, 4\)")],
)
def test_networks_that_do_not_chain(layers, message):
    with pytest.raises(ValueError, match=message):
        Network("net", (8, 9, 2), layers)


def test_raw_inputs_round_half_up_and_clamp():
    network = Network("net", (1, 1, 3), (last(3),), input_scale=0.5, input_low=-128, input_high=127)
    raw = network.raw_input(np.array([[[[0.25, -0.25, 1.3]]], [[[100.0, -100.0, -0.26]]]]))
    assert raw.reshape(2, 3).tolist() == [[1, 0, 3], [127, -128, -1]]
    with pytest.raises(ValueError, match=r"net takes inputs of shape \(n, 1, 1, 3\), not \(1, 3\)"):
        network.raw_input(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"The input at \[0, 0, 0, 1\] is nan"):
        network.raw_input(np.array([[[[0, np.nan, 0]]]]))
