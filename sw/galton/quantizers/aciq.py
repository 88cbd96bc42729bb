"""Analytic clipping (Banner, Nahshan, Soudry, arXiv 1810.05723): the range that trades clipping against rounding error.

For b = mean |x - mean x| (Laplace) or sigma (Gauss) and M bits, alpha minimises
    Laplace  2 b^2 exp(-alpha / b) + alpha^2 / (3 4^M)
    Gauss    (sigma^2 + alpha^2) (1 - erf(alpha / (sigma sqrt 2))) - sqrt(2 / pi) alpha sigma exp(-alpha^2 / (2 sigma^2))
             + alpha^2 / (3 4^M)
Behind a ReLU the M bits cover 0..alpha alone and half of the values are clipped, so 4^M becomes 4^(M+1), with the statistics of
the values before the ReLU. For Laplace alpha / b = W0(3 4^M), with Lambert's W.
"""

from __future__ import annotations

from math import e, erf, exp, isfinite, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.quantizers import Options
from galton.quantizers.nearest import round_to

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

DISTRIBUTIONS = ("laplace", "gauss")
LARGEST_BITS = 8
ALLOCATED_BELOW = 5
"""Bits from which on the paper gives every channel the same."""
GOLDEN = (sqrt(5) - 1) / 2


def expected_error(alpha: float, bits: float, distribution: str, *, relu: bool = False) -> float:
    """Expected squared error at clipping value `alpha` of a distribution with b = 1 or sigma = 1."""
    rounding = alpha * alpha / (3 * float(4.0 ** (bits + relu)))
    if distribution == "laplace":
        return 2 * exp(-alpha) + rounding
    tail = (1 + alpha * alpha) * (1 - erf(alpha / sqrt(2))) - sqrt(2 / pi) * alpha * exp(-alpha * alpha / 2)
    return tail + rounding


def clipping(bits: float, distribution: str = "laplace", *, relu: bool = False) -> float:
    """alpha over b or sigma, the minimum of `expected_error` by golden section.

    Raises GaltonError for another distribution or bits that are not positive.
    """
    _check(bits, distribution)
    low, high = 0.0, 4.0 + 2.0 * bits
    while high - low > 1e-9:
        first, second = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        errors = [expected_error(alpha, bits, distribution, relu=relu) for alpha in (first, second)]
        low, high = (low, second) if errors[0] <= errors[1] else (first, high)
    return (low + high) / 2


def laplace_clipping(bits: float, *, relu: bool = False) -> float:
    """alpha / b in closed form: W0(3 4^M), behind a ReLU W0(12 4^M)."""
    _check(bits, "laplace")
    return lambert(3 * 4.0 ** (bits + relu))


def lambert(value: float) -> float:
    """W0(value) for value > 0: w exp(w) = value, by Newton's method on w + log w = log value."""
    wanted = log(value)
    guess = max(wanted - log(max(wanted, 1.0)), 0.1)
    for _ in range(50):
        step = (guess + log(guess) - wanted) / (1 + 1 / guess)
        guess = max(guess - step, guess / 10)
        if abs(step) < 1e-15 * guess:
            break
    return guess


def allocate(alpha: Reals, bits: float) -> Ints:
    """Bits of each channel: 2^M_i proportional to alpha_i^(2/3), the mean of M_i at most `bits` and as near as whole bits come.

    M_i is in 0..8; a channel with alpha = 0 takes none.
    """
    if not bits > 0:
        raise GaltonError(f"bits must be positive, not {bits!r}")
    wide = np.log2(np.maximum(alpha, 1e-300)) * 2 / 3
    low, high = -wide.max() - 1.0, LARGEST_BITS - wide.min() + 1.0
    for _ in range(100):
        level = (low + high) / 2
        low, high = (low, level) if _whole(wide + level, alpha).mean() > bits else (level, high)
    return _whole(wide + low, alpha)


