"""Rescaling: as many bits as fit, and never a total that does not."""

import numpy as np
import pytest

from galton.arith import dynamic_multiplier, requantize, stored_bias
from galton.errors import AccumulatorOverflow
from galton.format import SHIFTS
from galton.rescale import dynamic_rescaling, rescaling


@pytest.mark.parametrize("seed", range(20))
def test_static_totals_fit_and_round(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = 10.0 ** rng.uniform(-5, 0.5, size=7)
    bias = rng.normal(0, 50, size=7)
    bound = rng.integers(1, 1 << 15, size=7)
    multiplier, integer_bias, shift, residual_multiplier = rescaling(real, bias, bound)
    assert shift in SHIFTS
    assert residual_multiplier == 0
    for k in range(7):
        for acc in (-int(bound[k]), 0, int(bound[k])):
            raw = requantize(acc, int(multiplier[k]), stored_bias(int(integer_bias[k]), shift), shift, -(1 << 20), 1 << 20)
            assert abs(raw - (acc * real[k] + bias[k])) <= 0.5 + (abs(acc) + 1) * 2.0 ** -(shift + 1) + 1e-9


def test_static_takes_the_largest_shift() -> None:
    assert rescaling(2.0**-9, 0, 100).shift == 24
    assert rescaling(2.0**-7, 0, 100).shift == 20
    assert rescaling(2.0**-9, 0, 1 << 16).shift == 20


@pytest.mark.parametrize("seed", range(20))
def test_dynamic_multipliers_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = int(rng.integers(1, 20000))
    norm_max = int(rng.integers(1, 1 << 24))
    largest = max(norm_max, samples + 1)
    real = rng.uniform(0.1, 1, size=5) * 10.0 ** rng.uniform(-4, 0) / largest
    bound = int(rng.integers(1, 1 << 12))
    result = dynamic_rescaling(real, samples, norm_max, 3.0, bound)
    for norm in (0, samples, norm_max // 3, norm_max):
        for k in range(5):
            m = dynamic_multiplier(int(result.multiplier[k]), norm, samples, result.norm_shift, result.multiplier_shift)
            raw = requantize(bound, m, stored_bias(int(result.bias[k]), result.shift), result.shift, -(1 << 20), 1 << 20)
            exact = bound * real[k] * max(norm, samples + 1) + 3.0
            assert abs(raw - exact) <= 1 + bound * 2.0**-result.shift + 0.01 * exact + bound * real[k] * 2.0**result.norm_shift


@pytest.mark.parametrize("seed", range(10))
def test_residuals(seed: int) -> None:
    """Totals with the largest residual on top fit 32 bits, and the sum is that of the real values."""
    rng = np.random.default_rng(seed)
    real, bias = 10.0 ** rng.uniform(-5, -0.5, size=5), rng.normal(0, 50, size=5)
    bound, steps, largest = int(rng.integers(1, 1 << 12)), float(10.0 ** rng.uniform(-2, 1)), int(rng.choice([127, 128, 255]))
    found = rescaling(real, bias, bound, residual=(steps, largest))
    dynamic = dynamic_rescaling(real / 1000, 10, 1000, bias, bound, residual=(steps, largest))
    for k in range(5):
        used = dynamic_multiplier(int(dynamic.multiplier[k]), 1000, 10, dynamic.norm_shift, dynamic.multiplier_shift)
        for multiplier, result in ((int(found.multiplier[k]), found), (used, dynamic)):
            for acc, residual in ((bound, largest), (-bound, -largest), (0, largest), (bound, -largest)):
                added = residual * result.residual_multiplier
                stored = stored_bias(int(result.bias[k]), result.shift)
                raw = requantize(acc, multiplier, stored, result.shift, -(1 << 20), 1 << 20, added)
                exact = acc * real[k] + bias[k] + residual * steps
                unit = 2.0**-result.shift * (1 << 4 if result is dynamic else 1)
                assert abs(raw - exact) <= 1 + (abs(acc) + largest) * unit + 0.01 * abs(acc * real[k])


def test_a_residual_takes_room() -> None:
    """Its multiplier and its share of the total count; it always has a multiplier, or it would be none."""
    assert rescaling(2.0**-9, 0, 100).shift == 24
    assert rescaling(2.0**-9, 0, 100, residual=(1.0, 255)).shift == 12
    assert rescaling(2.0**-9, 0, 100, residual=(2.0**-8, 255)).shift == 20
    assert rescaling(2.0**-9, 0, 31 << 11, residual=(2.0**-6, 0)).shift == 24
    assert rescaling(2.0**-9, 0, 31 << 11, residual=(2.0**-9, 1 << 16)).shift == 20
    assert rescaling(2.0**-9, 0, 100, residual=(1e-12, 255)).residual_multiplier == 1
    assert rescaling(2.0**-9, 0, 100).residual_multiplier == 0
    assert dynamic_rescaling(2.0**-20, 100, 1 << 10, residual=(1e-12, 255)).residual_multiplier == 1
    with pytest.raises(AccumulatorOverflow, match="coarser output scale"):
        rescaling(2.0**-9, 0, 100, residual=(17.0, 255))
    with pytest.raises(AccumulatorOverflow, match="coarser output scale"):
        dynamic_rescaling(2.0**-20, 100, 1 << 10, residual=(17.0, 255))


def test_what_cannot_fit_is_refused() -> None:
    with pytest.raises(AccumulatorOverflow, match=r"conv2: channel 1 .* coarser output scale"):
        rescaling([0.5, 17.0], 0.0, 100, name="conv2")
    with pytest.raises(AccumulatorOverflow, match=r"can reach 1.049e\+06"):
        rescaling(1.0, 0.0, 1 << 20)
    with pytest.raises(AccumulatorOverflow, match="coarser"):
        dynamic_rescaling(1.0, 100, 1 << 20)
    with pytest.raises(ValueError, match="channel 1"):
        rescaling([1.0, -1.0], 0.0, 1)
    with pytest.raises(ValueError, match="finite"):
        rescaling([1.0, np.nan], 0.0, 1)
