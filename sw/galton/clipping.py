"""Activations of M bits: the value at which they are clipped (ACIQ, arXiv 1810.05723), and the counts that they become.

The layer that makes a tensor drains it at a scale whose largest raw value is the clipping value, so that what is beyond
saturates; the layer that takes it rounds raw values to 2^M levels, zero among them.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.arith import ONE
from galton.format import STEP_BITS
from galton.quantizers import aciq

CLIPPINGS = ("max", "fit", *aciq.DISTRIBUTIONS)
"""Where activations are clipped: at their largest, or by a distribution, which `fit` chooses."""
LARGEST_STEP = (1 << STEP_BITS) - 1


def edge(values: NDArray[np.floating[Any]], bits: int, clipping: str, *, relu: bool) -> float:
    """The magnitude at which activations are clipped, infinite for "max".

    values: calibration values, those before the ReLU where `relu`. Non-negative ones of which nothing else is known, such as
    averages, or tensors whose ReLU is not seen, count as the upper half of a distribution about zero: its width is that of the
    positive ones. A mean that is not zero moves the edge outwards, never inwards.
    """
    if clipping == "max" or not values.size:
        return inf
    positive = values[values > 0]
    if float(values.min()) < 0:
        middle = float(values.mean(dtype=np.float64))
        deviations = np.abs(values - middle)
        shift = max(middle, 0.0) if relu else abs(middle)
    elif positive.size:
        deviations, shift, relu = positive, 0.0, True
    else:
        return inf
    widths = {
        "laplace": np.atleast_1d(deviations.mean(dtype=np.float64)),
        "gauss": np.atleast_1d(np.sqrt(np.square(deviations, dtype=np.float64).mean())),
    }
    chosen = aciq.better(widths["laplace"], widths["gauss"]) if clipping == "fit" else clipping
    return float(shift + widths[chosen][0] * aciq.clipping(bits, chosen, relu=relu)) or inf


def step(bits: int, low: int, high: int) -> int:
    """The static step with which raw values low..high become 2^bits counts from 0, or those of `bits` bits with a sign."""
    levels = (1 << (bits - 1 if low < 0 else bits)) - 1
    return min(round(ONE * levels / high), LARGEST_STEP)
