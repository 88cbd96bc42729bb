"""Monte Carlo quantization as a method: what the paper promises, and each improvement against it."""

from __future__ import annotations

import numpy as np
import pytest
from test_quantizers import output_error, problem

from galton.errors import GaltonError
from galton.quantizers import Options, named, prior, sampling
from galton.quantizers.mcq import hits
from galton.quantizers.moments import outputs_error

LAPLACE = np.random.default_rng(0).laplace(size=60_000)


def test_counts_are_unbiased_over_offsets():
    values, draws = np.random.default_rng(1).laplace(size=60), 64
    counts = np.array([hits(values, 0.7, xi=(turn + 0.3) / draws, order="magnitude")[0] for turn in range(draws)])
    expected = 42 * values / np.abs(values).sum()
    assert np.all(np.abs(counts.mean(axis=0) - expected) <= 1 / draws)
    assert np.all(np.abs(counts).sum(axis=1) == 42)
    assert np.all(counts * np.sign(values) >= 0)


@pytest.mark.parametrize("k", [0.5, 1, 2, 3, 5])
@pytest.mark.parametrize("order", ["array", "magnitude", "channel_sign"])
def test_zeros_of_laplace_weights(k, order):
    counts, scale = hits(LAPLACE, k, order=order)
    assert (counts == 0).mean() == pytest.approx(1 - k + k * np.exp(-1 / k), abs=0.01)
    assert scale == pytest.approx(np.abs(LAPLACE).mean() / k)


