"""The numeric contract on Python integers: the normative text that golden model, hardware and certificates implement.

Nothing here is approximate and nothing here is fast. Everything vectorised or clocked is tested against these functions.

Decisions that the prose leaves open, and why:

* F = 16 and m has 16 bits, so m < 2^F and a count never exceeds its raw magnitude. That also holds in dynamic mode: the norm is
  taken as at least N + 1 there, for a step finer than the raw grid carries no information.
* A dynamic norm has up to 24 bits. Division gives m = floor(2^F N / T) exactly; a relative error of 1/m of the *number* of
  samples remains (m is 655 at a mean of 100), the same in every implementation.
* A dynamic multiplier is floor(M * (T >> norm_shift) / 2^s) with both shifts constants of the layer, chosen by the compiler so
  that neither factor nor result passes 16 bits for any possible input. An exponent per input would keep 3 to 5 more bits, far
  below the quantization error, and would need a barrel shifter in the drain.
* The rounding constant 2^(shift-1) is part of the stored bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from galton.format import FRACTION_BITS, MULTIPLIER_BITS, SHIFTS, STEP_BITS, TOTAL_BITS

ONE = 1 << FRACTION_BITS
HALF = ONE >> 1


def fits_signed(value: int, bits: int) -> bool:
    """Whether `value` is a two's complement number of `bits` bits."""
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def fits_unsigned(value: int, bits: int) -> bool:
    """Whether `value` is an unsigned number of `bits` bits."""
    return 0 <= value < 1 << bits


def sample_count(k: float | Fraction, size: int) -> int:
    """N = round(K n), half up."""
    return int(Fraction(k) * size + Fraction(1, 2))


def monte_carlo_hits(magnitudes: Sequence[int], samples: int, xi: Fraction) -> list[int]:
    """hits_j = ceil(N P_j - xi) - ceil(N P_{j-1} - xi) with P the cumulative share of the magnitudes (1905.12253, closed form).

    `magnitudes` are non-negative integers, 0 <= xi < 1. The hits sum to N exactly; all zero where every magnitude is.
    """
    total = sum(magnitudes)
    if total == 0:
        return [0] * len(magnitudes)
    hits, cumulative, before = [], 0, -(-(-xi).numerator // (-xi).denominator)
    for magnitude in magnitudes:
        cumulative += magnitude
        position = Fraction(samples * cumulative, total) - xi
        after = -(-position.numerator // position.denominator)
        hits.append(after - before)
        before = after
    return hits


def initial_residue(xi: float | Fraction = 0.5) -> int:
    """r_0 = 2^F - 1 - floor(xi 2^F) for an offset 0 <= xi < 1."""
    return ONE - 1 - int(Fraction(xi) * ONE)


def quantize_stream(
    raw: Iterable[int], *, bypass: bool, carry: bool, step: int, residue: int, dead_zone: int, count_bits: int
) -> tuple[list[int], int]:
    """Signed counts of a stream of raw activations in walk order, and how many were cut to the count width.

    p_j = |a_j| m + r_{j-1}, hits_j = p_j >> F, r_j = p_j mod 2^F where `carry`, else r_j = r_0. Magnitudes below `dead_zone`
    are taken as 0 first. With `bypass` the hits are the magnitudes and the residue rests. Saturation does not touch the residue.
    """
    limit, saturated, r = (1 << count_bits) - 1, 0, residue
    counts = []
    for a in raw:
        magnitude = abs(a) if abs(a) >= dead_zone else 0
        if bypass:
            hits = magnitude
        else:
            p = magnitude * step + r
            hits = p >> FRACTION_BITS
            r = p % ONE if carry else residue
        if hits > limit:
            hits, saturated = limit, saturated + 1
        counts.append(-hits if a < 0 else hits)
    return counts, saturated


def norm(raw: Iterable[int], dead_zone: int) -> int:
    """T = the sum of the magnitudes that reach the dead zone."""
    return sum(abs(a) for a in raw if abs(a) >= dead_zone)


def effective_norm(norm: int, samples: int) -> int:
    """The norm that dynamic mode divides by and rescales with: max(T, N + 1)."""
    return max(norm, samples + 1)


def dynamic_step(norm: int, samples: int) -> int:
    """m = floor(2^F N / max(T, N + 1)), always below 2^16."""
    step = (samples << FRACTION_BITS) // effective_norm(norm, samples)
    assert fits_unsigned(step, STEP_BITS)
    return step


def dynamic_multiplier(multiplier: int, norm: int, samples: int, norm_shift: int, multiplier_shift: int) -> int:
    """M' = (M * (max(T, N + 1) >> norm_shift)) >> SHIFTS[multiplier_shift]."""
    short = effective_norm(norm, samples) >> norm_shift
    result = (multiplier * short) >> SHIFTS[multiplier_shift]
    assert fits_unsigned(short, MULTIPLIER_BITS) and fits_unsigned(result, MULTIPLIER_BITS)
    return result


def stored_bias(bias: int, shift: int) -> int:
    """The bias with the rounding constant of its shift folded in."""
    return bias + (1 << (shift - 1))


def requantize(accumulator: int, multiplier: int, stored: int, shift: int, low: int, high: int, residual: int = 0) -> int:
    """raw = clamp((acc M + B + r M_r) >> shift, low, high), B as `stored_bias` gives it; ties round up. residual: r M_r."""
    total = accumulator * multiplier + stored + residual
    assert fits_signed(total, TOTAL_BITS)
    return min(max(total >> shift, low), high)


def split_planes(weight: int, weight_bits: int) -> tuple[int, int]:
    """(low, high) with weight = low + high 2^weight_bits, where -2^(weight_bits-1) <= low < 2^(weight_bits-1)."""
    high = (weight + (1 << (weight_bits - 1))) >> weight_bits
    return weight - (high << weight_bits), high
