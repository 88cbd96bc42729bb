"""The guarantees of Maly and Saab's walk, on any data, and their synthetic errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import galton
from galton.errors import GaltonError
from galton.quantizers import Options, maly_saab
from galton.quantizers.moments import Rows

ALPHABET = 0.25


def problem(seed: int, rows: int, size: int, rank: int, faults: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, size) in -1..1 and data (rows, size) of a rank at most, with what goes wrong in practice."""
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, size))
    weights = generator.uniform(-1, 1, (4, size))
    if "zero columns" in faults:
        data[:, ::3] = 0
    if "equal columns" in faults:
        data[:, 1::4] = data[:, :1]
    if "constant" in faults:
        data[:] = data[:1]
    if "on the grid" in faults:
        weights[:, ::2] = np.round(weights[:, ::2] / ALPHABET) * ALPHABET
    if "scales" in faults:
        data *= 10.0 ** generator.uniform(-6, 6, size)
    return weights, data


FAULTS = ["zero columns", "equal columns", "constant", "on the grid", "scales"]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 80),
    st.integers(1, 12),
    st.lists(st.sampled_from(FAULTS), unique=True),
)
def test_the_guarantees_hold_on_any_data(seed, rows, size, rank, faults):
    weights, data = problem(seed, rows, size, rank, faults)
    moved = maly_saab.preprocess(weights, data, np.full(4, ALPHABET))
    found = len(maly_saab.row_space(data))
    scale = np.linalg.norm(data) * max(np.linalg.norm(weights), 1)
    assert np.linalg.norm(data @ (moved - weights).T) <= 1e-10 * scale
    assert np.all(np.abs(moved).max(axis=1) <= np.ceil(np.abs(weights).max(axis=1) / ALPHABET - 1e-9) * ALPHABET + 1e-9)
    assert np.all(np.abs(moved - weights) < ALPHABET + 1e-9)
    off = np.abs(moved / ALPHABET - np.round(moved / ALPHABET)) > 1e-9
    assert off.sum(axis=1).max() <= found <= min(rank, rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 8), st.lists(st.sampled_from(FAULTS[:3]), unique=True))
def test_the_sup_norm_does_not_grow_on_the_alphabet_of_two(seed, size, rank, faults):
    weights, data = problem(seed, 10, size, rank, faults)
    moved = maly_saab.settle((weights + 1) / 2, maly_saab.row_space(data)) * 2 - 1
    assert np.abs(moved).max() <= 1
    assert np.linalg.norm(data @ (moved - weights).T) <= 1e-10 * np.linalg.norm(data) * max(np.linalg.norm(weights), 1)
    assert (np.abs(np.abs(moved) - 1) > 1e-9).sum(axis=1).max() <= len(maly_saab.row_space(data))


@pytest.fixture(scope="module")
def tool():
    """tools/maly_saab.py."""
    found = importlib.util.spec_from_file_location("maly_saab_tool", Path(__file__).parents[1] / "tools" / "maly_saab.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [100, 400, 1600])
def test_the_synthetic_errors_of_few_samples(tool, size):
    """The published figures lie within what 9 of 10 draws give, and all draws far below rounding's 1 to 1.5."""
    walked, rounded = tool.errors(size)
    assert np.quantile(walked, 0.05) < tool.PUBLISHED[size] < np.quantile(walked, 0.95)
    assert np.median(walked) == pytest.approx(0.27 * (100 / size) ** 0.47, rel=0.15)
    assert 0.8 < np.median(rounded) < 1.5


def test_many_columns_keep_their_products():
    """Thousands of exchanges in the basis lose nothing."""
    generator = np.random.default_rng(0)
    data, weights = generator.normal(size=(40, 3000)), generator.uniform(-1, 1, (3, 3000))
    moved = maly_saab.preprocess(weights, data, np.full(3, ALPHABET))
    assert np.abs(data @ (moved - weights).T).max() < 1e-10 * np.abs(data @ weights.T).max()
    assert (np.abs(moved / ALPHABET - np.round(moved / ALPHABET)) > 1e-9).sum(axis=1).max() <= 40


def test_leading_directions_are_those_of_the_data():
    data = np.diag([3.0, 2.0, 1.0, 0.0])
    assert np.allclose(np.abs(maly_saab.row_space(data, 2)), np.eye(4)[:2])
    assert len(maly_saab.row_space(data)) == 3
    generator = np.random.default_rng(1)
    turned = np.linalg.qr(generator.normal(size=(300, 300)))[0]
    values = 0.9 ** np.arange(300)
    found = maly_saab.leading(turned * values @ turned.T, 10)
    assert np.allclose(np.linalg.norm(found, axis=1), np.sqrt(values[:10]), rtol=1e-4)
    assert np.allclose(np.abs(found @ turned[:, :10]), np.diag(np.sqrt(values[:10])), atol=1e-2)


def test_the_alphabet_of_two():
    generator = np.random.default_rng(2)
    real = generator.normal(size=(1, 60, 4)) @ generator.normal(size=(4, 90))
    weights = generator.normal(size=(5, 10, 3, 3))
    weights[2] = 0
    options = Options(1.0, rows=lambda: Rows(real, real), extra={"alphabet": "binary", "rank": 4, "centred": False})
    with pytest.warns(galton.errors.CalibrationWarning, match="60 calibration rows for neurons of 90 weights"):
        signs, step = maly_saab.quantize(weights, options)
    assert set(signs[[0, 1, 3, 4]].reshape(-1)) == {-1, 1}
    assert not signs[2].any()
    assert np.allclose(step, np.abs(weights).max(axis=(1, 2, 3)))
    wanted, reached = (values.reshape(5, -1) @ real[0].T for values in (weights, signs * step[:, None, None, None]))
    rounded = (np.where(weights < 0, -1, 1) * step[:, None, None, None]).reshape(5, -1) @ real[0].T
    assert np.linalg.norm(reached - wanted) < 0.3 * np.linalg.norm(rounded - wanted)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"rank": 0}, "rank must be a positive integer, not 0"),
        ({"alphabet": "b"}, "alphabet must be one of grid, binary, not 'b'"),
    ],
)
def test_options_that_are_refused(extra, message):
    with pytest.raises(GaltonError, match=message):
        maly_saab.quantize(np.ones((1, 1, 3, 3)), Options(1.0, extra=extra))


@pytest.mark.parametrize("alphabet", maly_saab.ALPHABETS)
def test_the_image_computes_the_same(alphabet):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(384, 4)).eval()
    inputs = torch.randn(80, 1, 12, 12)
    with pytest.warns(galton.errors.CalibrationWarning, match="80 calibration rows for neurons of 384 weights"):
        quantized = galton.quantize(module, inputs, method="maly_saab", extra={"alphabet": alphabet})
    compiled = galton.compile(quantized, target="up5k")
    assert np.array_equal(compiled.run(inputs[:20]), quantized(inputs[:20]).numpy())