def correct(weights: Reals, quantized: Reals, *, norm: bool = True) -> Reals:
    """xi (w_q - E w_q) + E w by channel (axis 0), xi = ||w - E w|| / ||w_q - E w_q||, or 1 where `norm` is not asked for."""
    axes = tuple(range(1, weights.ndim))
    centre, own = weights.mean(axis=axes, keepdims=True), quantized.mean(axis=axes, keepdims=True)
    power = np.sqrt(((quantized - own) ** 2).sum(axis=axes, keepdims=True))
    wanted = np.sqrt(((weights - centre) ** 2).sum(axis=axes, keepdims=True))
    scale = np.divide(wanted, power, out=np.ones_like(power), where=power > 0) if norm else 1.0
    corrected: Reals = scale * (quantized - own) + centre
    return corrected


def better(laplace: Reals, gauss: Reals) -> str:
    """The likelier distribution of channels with mean deviations `laplace` and standard deviations `gauss`, channels alike.

    The log-likelihoods of n values are at most -n (1 + log 2b) and -n (1 + log(2 pi sigma^2)) / 2.
    """
    live = (laplace > 0) & (gauss > 0)
    ratio = np.log(laplace[live] / gauss[live]).sum()
    return "laplace" if ratio < live.sum() * log(sqrt(pi / (2 * e))) else "gauss"


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "aciq": each channel clipped at its alpha, 2 alpha / 2^M a step, zero in the middle: 2^M - 1 levels in use.

    Where that would reach beyond the largest magnitude, the step is the one that ends there.

    extra: "bits", by default those of `limit`. "distribution": "laplace" (default), "gauss" or "fit", the likelier one.
    "allocate": below 5 bits, bits differ by channel, `bits` on average: no bits are zeros, one is two values; beyond `limit` they
    are cut. "norm": the step times the correction's xi (default); the mean is left to the closing bias.
    """
    extra = options.extra
    rows = weights.reshape(len(weights), -1)
    bits = extra.get("bits", float(np.log2(2 * options.limit + 2)))
    if not (isinstance(bits, int | float) and 1 <= bits <= LARGEST_BITS):
        raise GaltonError(f"extra: bits must be in 1..{LARGEST_BITS}, not {bits!r}")
    deviations = np.abs(rows - rows.mean(axis=1, keepdims=True))
    widths = {"laplace": deviations.mean(axis=1), "gauss": np.sqrt((deviations**2).mean(axis=1))}
    largest = np.abs(rows).max(axis=1, initial=0.0)
    # A channel of one value has no width, but for what is left of its mean's rounding: the value is its step.
    alive = widths["gauss"] > 1e-9 * largest
    distribution = str(extra.get("distribution", "laplace"))
    distribution = better(widths["laplace"], widths["gauss"]) if distribution == "fit" else distribution
    clipped = clipping(bits, distribution)
    width = widths[distribution]
    each = np.full(len(rows), float(bits))
    if extra.get("allocate") and bits < ALLOCATED_BELOW:
        each = allocate(width * clipped * alive, bits).astype(np.float64)
    alpha = width * np.array([clipping(max(float(own), 1.0), distribution) for own in each])
    # Nothing is clipped beyond the largest: there a finer step is free.
    step = np.minimum(2 * alpha / 2**each, largest / np.maximum(2 ** (each - 1) - 1, 1))
    step = np.where(alive, step, largest)
    limits = np.minimum(np.maximum(2 ** (each - 1) - 1, 0), options.limit)
    limits = np.where(alive, limits, 1)
    integers = np.clip(round_to(rows, step, options.limit), -limits[:, None], limits[:, None]).astype(np.int64)
    one = (each == 1) & alive
    integers[one], step[one] = np.where(rows[one] < 0, -1, 1), step[one] / 2
    if extra.get("norm", True):
        centred = integers - integers.mean(axis=1, keepdims=True)
        power, wanted = np.sqrt((centred**2).sum(axis=1)) * step, np.sqrt((deviations**2).sum(axis=1))
        step = step * np.divide(wanted, power, out=np.ones_like(power), where=alive & (power > 0))
    return integers.reshape(weights.shape), step


def _whole(levels: Reals, alpha: Reals) -> Ints:
    return np.where(alpha > 0, np.clip(np.round(levels), 0, LARGEST_BITS), 0).astype(np.int64)


def _check(bits: float, distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise GaltonError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
    if not (isfinite(bits) and 0 < bits <= 32):
        raise GaltonError(f"bits must be in 0..32, not {bits!r}")
