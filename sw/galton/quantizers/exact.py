"""Exact prefix sums and sampling positions of floating-point numbers, in linear time.

Every finite float is a whole number of units of 2^-1074, so sums are kept as Python integers, one for each block. Within a block
float64 estimates decide every position whose error bound does not reach an integer, and integers decide the rest. The
results are those of `arith.monte_carlo_hits` on the exact values, at about 15 ns each.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

UNIT_BITS = 1074
"""The unit is 2^-1074, the smallest positive float64."""
SHORT_BITS, LONG_BITS, SPLIT_BITS = 24, 53, 26
EPSILON = 2.0**-52
LARGEST_TOTAL = 1 << 61
"""Sums below it leave room for remainders in 64 bits."""


def exact_sum(magnitudes: Reals, *, short: bool) -> int:
    """The sum of up to 2^24 finite non-negative numbers in units of 2^-1074; `short`: each has at most 24 significant bits."""
    if magnitudes.size == 0:
        return 0
    mantissa, exponent = np.frexp(magnitudes)
    lowest = int(exponent.min())
    bins = exponent - lowest
    if short:
        sums = [int(value) for value in np.bincount(bins, weights=mantissa) * 2.0**SHORT_BITS]
        shift = lowest - SHORT_BITS + UNIT_BITS
    else:
        high = np.floor(mantissa * 2.0 ** (LONG_BITS - SPLIT_BITS))
        low = mantissa * 2.0**LONG_BITS - high * 2.0**SPLIT_BITS
        pairs = zip(np.bincount(bins, weights=high), np.bincount(bins, weights=low), strict=True)
        sums = [(int(above) << SPLIT_BITS) + int(below) for above, below in pairs]
        shift = lowest - LONG_BITS + UNIT_BITS
    total = sum(value << index for index, value in enumerate(sums))
    return total << shift if shift >= 0 else total >> -shift


def ceilings(magnitudes: Reals, before: int, total: int, samples: int, xi: Fraction) -> Reals:
    """ceil(N P_j - xi) at every place of a block, as whole float64 numbers; P_j is the share of `total` up to that place.

    Parameters
    ----------
    magnitudes: the block, not empty, finite and non-negative.
    before: exact sum of the blocks before it; total: of all blocks, positive; both in units of 2^-1074.
    samples: N, at most 2^48. xi: offset, 0 <= xi < 1.
    """
    exponent = total.bit_length()
    estimate = np.cumsum(np.ldexp(magnitudes, UNIT_BITS - exponent))
    estimate *= (samples << exponent) / total
    tolerance = EPSILON * (4 * samples + 4 + (len(estimate) + 4) * float(estimate[-1]))
    estimate += samples * before / total - float(xi)
    result: Reals = np.ceil(estimate)
    doubtful = np.flatnonzero(np.abs(np.rint(estimate) - estimate) <= tolerance)
    if doubtful.size:
        result[doubtful] = _exact_ceilings(magnitudes, estimate, doubtful, before, total, samples, xi)
    return result


def _exact_ceilings(
    magnitudes: Reals, estimate: Reals, places: Ints, before: int, total: int, samples: int, xi: Fraction
) -> Ints | list[int]:
    """`ceilings` at `places`, in integers; `estimate` is close to N P_j - xi.

    Where the sums fit, quotient and remainder of N times the prefix by the total: the products wrap around at 64 bits, but a
    remainder is smaller than the total, so it is right all the same.
    """
    zeros = ((total | before) & -(total | before)).bit_length() - 1
    small = total >> zeros
    if small < LARGEST_TOTAL:
        scaled = np.ldexp(magnitudes, UNIT_BITS - zeros)
        if (scaled == np.rint(scaled)).all():
            prefix = ((before >> zeros) + np.cumsum(scaled.astype(np.int64)))[places]
            quotient = np.rint(estimate[places] + float(xi)).astype(np.int64)
            step, remainder = np.divmod(prefix * samples - quotient * small, small)
            ceiling: Ints = quotient + step + (remainder > int(xi * small))
            return ceiling
    units = (int(top) * ((1 << UNIT_BITS) // int(bottom)) for top, bottom in map(float.as_integer_ratio, magnitudes.tolist()))
    prefixes = list(accumulate(units, initial=before))[1:]
    return [-int((xi * total - samples * prefixes[place]) // total) for place in places.tolist()]
