"""Roundings flipped until kernels and channels keep their sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import galton
from galton.quantizers import Options, nearest, squant


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 40), st.sampled_from([1, 2, 3, 5]), st.sampled_from([3, 7, 119]))
def test_sums_of_errors(seed, channels, inputs, side, limit):
    weights = np.random.default_rng(seed).laplace(size=(channels, inputs, side, side))
    step = np.abs(weights).max(axis=(1, 2, 3)) / limit
    integers = squant.balanced(weights, step, limit)
    errors = weights / step[:, None, None, None] - integers
    assert np.abs(integers).max() <= limit
    assert np.abs(errors).max() <= 1 + 1e-9
    assert np.abs(errors.sum(axis=(2, 3))).max() <= 1.5 + 1e-9
    assert np.abs(errors.sum(axis=(1, 2, 3))).max() <= 0.5 + 1e-9


def test_the_roundings_nearest_to_the_other_side_are_flipped():
    weights = np.array([7.0, 0.4, 0.3, 0.45]).reshape(1, 1, 2, 2)
    errors, integers = weights.reshape(1, 4) - [[7, 0, 0, 0]], np.array([[7, 0, 0, 0]])
    assert squant.flips(errors, integers, 7).tolist() == [[0, 0, 0, 1]]
    assert squant.flips(-errors, -integers, 7).tolist() == [[0, 0, 0, -1]]
    assert squant.flips(errors * 0 + 0.4, np.full((1, 4), 7), 7).tolist() == [[0, 0, 0, 0]]
    between = squant.flips_between(np.array([[[0.3, 0.1], [0.2, 0.2], [0.2, -0.2]]]), np.zeros((1, 3, 2), np.int64), 7)
    assert between.tolist() == [[[1, 0], [0, 0], [0, 0]]]


def test_inputs_that_are_alike_see_less_error():
    generator = np.random.default_rng(0)
    weights = generator.laplace(size=(32, 16, 3, 3))
    inputs = np.repeat(generator.exponential(size=(200, 16)), 9, axis=1) + 0.2 * generator.normal(size=(200, 144))
    errors = {}
    for name, method in (("nearest", nearest.mse), ("squant", squant.quantize)):
        integers, step = method(weights, Options(1.0))
        errors[name] = np.linalg.norm((integers * step[:, None, None, None] - weights).reshape(32, -1) @ inputs.T)
    assert errors["squant"] < 0.6 * errors["nearest"]


@pytest.mark.parametrize("correct", [True, False])
def test_the_image_computes_the_same(correct):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4)).eval()
    inputs = torch.randn(20, 1, 8, 8)
    quantized = galton.quantize(module, inputs, method="squant", correct=correct)
    assert np.array_equal(galton.compile(quantized, target="up5k").run(inputs), quantized(inputs).numpy())
