"""Monte Carlo quantization: closed form against counting samples, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galton.arith import monte_carlo_hits, sample_count
from galton.quantizers import walk
from galton.quantizers.exact import ceilings, exact_sum
from galton.quantizers.mcq import hits

OFFSETS = [0.0, 0.1, 0.3, 0.5, 1 / 3, 1 - 2**-40]
SAMPLES = [0.01, 0.3, 0.5, 1, 1.5, 2, 7.25]


def count_samples(values: list[Fraction], samples: int, xi: Fraction) -> list[int]:
    """How many of the points (i + xi) / N lie in [P_{j-1}, P_j), one after the other, with the sign of the value."""
    total, place, reached = sum(map(abs, values)), 0, Fraction(0)
    result = []
    for value in values:
        reached += abs(value)
        count = 0
        while place < samples and total and (place + xi) * total < samples * reached:
            place, count = place + 1, count + 1
        result.append(-count if value < 0 else count)
    return result


def walk_order(values: np.ndarray, order: str) -> np.ndarray:
    flat = values.reshape(-1).astype(np.float64)
    channel = np.arange(flat.size) // max(values[0].size, 1)
    keys = {"array": np.zeros(flat.size), "magnitude": np.abs(flat), "channel_sign": 2 * channel + (flat < 0)}
    return np.argsort(keys[order], kind="stable")


def brute(values: np.ndarray, k: float, xi: float, order: str) -> np.ndarray:
    permutation = walk_order(values, order)
    exact = [Fraction(value) for value in values.reshape(-1)[permutation].tolist()]
    result = np.zeros(values.size, np.int64)
    result[permutation] = count_samples(exact, sample_count(k, values.size), Fraction(xi))
    return result.reshape(values.shape)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=40),
    st.sampled_from(SAMPLES),
    st.sampled_from(OFFSETS),
    st.sampled_from(["array", "magnitude", "channel_sign"]),
    st.sampled_from([np.int8, np.int64, np.float32, np.float64]),
)
def test_equals_counting_where_ties_abound(values, k, xi, order, kind):
    array = np.array(values, kind)
    assert (hits(array, k, xi=xi, order=order)[0] == brute(array, k, xi, order)).all()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.sampled_from(SAMPLES),
    st.sampled_from(OFFSETS),
    st.sampled_from(["array", "magnitude", "channel_sign"]),
)
def test_equals_counting_for_any_single_float(values, k, xi, order):
    array = np.array(values, np.float32)
    assert (hits(array, k, xi=xi, order=order)[0] == brute(array, k, xi, order)).all()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.sampled_from(SAMPLES),
    st.sampled_from(OFFSETS),
    st.sampled_from(["array", "magnitude", "channel_sign"]),
)
def test_equals_counting_for_any_double(values, k, xi, order):
    array = np.array(values)
    assert (hits(array, k, xi=xi, order=order)[0] == brute(array, k, xi, order)).all()


def test_a_scale_beyond_float64_is_infinite():
    counts, scale = hits(np.array([1e308, 1e308]), 0.3)
    assert counts.sum() == 1
    assert scale == np.inf


@pytest.mark.parametrize("order", ["array", "magnitude", "channel_sign"])
@pytest.mark.parametrize("k", [0.4, 3])
@pytest.mark.parametrize("draw", ["normal", "ternary", "wide", "pruned"])
@pytest.mark.parametrize("block", [64, 300, walk.BLOCK])
def test_blocks_join_without_a_seam(monkeypatch, order, k, draw, block):
    monkeypatch.setattr(walk, "BLOCK", block)
    rng = np.random.default_rng(7)
    shape = (5, 109)
    values = {
        "normal": lambda: rng.standard_normal(shape, np.float32),
        "ternary": lambda: rng.integers(-1, 2, shape).astype(np.float32),
        "wide": lambda: rng.standard_normal(shape) * 10.0 ** rng.integers(-200, 200, shape),
        "pruned": lambda: rng.standard_normal(shape, np.float32) * (rng.random(shape) < 0.1),
    }[draw]()
    for xi in (0.0, 0.5):
        counts, scale = hits(values, k, xi=xi, order=order)
        assert (counts == brute(values, k, xi, order)).all()
        exact = sum(Fraction(abs(value)) for value in values.reshape(-1).tolist())
        assert scale == float(exact / sample_count(k, values.size))


@pytest.mark.parametrize("order", ["array", "magnitude", "channel_sign"])
def test_sum_and_error_bound_hold_in_every_norm_group(order):
    values = np.random.default_rng(3).laplace(size=(5, 4, 3, 3)).astype(np.float32)
    values[2] = 0
    for norm, groups in (("layer", [slice(None)]), ("channel", range(5))):
        counts, scales = hits(values, 1.7, order=order, norm=norm)
        for group in groups:
            share = np.abs(values[group].astype(np.float64))
            samples = sample_count(1.7, share.size) if share.any() else 0
            assert np.abs(counts[group]).sum(dtype=int) == samples
            assert (np.abs(np.abs(counts[group]) - samples * share / max(share.sum(), 1e-30)) < 1).all()
            assert (np.sign(counts[group]) * np.sign(values[group]) >= 0).all()
            scale = scales if norm == "layer" else scales[group]
            assert scale == pytest.approx(share.sum() / samples if samples else 0)


def test_channel_norm_is_the_layer_norm_of_each_channel():
    values = np.random.default_rng(4).normal(size=(6, 50))
    counts, scales = hits(values, 2, norm="channel", order="magnitude")
    for channel in range(6):
        alone, scale = hits(values[channel], 2, order="magnitude")
        assert (counts[channel] == alone).all()
        assert scales[channel] == scale


def test_agrees_with_the_numeric_contract():
    values = np.random.default_rng(5).integers(0, 1000, 500)
    assert hits(values, 0.9, xi=0.25)[0].tolist() == monte_carlo_hits(values.tolist(), 450, Fraction(1, 4))


def test_channel_sign_keeps_the_mass_of_each_channel_and_sign():
    values = np.random.default_rng(6).normal(size=(40, 90))
    counts, scale = hits(values, 1, order="channel_sign")
    for sign in (-1, 1):
        kept = np.where(counts * sign > 0, counts, 0).sum(axis=1) * scale
        assert (np.abs(kept - np.where(values * sign > 0, values, 0).sum(axis=1)) < scale).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8])
def test_tensors_give_tensors(kind):
    values = torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(1)) * 20
    values = values.to(kind).requires_grad_(kind.is_floating_point)
    counts, scales = hits(values, 1, norm="channel")
    expected, expected_scales = hits(values.detach().to(torch.float64).numpy(), 1, norm="channel")
    assert isinstance(counts, torch.Tensor)
    assert counts.dtype == torch.int8
    assert (counts.numpy() == expected).all()
    assert (scales.numpy() == expected_scales).all()
    assert isinstance(hits(values, 1)[1], float)


def test_layout_in_memory_does_not_matter():
    values = np.random.default_rng(8).normal(size=(30, 40))
    assert (hits(np.asfortranarray(values), 1)[0] == hits(values, 1)[0]).all()
    assert (hits(values[:, ::2], 1)[0] == hits(values[:, ::2].copy(), 1)[0]).all()


@pytest.mark.parametrize(("largest", "kind"), [(1, np.int8), (1000, np.int16), (1e6, np.int32), (1e11, np.int64)])
def test_counts_take_the_narrowest_type(largest, kind):
    counts, _ = hits(np.array([largest, 1]), (largest + 1) / 2)
    assert counts.dtype == kind
    assert counts.tolist() == [largest, 1]


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((0, 3)), np.array([]), np.zeros((2, 0)), np.array(0.0)])
@pytest.mark.parametrize("norm", ["layer", "channel"])
def test_nothing_in_nothing_out(values, norm):
    counts, scale = hits(values, 1, norm=norm)
    assert counts.shape == values.shape
    assert not counts.any()
    assert not np.any(scale)


def test_too_few_samples_give_zeros():
    assert hits(np.ones(4), 0.1)[0].tolist() == [0] * 4
    assert hits(np.ones(4), 0.1)[1] == 0


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([1.0, np.nan], {}, "values must be finite, but the one at flat index 1 is nan"),
        ([[1.0, 2.0], [3.0, -np.inf]], {}, "values must be finite, but the one at flat index 3 is -inf"),
        ([1j], {}, "values must be real numbers, not complex128"),
        (["a"], {}, "values must be real numbers, not <U1"),
        ([1 << 60], {}, "integer values must be within"),
        ([1.0], {"k": 0}, "k must be a positive number, not 0"),
        ([1.0], {"k": -1.5}, "k must be a positive number, not -1.5"),
        ([1.0], {"k": float("nan")}, "k must be a positive number, not nan"),
        ([1.0], {"k": "1"}, "k must be a positive number, not '1'"),
        ([1.0], {"k": 1e15}, "makes more than 2\\^48 samples"),
        ([1.0], {"xi": 1.0}, "xi must be at least 0 and less than 1, not 1.0"),
        ([1.0], {"xi": -0.1}, "xi must be at least 0 and less than 1, not -0.1"),
        ([1.0], {"order": "random"}, "order must be one of array, magnitude, channel_sign, not 'random'"),
        ([1.0], {"norm": "batch"}, "norm must be one of layer, channel, not 'batch'"),
    ],
)
@pytest.mark.parametrize("norm", ["layer", "channel"])
def test_bad_input_is_named(values, arguments, message, norm):
    with pytest.raises(ValueError, match=message):
        hits(np.array(values), **{"k": 1, "norm": norm, **arguments})


@given(st.lists(st.floats(0, 1e308), max_size=30))
def test_sums_are_exact(values):
    exact = sum(map(Fraction, values), Fraction(0))
    assert exact_sum(np.array(values), short=False) == exact * 2**1074
    single = [float(np.float32(value % 3e38)) for value in values]
    assert exact_sum(np.array(single), short=True) == sum(map(Fraction, single), Fraction(0)) * 2**1074


def test_ceilings_are_exact_beyond_64_bits():
    block = np.array([1.0, 2.0**-1000, 1.0, 0.0, 2.0])
    total = exact_sum(block, short=False)
    assert ceilings(block, 0, total, 4, Fraction(0)).tolist() == [1, 2, 3, 3, 4]


def test_a_million_weights_lose_no_hit():
    values = np.random.default_rng(9).standard_normal((1000, 1000), np.float32)
    integers = np.floor(np.abs(values) * 1000).astype(np.int64)
    total, samples = integers.sum(), 2 * integers.size
    ceilings_of_half = (2 * samples * np.cumsum(integers) + total - 1) // (2 * total)
    assert (hits(integers, 2)[0].reshape(-1) == np.diff(ceilings_of_half, prepend=0)).all()
    assert np.abs(hits(values, 1)[0]).sum(dtype=int) == values.size
