"""The methods that make weights integers: formulas, published numbers, guarantees."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from galton.errors import CalibrationWarning, GaltonError
from galton.quantizers import METHODS, Options, aciq, galton, gpfq, gptq, named, nearest
from galton.quantizers.moments import Rows, damped, moments, of, power, regress

LAPLACE = {2: 2.83068, 3: 3.89723, 4: 5.02864, 5: 6.20477, 6: 7.41313, 7: 8.64562, 8: 9.89676}
GAUSS = {2: 1.71064, 3: 2.15159, 4: 2.55914, 5: 2.93620, 6: 3.28691, 7: 3.61511, 8: 3.92404}


def correlated(rows: int, size: int, seed: int = 0) -> np.ndarray:
    """Rows of neighbours that resemble each other."""
    generator = np.random.default_rng(seed)
    return np.cumsum(generator.normal(size=(rows, size)), axis=1) * 0.3 + generator.normal(size=(rows, size))


def problem(groups: int = 1, outputs: int = 6, size: int = 18, noise: float = 0.1, seed: int = 0, rows: int = 400):
    """Weights (outputs, size / 9, 3, 3) and Options with rows of which the quantized ones are noisy."""
    generator = np.random.default_rng(seed)
    real = np.stack([correlated(rows, size, seed + group) for group in range(groups)])
    both = Rows(real + noise * generator.normal(size=real.shape), real)
    return generator.laplace(size=(outputs, size // 9, 3, 3)), Options(1.5, rows=lambda: both)


def output_error(weights, integers, step, options) -> float:
    """E |q.xq - w.xf|^2 about the means, over that of w.xf."""
    neurons, found = of(weights, options)
    quantized = (integers * step[:, None, None, None]).reshape(neurons.shape)
    error = np.einsum("goi,gij,goj->", quantized, found.h, quantized) - 2 * np.einsum(
        "goi,gij,goj->", quantized, found.c, neurons
    )
    return float(1 + error / power(neurons, options.rows()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("groups", [1, 3])
def test_every_method_keeps_shapes_and_limit_and_comes_close(method, groups):
    weights, options = problem(groups)
    integers, step = named(method)(weights, options)
    assert integers.dtype == np.int64
    assert integers.shape == weights.shape
    assert step.shape == (6,)
    assert np.all(step > 0)
    if method != "mcq":
        assert np.abs(integers).max() <= 7
    assert output_error(weights, integers, step, options) < 0.5


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("outputs", [2, 40])
def test_moments_are_those_of_the_rows(centred, outputs):
    weights, options = problem(2, outputs, rows=5000)
    rows = options.rows()
    neurons, found = of(weights, options, centred=centred)
    quantized, real = (values - values.mean(axis=1, keepdims=True) * centred for values in (rows.quantized, rows.real))
    assert np.allclose(found.h, quantized.transpose(0, 2, 1) @ quantized / 5000)
    wanted = quantized.transpose(0, 2, 1) @ real / 5000
    assert np.allclose(found.towards(neurons), neurons @ wanted.transpose(0, 2, 1))
    assert np.allclose(found.c, wanted)


@pytest.mark.parametrize("method", METHODS)
def test_layers_of_zeros_stay_zero(method):
    _, options = problem()
    integers, _ = named(method)(np.zeros((4, 2, 3, 3)), options)
    assert not integers.any()


@pytest.mark.parametrize("method", ["galton", "gptq", "gpfq", "maly_saab"])
def test_constant_inputs_are_no_trouble(method):
    weights, _ = problem()
    rows = Rows(np.ones((1, 50, 18)), np.ones((1, 50, 18)))
    integers, step = named(method)(weights, Options(1.5, rows=lambda: rows))
    assert integers.any()
    assert np.isfinite(step).all()


def test_too_few_rows_are_told():
    weights, _ = problem()
    rows = Rows(np.ones((1, 5, 18)), np.ones((1, 5, 18)))
    with pytest.warns(CalibrationWarning, match=r"conv: 5 calibration rows for neurons of 18 weights"):
        gptq.quantize(weights, Options(1.0, rows=lambda: rows, name="conv"))


def test_methods_without_data_take_none():
    weights, _ = problem()
    for method in METHODS:
        integers, _ = named(method)(weights, Options(1.5))
        assert integers.any(), method


def test_nearest_rounds_to_the_nearest():
    weights = np.array([[0.0, 0.24, -0.26, 7.0], [0.1, 0.2, 0.3, -0.7]]).reshape(2, 1, 2, 2)
    integers, step = nearest.channel(weights, Options(1.0))
    assert np.allclose(step, [1.0, 0.1])
    assert integers.reshape(2, 4).tolist() == [[0, 0, 0, 7], [1, 2, 3, -7]]
    integers, step = nearest.tensor(weights, Options(1.0))
    assert np.allclose(step, 1.0)
    assert integers.reshape(2, 4).tolist() == [[0, 0, 0, 7], [0, 0, 0, -1]]
    assert nearest.round_to(np.array([[0.5, -0.5, 1.5]]), np.ones(1), 7).tolist() == [[1, -1, 2]]


def test_the_best_step_beats_the_widest_and_every_other():
    weights = np.random.default_rng(1).laplace(size=(5, 200))
    step = nearest.best_step(weights, 7)

    def error(steps):
        return ((weights - steps[:, None] * nearest.round_to(weights, steps, 7)) ** 2).sum(axis=1)

    widest = np.abs(weights).max(axis=1) / 7
    assert np.all(error(step) < error(widest))
    for share in np.linspace(0.1, 1.2, 300):
        assert np.all(error(step) <= error(widest * share) * 1.02)


@pytest.mark.parametrize("bits", LAPLACE)
def test_clipping_is_the_published_table(bits):
    assert aciq.clipping(bits) == pytest.approx(LAPLACE[bits], abs=2e-5)
    assert aciq.laplace_clipping(bits) == pytest.approx(LAPLACE[bits], abs=2e-5)
    assert aciq.clipping(bits, "gauss") == pytest.approx(GAUSS[bits], abs=2e-5)
    assert aciq.clipping(bits, relu=True) == pytest.approx(aciq.laplace_clipping(bits, relu=True), abs=1e-5)


@pytest.mark.parametrize("distribution", aciq.DISTRIBUTIONS)
def test_the_expected_error_is_that_of_samples(distribution):
    generator = np.random.default_rng(0)
    values = generator.laplace(size=400_000) if distribution == "laplace" else generator.normal(size=400_000)
    alpha = aciq.clipping(4, distribution)
    width = 2 * alpha / 16
    inside = np.floor(values / width) * width + width / 2
    middle = np.where(np.abs(values) < alpha, inside, np.sign(values) * alpha)
    assert ((values - middle) ** 2).mean() == pytest.approx(aciq.expected_error(alpha, 4, distribution), rel=0.05)


def test_lambert_solves_its_equation():
    for value in (1e-3, 0.5, 1.0, 3.0, 1e3, 1e9):
        found = aciq.lambert(value)
        assert found * np.exp(found) == pytest.approx(value, rel=1e-12)


def test_bits_go_to_the_wide_channels():
    alpha = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    bits = aciq.allocate(alpha, 3.0)
    assert bits[0] == 0
    assert np.all(np.diff(bits) >= 0)
    assert bits[1:].max() - bits[1:].min() in (3, 4, 5)
    assert 2.5 <= bits.mean() <= 3.0
    weights, _ = problem(outputs=6)
    weights[:3] *= 30
    integers, _ = aciq.quantize(weights, Options(1.0, limit=7, extra={"allocate": True}))
    largest = np.abs(integers).reshape(6, -1).max(axis=1)
    assert largest[:3].min() > largest[3:].max()


def test_allocation_gives_whole_planes_to_wide_channels():
    """2^M_i goes as alpha_i^(2/3): a channel 8 times as wide has 2 bits more; with two planes nothing is cut."""
    generator = np.random.default_rng(0)
    widths = np.array([1e-4, 1.0, 1.2, 9.0, 60.0, 500.0])
    weights = generator.laplace(size=(6, 400)).reshape(6, 4, 10, 10) * widths[:, None, None, None]
    integers, step = aciq.quantize(weights, Options(1.0, limit=119, extra={"allocate": True, "bits": 4}))
    bits = aciq.allocate(widths, 4)
    assert 4 - 1 / 6 <= bits.mean() <= 4
    assert np.all(np.abs(np.diff(bits[1:]) - np.diff(np.log2(widths[1:])) * 2 / 3) < 1)
    largest = np.abs(integers).reshape(6, -1).max(axis=1)
    held = 2.0 ** np.maximum(bits - 1, 0) - (bits > 1)
    assert np.all(largest <= np.minimum(held * (bits > 0), 119))
    assert np.all(largest >= held // 2 * (bits > 0))
    cut, _ = aciq.quantize(weights, Options(1.0, limit=7, extra={"allocate": True, "bits": 4}))
    assert np.abs(cut).max() == 7
    assert np.all(np.isfinite(step))
    same, _ = aciq.quantize(weights, Options(1.0, limit=119, extra={"allocate": True, "bits": 5}))
    assert set(np.abs(same).reshape(6, -1).max(axis=1)) <= set(range(9, 16))


def test_nothing_is_clipped_beyond_the_largest():
    """Of uniform weights alpha is far beyond the largest: the steps are then those of rounding to nearest."""
    weights = np.random.default_rng(0).uniform(-1, 1, (4, 8, 3, 3))
    found, expected = aciq.quantize(weights, Options(1.0, extra={"norm": False})), nearest.channel(weights, Options(1.0))
    assert np.allclose(found[1], expected[1])
    assert np.array_equal(found[0], expected[0])


def test_one_bit_is_two_values_of_which_none_is_zero():
    weights = np.random.default_rng(0).laplace(size=(3, 5, 3, 3))
    integers, step = aciq.quantize(weights, Options(1.0, extra={"bits": 1, "norm": False}))
    assert set(integers.reshape(-1)) == {-1, 1}
    rows = weights.reshape(3, -1)
    width = np.abs(rows - rows.mean(axis=1, keepdims=True)).mean(axis=1)
    assert np.allclose(step, aciq.clipping(1) * width / 2)


@pytest.mark.parametrize("name", aciq.DISTRIBUTIONS)
def test_the_likelier_distribution_is_found(name):
    generator = np.random.default_rng(1)
    weights = (generator.laplace if name == "laplace" else generator.normal)(size=(8, 6, 5, 5))
    told, fitted = (aciq.quantize(weights, Options(1.0, extra={"distribution": kind})) for kind in (name, "fit"))
    assert all(np.array_equal(one, other) for one, other in zip(told, fitted, strict=True))


def test_channels_of_one_value_keep_it():
    weights = np.array([0.7, -0.2]).reshape(2, 1, 1, 1) * np.ones((2, 3, 3, 3))
    integers, step = aciq.quantize(weights, Options(1.0))
    assert np.allclose(integers * step[:, None, None, None], weights)
    single, step = aciq.quantize(weights[:, :1, :1, :1], Options(1.0))
    assert np.allclose(single * step[:, None, None, None], weights[:, :1, :1, :1])


def test_correction_restores_mean_and_norm():
    weights = np.random.default_rng(0).normal(0.3, 1.0, (4, 30))
    rounded = np.round(weights)
    for norm in (False, True):
        corrected = aciq.correct(weights, rounded, norm=norm)
        assert np.allclose(corrected.mean(axis=1), weights.mean(axis=1))
        assert np.allclose(corrected.std(axis=1), weights.std(axis=1)) == norm


def test_aciq_refuses_what_it_does_not_know():
    with pytest.raises(GaltonError, match="distribution must be one of laplace, gauss, not 'cauchy'"):
        aciq.clipping(4, "cauchy")
    with pytest.raises(GaltonError, match="bits must be in"):
        aciq.clipping(0)
    with pytest.raises(GaltonError, match=r"extra: bits must be in 1\.\.8, not 9"):
        aciq.quantize(np.ones((1, 1, 1, 1)), Options(1.0, extra={"bits": 9}))


@pytest.mark.parametrize("order", gpfq.ORDERS)
def test_path_following_by_moments_is_path_following(order):
    weights, options = problem(noise=0.3)
    integers, step = gpfq.quantize(weights, replace(options, extra={"order": order}))
    rows = options.rows()
    real, inputs = rows.real[0], rows.quantized[0]
    for neuron in range(6):
        carried = np.zeros(len(real))
        flat = weights[neuron].reshape(-1)
        for t in np.argsort(-(inputs**2).sum(axis=0)) if order == "power" else range(18):
            carried += flat[t] * real[:, t]
            q = np.clip(np.round(inputs[:, t] @ carried / (inputs[:, t] @ inputs[:, t]) / step[neuron]), -7, 7)
            carried -= q * step[neuron] * inputs[:, t]
            assert q == integers[neuron].reshape(-1)[t]


def test_path_following_refuses_other_orders():
    with pytest.raises(GaltonError, match="order must be one of array, power, not 'up'"):
        gpfq.quantize(np.ones((1, 1, 3, 3)), Options(1.0, extra={"order": "up"}))


def test_feedback_is_greedy_rounding_with_the_rest_refitted():
    generator = np.random.default_rng(2)
    h = damped(moments(Rows(correlated(300, 8)[None], correlated(300, 8)[None])).h, 0.01)[0]
    weights = generator.normal(size=8)
    found = gptq.feedback(weights[None], h, np.array([0.4]), 7, 0.0)[0]
    order, values, fixed = np.argsort(-np.diag(h)), weights.copy(), np.zeros(8, bool)
    for j in order:
        q = np.clip(np.round(values[j] / 0.4), -7, 7)
        assert q == found[j]
        move = q * 0.4 - values[j]
        fixed[j] = True
        rest = ~fixed
        if rest.any():
            values[rest] -= np.linalg.solve(h[np.ix_(rest, rest)], h[rest, j] * move)
        values[j] = q * 0.4


def test_regression_is_least_squares():
    weights, options = problem(noise=0.5)
    neurons, found = of(weights, options)
    answer = regress(neurons, found, 1e-9)[0]
    rows = options.rows()
    inputs, real = (part[0] - part[0].mean(axis=0) for part in (rows.quantized, rows.real))
    expected = np.linalg.lstsq(inputs, real @ neurons[0].T, rcond=None)[0].T
    assert np.allclose(answer, expected, atol=1e-3)
    assert not np.allclose(answer, neurons[0], atol=1e-2)


def test_descent_never_climbs_and_ends_where_no_single_move_helps():
    weights, options = problem(size=36)
    neurons, found = of(weights, options)
    h, wanted = damped(found.h, 0.01)[0], neurons[0]
    step = np.abs(wanted).mean(axis=1) / 2
    price = 0.02 * float(np.einsum("oi,ij,oj->", wanted, h, wanted)) / wanted.size

    def cost(integers, steps):
        return galton.cost_of(wanted, h, integers, steps, price)

    integers = gptq.feedback(wanted, h, step, 7, price)
    last = cost(integers, step)
    for _ in range(12):
        step = galton.descend(wanted, h, integers, step, 7, price, 1)
        assert np.all(cost(integers, step) <= last + 1e-9)
        last = cost(integers, step)
    chosen = galton.best_of_starts(wanted, h, np.abs(wanted).mean(axis=1) / 2, 7, price, 12)
    assert np.all(cost(*chosen) <= last + 1e-9)
    kicked = galton.best_of_starts(wanted, h, np.abs(wanted).mean(axis=1) / 2, 7, price, 12, 64)
    assert np.all(cost(*kicked) <= cost(*chosen) + 1e-9)
    assert cost(*kicked).sum() < 0.995 * cost(*chosen).sum()
    for place in range(36):
        for value in range(-7, 8):
            moved = integers.copy()
            moved[:, place] = value
            assert np.all(cost(moved, step) >= last - 1e-6 * np.abs(last))


@pytest.mark.parametrize("case", ["no data", "dead inputs", "silent outputs", "few rows", "nothing"])
def test_the_default_takes_what_is_degenerate(case):
    weights, options = problem(outputs=8, size=36)
    rows = options.rows()
    real, quantized = rows.real.copy(), rows.quantized.copy()
    if case == "dead inputs":
        quantized[:, :, ::2] = 0
        real[:, :, ::2] = 0
    elif case == "silent outputs":
        weights[::2] = 0
    elif case == "few rows":
        real, quantized = real[:, :8], quantized[:, :8]
    elif case == "nothing":
        real, quantized = real * 0, quantized * 0
    given = None if case == "no data" else lambda: Rows(quantized, real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        integers, step = galton.quantize(weights, Options(2.0, rows=given))
    assert np.isfinite(step).all()
    assert np.abs(integers).max() <= 7
    assert not integers[::2].any() or case != "silent outputs"
    rounded = ((integers * step[:, None, None, None] - weights) ** 2).sum() / (weights**2).sum()
    assert rounded < {"dead inputs": 1.0, "few rows": 1.0}.get(case, 0.2)


def test_the_price_buys_zeros():
    weights, options = problem(size=36)
    shares = []
    for price in (0.0, 0.05, 0.5):
        integers, _ = galton.quantize(weights, Options(2.0, rows=options.rows, extra={"price": price}))
        shares.append((integers != 0).mean())
    assert shares[0] > shares[1] > shares[2] > 0
    for name in ("price", "kicks"):
        with pytest.raises(GaltonError, match=name):
            galton.quantize(weights, Options(2.0, extra={name: -1}))


def test_the_default_comes_closest():
    weights, options = problem(outputs=24, size=36, noise=0.5)
    errors = {method: output_error(weights, *named(method)(weights, options), options) for method in METHODS}
    free = galton.quantize(weights, Options(2.0, rows=options.rows, extra={"price": 0.0}))
    best = output_error(weights, *free, options)
    assert all(best < error for method, error in errors.items() if method != "galton")
    assert errors["gptq"] < errors["nearest_mse"]
