"""Analytic clipping (Banner, Nahshan, Soudry, arXiv 1810.05723): the range that trades clipping against rounding error.

For b = mean |x - mean x| (Laplace) or sigma (Gauss) and M bits, alpha minimises
    Laplace  2 b^2 exp(-alpha / b) + alpha^2 / (3 4^M)
    Gauss    (sigma^2 + alpha^2) (1 - erf(alpha / (sigma sqrt 2))) - sqrt(2 / pi) alpha sigma exp(-alpha^2 / (2 sigma^2))
             + alpha^2 / (3 4^M)
Behind a ReLU the M bits cover 0..alpha alone and half of the values are clipped, so 4^M becomes 4^(M+1), with the statistics of
the values before the ReLU. For Laplace alpha / b = W0(3 4^M), with Lambert's W.
"""

from __future__ import annotations

from math import erf, exp, isfinite, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.quantizers import Options
from galton.quantizers.nearest import round_to

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

DISTRIBUTIONS = ("laplace", "gauss")
LARGEST_BITS = 8
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


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "aciq": each channel clipped at its alpha, 2 alpha / 2^M a step.

    extra: "distribution" "laplace" (default) or "gauss"; "allocate": bits differ by channel, `limit`'s on average, cut to it;
    "norm": the step times the correction's xi (default), the mean being the closing bias's.
    """
    extra = options.extra
    distribution = str(extra.get("distribution", "laplace"))
    rows = weights.reshape(len(weights), -1)
    deviations = np.abs(rows - rows.mean(axis=1, keepdims=True))
    width = deviations.mean(axis=1) if distribution == "laplace" else np.sqrt((deviations**2).mean(axis=1))
    bits = float(np.log2(2 * options.limit + 2))
    alpha = width * clipping(bits, distribution)
    each = np.full(len(rows), bits)
    if extra.get("allocate"):
        each = np.maximum(allocate(alpha, bits), 1).astype(np.float64)
        alpha = width * np.array([clipping(float(own), distribution) for own in each])
    step = np.where(width > 0, 2 * alpha / 2**each, np.abs(rows).max(axis=1, initial=0.0))
    limits = np.minimum(np.maximum(2 ** (each - 1) - 1, 1), options.limit)
    integers = np.clip(round_to(rows, step, options.limit), -limits[:, None], limits[:, None]).astype(np.int64)
    if extra.get("norm", True):
        centred = integers - integers.mean(axis=1, keepdims=True)
        power, wanted = np.sqrt((centred**2).sum(axis=1)) * step, np.sqrt((deviations**2).sum(axis=1))
        step = step * np.divide(wanted, power, out=np.ones_like(power), where=power > 0)
    return integers.reshape(weights.shape), step


def _whole(levels: Reals, alpha: Reals) -> Ints:
    return np.where(alpha > 0, np.clip(np.round(levels), 0, LARGEST_BITS), 0).astype(np.int64)


def _check(bits: float, distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise GaltonError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
    if not (isfinite(bits) and 0 < bits <= 32):
        raise GaltonError(f"bits must be in 0..32, not {bits!r}")
