"""The numeric contract: its own facts, on Python integers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galton import arith
from galton.format import SHIFTS

RAW = st.lists(st.integers(-128, 255), max_size=50)


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 60), st.fractions(0, 1).filter(lambda xi: xi < 1))
def test_hits_are_the_samples_in_each_share(magnitudes, samples, xi):
    hits = arith.monte_carlo_hits(magnitudes, samples, xi)
    total, before, expected = sum(magnitudes), 0, []
    for magnitude in magnitudes:
        points = [index for index in range(samples) if total * (index + xi) >= samples * before]
        before += magnitude
        expected.append(sum(total * (index + xi) < samples * before for index in points) if magnitude else 0)
    assert hits == expected
    assert sum(hits) == (samples if total else 0)
    assert all(abs(hit * total - samples * magnitude) < total for hit, magnitude in zip(hits, magnitudes, strict=True) if total)


@given(RAW, st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 40))
def test_carried_hits_telescope(raw, step, residue, dead_zone):
    counts, saturated = arith.quantize_stream(
        raw, bypass=False, carry=True, step=step, residue=residue, dead_zone=dead_zone, count_bits=8
    )
    assert saturated == 0
    assert sum(map(abs, counts)) == (residue + step * arith.norm(raw, dead_zone)) >> 16
    for a, count in zip(raw, counts, strict=True):
        assert abs(count) <= abs(a)
        assert count * a >= 0
        assert abs(abs(count) * 65536 - (abs(a) if abs(a) >= dead_zone else 0) * step) < 65536


@given(RAW, st.integers(1, 65535))
def test_rounding_is_to_the_nearest_half_up(raw, step):
    counts, _ = arith.quantize_stream(raw, bypass=False, carry=False, step=step, residue=arith.HALF, dead_zone=0, count_bits=8)
    assert [abs(count) for count in counts] == [int(Fraction(abs(a) * step, 65536) + Fraction(1, 2)) for a in raw]


def test_bypass_keeps_magnitudes_and_signs_but_not_what_the_dead_zone_drops():
    options = {"bypass": True, "carry": True, "step": 9, "residue": 5, "count_bits": 8}
    assert arith.quantize_stream([3, -4, 0, -128, 255], dead_zone=4, **options) == ([0, -4, 0, -128, 255], 0)


def test_counts_saturate_and_the_residue_does_not_notice():
    wide, _ = arith.quantize_stream([200, 200, 3], bypass=False, carry=True, step=65535, residue=0, dead_zone=0, count_bits=8)
    narrow, cut = arith.quantize_stream([200, 200, 3], bypass=False, carry=True, step=65535, residue=0, dead_zone=0, count_bits=4)
    assert (narrow, cut) == ([15, 15, wide[2]], 2)


@given(st.integers(0, (1 << 24) - 1), st.integers(1, (1 << 24) - 1))
def test_a_dynamic_step_always_has_sixteen_bits(norm, samples):
    step = arith.dynamic_step(norm, samples)
    assert 0 <= step < 1 << 16
    assert step == (samples << 16) // max(norm, samples + 1)


def test_dynamic_multipliers_are_cut_not_rounded():
    assert arith.dynamic_multiplier(1000, 70_000, 10, norm_shift=4, multiplier_shift=0) == 1000 * (70_000 >> 4) >> SHIFTS[0]
    assert arith.dynamic_multiplier(4096, 0, 99, norm_shift=0, multiplier_shift=0) == 100
    with pytest.raises(AssertionError):
        arith.dynamic_multiplier(1, 1 << 20, 1, norm_shift=0, multiplier_shift=0)


@given(st.integers(-(1 << 19), 1 << 19), st.integers(0, 2000), st.integers(-(1 << 20), 1 << 20), st.sampled_from(SHIFTS))
def test_raw_outputs_round_half_up_and_clamp(accumulator, multiplier, bias, shift):
    raw = arith.requantize(accumulator, multiplier, arith.stored_bias(bias, shift), shift, -128, 127)
    exact = Fraction(accumulator * multiplier + bias, 1 << shift) + Fraction(1, 2)
    assert raw == min(max(exact.__floor__(), -128), 127)


def test_totals_beyond_their_width_are_caught():
    with pytest.raises(AssertionError):
        arith.requantize(1 << 20, 1 << 12, 0, 12, 0, 255)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_planes_make_the_weight(bits):
    limit = (1 << (bits - 1)) - 1
    for weight in range(-limit * ((1 << bits) + 1), limit * ((1 << bits) + 1) + 1):
        low, high = arith.split_planes(weight, bits)
        assert low + (high << bits) == weight
        assert arith.fits_signed(low, bits)
        assert abs(high) <= limit


@pytest.mark.parametrize(("xi", "residue"), [(0, 65535), (0.5, 32767), (Fraction(1, 3), 65535 - 21845), (1 - 2**-20, 0)])
def test_the_first_residue_stands_for_the_offset(xi, residue):
    assert arith.initial_residue(xi) == residue


@pytest.mark.parametrize(("k", "size", "samples"), [(1, 7, 7), (0.5, 5, 3), (0.1, 4, 0), (Fraction(1, 3), 10, 3), (2.5, 3, 8)])
def test_samples_round_half_up(k, size, samples):
    assert arith.sample_count(k, size) == samples


@pytest.mark.parametrize(("value", "bits", "signed", "unsigned"), [(-8, 4, True, False), (7, 4, True, True), (8, 4, False, True)])
def test_widths(value, bits, signed, unsigned):
    assert arith.fits_signed(value, bits) is signed
    assert arith.fits_unsigned(value, bits) is unsigned
    assert not arith.fits_unsigned(16, bits)
