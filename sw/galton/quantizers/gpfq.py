"""Path following (Lybrand and Saab 2021; GPFQ): weight after weight, the error so far is carried in data space.

    u += w_t x_t;  q_t = Q(<x~_t, u> / |x~_t|^2);  u -= q_t x~_t

with columns x of the float network's inputs and x~ of the quantized one's. Only inner products of columns occur, so the moments
H = <x~, x~> and C = <x~, x> do instead of the columns: <x~_t, u> = sum_{s<=t} C_ts w_s - sum_{s<t} H_ts q_s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.quantizers import Options
from galton.quantizers.moments import of

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
ORDERS = ("array", "power")


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "gpfq" on the grid of step mean |w| / k by channel, within +-limit.

    extra: "centred": moments about the means, for layers whose bias is fitted afterwards. "order": weights as stored ("array") or
    those of the strongest inputs first ("power").
    """
    order = options.extra.get("order", "array")
    if order not in ORDERS:
        raise GaltonError(f"extra: order must be one of {', '.join(ORDERS)}, not {order!r}")
    step = np.abs(weights.reshape(len(weights), -1)).mean(axis=1) / options.k
    neurons, found = of(weights, options, centred=bool(options.extra.get("centred", False)))
    steps = step.reshape(neurons.shape[:2])
    result = np.zeros(neurons.shape, np.int64)
    for group, (h, c) in enumerate(zip(found.h, found.c, strict=True)):
        walk = np.argsort(-np.diag(h), kind="stable") if order == "power" else np.arange(len(h))
        turned = np.ix_(walk, walk)
        result[group][:, walk] = follow(neurons[group][:, walk], h[turned], c[turned], steps[group], options.limit)
    return result.reshape(weights.shape), step


def follow(neurons: Reals, h: Reals, c: Reals, step: Reals, limit: int) -> Ints:
    """Integers (neurons, n) of weights (neurons, n) with moments (n, n); an input that is always zero rounds its weights."""
    safe = np.where(step > 0, step, 1.0)
    integers = np.zeros(neurons.shape)
    wanted, power = neurons @ np.tril(c).T, np.diag(h)
    values = np.zeros_like(integers)
    for t in range(neurons.shape[1]):
        rest = wanted[:, t] - values[:, :t] @ h[t, :t]
        target = rest / power[t] if power[t] > 0 else neurons[:, t]
        integers[:, t] = np.clip(np.round(target / safe), -limit, limit) * (step > 0)
        values[:, t] = integers[:, t] * step
    return integers.astype(np.int64)
