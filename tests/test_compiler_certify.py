"""Certificates bound every sum, and networks without one are refused with a way out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EVERY, random_inputs, random_network, residual_network

from galton import arith, reference
from galton.bounds import accumulator_bounds, largest_count
from galton.compiler import compile
from galton.compiler.balance import store
from galton.compiler.certify import certify, widest
from galton.config import CONFIGS
from galton.errors import AccumulatorOverflow
from galton.network import NONE, Activation, Layer, Network

UP5K = CONFIGS["up5k"]
BYPASS = Activation()


def network(weights: np.ndarray, activation: Activation = BYPASS, **options: object) -> Network:
    """One linear layer of raw inputs 0..255."""
    vector = np.ones(len(weights), np.int64)
    values = {"multiplier": vector, "bias": vector * 0, "shift": 12, "low": -128, "high": 127, **options}
    layer = Layer("fc", (1, 1, weights.shape[1]), weights[:, None, None, :], activation=activation, **values)
    return Network("n", layer.input_shape, (layer,))


@given(
    mode=st.sampled_from(["monte_carlo", "rounding", "bypass"]),
    dynamic=st.booleans(),
    amount=st.integers(1, 65535),
    dead_zone=st.integers(0, 255),
    residue=st.integers(0, 65535),
    raw=st.lists(st.integers(0, 255), min_size=1, max_size=30),
)
@settings(max_examples=300, deadline=None)
def test_no_count_passes_its_bound(mode: str, dynamic: bool, amount: int, dead_zone: int, residue: int, raw: list[int]) -> None:
    bypass = mode == "bypass"
    samples = amount % 300 + 1 if dynamic and not bypass else 0
    activation = Activation(mode, 0 if samples or bypass else amount, samples, residue, dead_zone)
    step = arith.dynamic_step(arith.norm(raw, dead_zone), samples) if samples else activation.step
    options = {"bypass": bypass, "carry": mode == "monte_carlo", "step": step, "residue": residue, "dead_zone": dead_zone}
    counts, _ = arith.quantize_stream(raw, count_bits=8, **options)
    assert max(counts) <= largest_count(activation, max(raw), 255)
    weights = np.ones((1, len(raw)), np.int64)
    assert sum(counts) <= accumulator_bounds(weights, activation, 0, max(raw), 255)[0]


def test_bounds_are_reached() -> None:
    weights = np.array([[3, -2, 5], [-1, -1, 0]])
    for low, high in ((0, 255), (-128, 127), (-3, 0)):
        bounds = accumulator_bounds(weights, Activation(), low, high, 255)
        sums = [weights @ np.array(raw) for raw in product((low, high, 0), repeat=3)]
        assert (bounds == np.abs(sums).max(axis=0)).all()


def test_nothing_reaches_a_certificate() -> None:
    for seed in range(20):
        random = random_network(seed, EVERY["ecp5-25"], operations=60_000)
        stored = store(random, EVERY["ecp5-25"]).network
        traces = reference.trace(stored, random_inputs(seed, stored, 4))
        for certificate, trace in zip(certify(stored, EVERY["ecp5-25"]), traces, strict=True):
            assert np.abs(trace.sums).max() <= certificate.bound < 1 << (certificate.width - 1 - certificate.margin)
            assert np.abs(trace.counts).max() <= certificate.count


def test_no_total_passes_its_certificate() -> None:
    """Totals with bias and residual, those of static layers from their accumulators."""
    config, sums = EVERY["ecp5-25"], 0
    for seed in range(20):
        stored = store(residual_network(seed, config), config).network
        raw = random_inputs(seed, stored, 4)
        traces = reference.trace(stored, raw)
        tensors = [raw, *(trace.output for trace in traces)]
        for index, (certificate, layer) in enumerate(zip(certify(stored, config), stored.layers, strict=True)):
            assert np.abs(traces[index].sums).max() <= certificate.bound
            added = stored.residuals[index]
            residual = tensors[added] * layer.residual_multiplier if added != NONE else 0
            sums += added != NONE
            if not layer.activation.dynamic:
                total = traces[index].sums * layer.multiplier + layer.bias + (1 << (layer.shift - 1)) + residual
                assert np.abs(total).max() <= certificate.total < 1 << 31
    assert sums > 20


@pytest.mark.parametrize(("low", "high", "largest"), [(0, 255, 255), (-128, 127, 128), (-100, 127, 127)])
def test_a_residual_is_in_the_total(low: int, high: int, largest: int) -> None:
    """The last bias that fits beside the largest residual, and the first that does not."""
    multiplier, ones = 65535, np.ones(2, np.int64)
    weights = np.ones((2, 1, 1, 2), np.int64)
    first = Layer("first", (1, 1, 2), weights, ones, ones * 0, 12, low, high)
    room = (1 << 31) - 1 - largest * multiplier - 255 * 2 - (1 << 11)
    second = replace(first, name="second", bias=ones * room, residual_multiplier=multiplier, low=0, high=255)
    third = replace(second, name="third", bias=ones * 0, residual_multiplier=0)

    def chain(layer: Layer) -> Network:
        return Network("chain", (1, 1, 2), (first, third, layer), inputs=(0, 0, 2), residuals=(NONE, NONE, 1))

    found = certify(chain(second), UP5K)[2]
    assert (found.total, found.total_margin) == ((1 << 31) - 1, 0)
    with pytest.raises(AccumulatorOverflow, match=r"second: channel 0 can total 2,147,483,648 .* plus bias and residual\)"):
        certify(chain(replace(second, bias=ones * (room + 1))), UP5K)


def test_an_overflow_names_layer_bound_width_and_what_fits() -> None:
    wide = network(np.full((2, 400), 7))
    message = r"fc: channel 0 can reach 714,000 with counts up to 255, which takes 21 bits; the accumulators of up5k have 20\."
    with pytest.raises(AccumulatorOverflow, match=message) as caught:
        compile(wide, "up5k")
    assert "counts of at most 127" in str(caught.value)
    assert "accumulator_bits=21" in str(caught.value)
    assert isinstance(caught.value, OverflowError)
    assert compile(wide, replace(UP5K, accumulator_bits=21)).certificates[0].margin == 0
    assert compile(wide, replace(UP5K, count_bits=7)).certificates[0].count == 127


def test_the_last_bound_that_fits() -> None:
    exact = network(np.array([[7] * 293 + [5]]))
    assert certify(exact, UP5K)[0].bound == (7 * 293 + 5) * 255 == 524280
    assert certify(exact, UP5K)[0].margin == 0
    with pytest.raises(AccumulatorOverflow, match="524,535"):
        certify(network(np.array([[7] * 293 + [6]])), UP5K)


def test_a_total_that_overflows_names_a_shift() -> None:
    weights = np.full((1, 200), 7)
    layer = {"multiplier": np.array([60000]), "shift": 16}
    with pytest.raises(
        AccumulatorOverflow, match=r"fc: channel 0 can total 21,420,032,768 .* takes 36 bits of 32.* a shift of 12"
    ):
        certify(network(weights, **layer), UP5K)
    with pytest.raises(AccumulatorOverflow, match="a coarser output scale"):
        certify(network(weights, multiplier=np.array([60000])), UP5K)
    bias = np.array([-(1 << 31)])
    with pytest.raises(AccumulatorOverflow, match="bits of 32"):
        certify(network(weights, bias=bias), UP5K)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (300, {"norm_shift": 0}, r"norm of its input can reach 76,500, which a norm_shift of 0 .* 1 does"),
        (
            300,
            {"norm_shift": 1, "multiplier": np.array([65535])},
            r"can reach 611,\d+, more than 16 bits hold; a multiplier_shift of 16",
        ),
        (66000, {"norm_shift": 8}, r"can reach 16,830,000, more than 24 bits hold"),
    ],
)
def test_dynamic_factors_that_overflow(size: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(AccumulatorOverflow, match=message):
        certify(network(np.ones((1, size), np.int64), Activation("monte_carlo", samples=9), **options), UP5K)


def test_the_tightest_certificate() -> None:
    random = random_network(2, UP5K)
    certificates = certify(random, UP5K)
    assert widest(certificates).margin == min(certificate.margin for certificate in certificates)
    assert certificates[0].layer in str(certificates[0])


def test_channels_that_pad_a_tensor_are_not_in_its_norm() -> None:
    """Five of eight stored channels live: multipliers that fit their norm do not fit that of eight."""
    live = np.arange(8) < 5
    column, ones = live[:, None, None, None].astype(np.int64), np.ones(2, np.int64)
    first = Layer("first", (8, 8, 1), column, 4096 * live, 0 * live, 12, 0, 255)
    activation = Activation("monte_carlo", samples=320)
    fitting = (65535 << 12) // (64 * 5 * 255 >> 4)
    second = Layer(
        "second", (8, 8, 8), np.ones((2, 1, 1, 8), np.int64), fitting * ones, 0 * ones, 12, 0, 255, activation, norm_shift=4
    )
    certify(Network("padded", (8, 8, 1), (first, second)), UP5K)
    with pytest.raises(AccumulatorOverflow, match="multiplier times norm can reach"):
        certify(Network("full", (8, 8, 1), (replace(first, bias=(~live).astype(np.int64)), second)), UP5K)