def test_the_error_is_twice_that_of_rounding_on_the_same_grid():
    counts, scale = hits(LAPLACE, 3)
    errors = [((values - LAPLACE) ** 2).mean() for values in (counts * scale, np.round(LAPLACE / scale) * scale)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


def test_more_samples_are_finer_in_proportion():
    errors = [((hits(LAPLACE, k)[0] * hits(LAPLACE, k)[1] - LAPLACE) ** 2).mean() for k in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_without_extra_it_is_the_papers():
    weights, options = problem()
    integers, steps = named("mcq")(weights, Options(1.5, order="magnitude", xi=0.3, rows=options.rows))
    counts, scale = hits(weights, 1.5, order="magnitude", xi=0.3)
    assert np.array_equal(integers, counts)
    assert np.allclose(steps, scale)


@pytest.mark.parametrize("norm", ["layer", "channel"])
def test_clipping_fits_the_limit_and_keeps_the_samples(norm):
    weights = np.random.default_rng(3).laplace(size=(4, 5, 3, 3)) ** 3
    options = Options(1.0, limit=7, norm=norm)
    plain, _ = sampling.quantize(weights, options)
    integers, _ = sampling.quantize(weights, Options(1.0, limit=7, norm=norm, extra={"clip": True}))
    assert np.abs(plain).max() > 7
    assert np.abs(integers).max() == 7
    assert np.abs(integers).sum() == weights.size
    clipped = sampling.clip(weights, True, options)
    edge = np.abs(clipped).reshape(1 if norm == "layer" else 4, -1)
    assert np.allclose(edge.max(axis=1), 7 * edge.mean(axis=1))
    assert np.allclose(sampling.clip(weights, 2.0, options), np.clip(weights, *(np.array([-2, 2]) * np.abs(weights).mean()))) == (
        norm == "layer"
    )


def test_clipping_leaves_alone_what_fits_and_what_cannot():
    weights = np.random.default_rng(4).uniform(-1, 1, size=(3, 2, 3, 3))
    assert np.array_equal(sampling.clip(weights, True, Options(1.0)), weights)
    assert np.array_equal(sampling.clip(weights, True, Options(9.0)), weights)


def test_a_dead_zone_drops_the_small_and_gives_their_samples_to_the_rest():
    weights = np.random.default_rng(5).laplace(size=(4, 5, 3, 3))
    options = Options(2.0, order="channel_sign")
    plain, _ = sampling.quantize(weights, options)
    integers, step = sampling.quantize(weights, Options(2.0, order="channel_sign", extra={"dead_zone": 1.5}))
    edge = 1.5 * np.abs(weights).mean() / 2
    assert not integers[np.abs(weights) < edge].any()
    assert np.abs(integers).sum() == np.abs(plain).sum()
    assert step[0] == pytest.approx(np.where(np.abs(weights) < edge, 0, np.abs(weights)).mean() / 2)


@pytest.mark.parametrize("norm", ["layer", "channel"])
@pytest.mark.parametrize("corrected", [True, False])
def test_the_best_of_more_offsets_is_no_worse(norm, corrected):
    weights, options = problem(outputs=12)
    found = sampling.moments(weights, Options(1.0, rows=options.rows, corrected=corrected))
    errors = []
    for count in (1, 2, 8):
        extra = {"offsets": count, "descend": 0}
        chosen = Options(1.0, norm=norm, limit=50, rows=options.rows, corrected=corrected, extra=extra)
        integers, steps = sampling.quantize(weights, chosen)
        errors.append(outputs_error(weights, integers, steps, found, fitted=corrected).sum())
    assert errors[0] >= errors[1] >= errors[2]
    assert errors[0] > errors[2]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("extra", [{"follow": True}, {"descend": 5}, {"follow": True, "regress": True}], ids=str)
def test_each_improvement_by_data_improves(extra, groups):
    weights, options = problem(groups, outputs=24, noise=0.3)
    plain = Options(2.0, norm="channel", order="channel_sign", rows=options.rows)
    better = Options(2.0, norm="channel", order="channel_sign", rows=options.rows, extra=extra)
    assert output_error(weights, *sampling.quantize(weights, better), options) < 0.9 * output_error(
        weights, *sampling.quantize(weights, plain), options
    )


def test_regression_improves_following_where_the_inputs_changed():
    weights, options = problem(outputs=40, size=36, noise=1.0)
    errors = [
        output_error(
            weights, *sampling.quantize(weights, Options(4.0, norm="channel", limit=20, rows=options.rows, extra=extra)), options
        )
        for extra in ({}, {"regress": True})
    ]
    assert errors[1] < errors[0]


def test_steps_matched_without_data():
    weights = np.random.default_rng(6).laplace(size=(30, 4, 3, 3))
    matrix = prior.second_moment(4, 9)

    def power(rows):
        flat = rows.reshape(30, -1)
        return ((flat @ matrix) * flat).sum(axis=1)

    found = {}
    for match in ("none", *sampling.MATCHES):
        extra = {} if match == "none" else {"match": match}
        integers, steps = sampling.quantize(weights, Options(1.0, order="channel_sign", extra=extra))
        found[match] = integers * steps[:, None, None, None]
    assert power(found["least_squares"] - weights).sum() < power(found["none"] - weights).sum()
    assert np.allclose(power(found["power"]), power(weights))


def test_the_prior_judges_where_asked_or_where_there_is_nothing_else():
    weights, options = problem()
    extra = {"descend": 4, "moments": "prior"}
    asked = sampling.quantize(weights, Options(1.0, rows=options.rows, extra=extra))
    alone = sampling.quantize(weights, Options(1.0, extra={"descend": 4}))
    data = sampling.quantize(weights, Options(1.0, rows=options.rows, extra={"descend": 4}))
    assert np.array_equal(asked[0], alone[0])
    assert not np.array_equal(asked[0], data[0])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"clip": 0}, "clip must be true or a positive number of means, not 0"),
        ({"dead_zone": -1}, "dead_zone must be a number from 0 on"),
        ({"offsets": 0}, "offsets must be an integer from 1 on"),
        ({"descend": 1.5}, "descend must be an integer from 0 on"),
        ({"match": "exactly"}, "match must be one of least_squares, power, not 'exactly'"),
        ({"moments": "guess"}, "moments must be one of data, prior, not 'guess'"),
    ],
)
def test_improvements_out_of_range_are_refused(extra, message):
    with pytest.raises(GaltonError, match=message):
        sampling.quantize(np.ones((2, 1, 3, 3)), Options(1.0, extra=extra))
