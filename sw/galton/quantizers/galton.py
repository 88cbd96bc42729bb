"""The default: regress to the quantized inputs, error feedback, coordinate descent, under one price of a non-zero weight.

Minimises, for each neuron, (q s - w*)^T H (q s - w*) + c |q|_0 over integers q and the step s; W* = (H + rho I)^-1 (C + rho I) W
is the least-squares answer to the float network's outputs. The price c = lambda V share^gamma / n charges a weight by the work
that it makes: V is the summed variance of the float layer's outputs on the quantized inputs, share the layer's multiplies over
the mean layer's, n its number of weights.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from galton import processors
from galton.errors import GaltonError
from galton.loops import compiled, released
from galton.quantizers import Options
from galton.quantizers.gptq import factor, spread
from galton.quantizers.moments import damped, of, regress

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

PRICE, GAMMA, DAMPING, PASSES, KICKS = 0.03, 0.7, 0.05, 10, 64
THREADS = processors.count()
KICKED = 3
"""Weights that a kick sets."""
STARTS = (1.0, 0.6, 0.75, 0.9, 1.15)
"""Steps to start from, of the first: descent ends in a local minimum, and the best of several counts."""


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "galton", steps from max(mean |w| / k, max |w| / (limit + 1/2)) on, fitted to the integers.

    extra: "price" (.03) is lambda, the one knob between work and accuracy; "gamma" (.7), "damping" (.05), "passes" (10) of
    descent, "kicks" (64) out of its minimum.
    """
    price, gamma, damping, passes, kicks = (
        float(options.extra.get(name, value))
        for name, value in (("price", PRICE), ("gamma", GAMMA), ("damping", DAMPING), ("passes", PASSES), ("kicks", KICKS))
    )
    if not (price >= 0 and damping > 0 and passes >= 0 and kicks >= 0):
        raise GaltonError("extra: price, passes and kicks must be 0 or more and damping positive")
    neurons, found = of(weights, options)
    variance = float(np.einsum("goi,gij,goj->", neurons, found.h, neurons, optimize=True))
    cost = price * variance * options.work**gamma / max(weights.size, 1)
    wanted = regress(neurons, found, damping)
    size = np.abs(wanted)
    steps = np.maximum(size.mean(axis=2) / options.k, size.max(axis=2, initial=0.0) / (options.limit + 0.5))
    parts = [
        best_of_starts(*group, options.limit, cost, int(passes), int(kicks))
        for group in zip(wanted, damped(found.h, damping), steps, strict=True)
    ]
    return np.stack([part[0] for part in parts]).reshape(weights.shape), np.concatenate([part[1] for part in parts])


def best_of_starts(
    wanted: Reals, h: Reals, step: Reals, limit: int, price: float, passes: int, kicks: int = 0
) -> tuple[Ints, Reals]:
    """The best of what error feedback and descent find for each neuron from STARTS * step: integers (neurons, n) and steps."""
    best: Ints = np.zeros(wanted.shape, np.int64)
    steps, least = step.copy(), np.full(len(wanted), np.inf)
    factored = factor(h)
    for share in STARTS:
        integers = spread(wanted, factored, step * share, limit, price)
        fitted = descend(wanted, h, integers, step * share, limit, price, passes)
        found = cost_of(wanted, h, integers, fitted, price)
        better = found < least
        best[better], steps[better], least[better] = integers[better], fitted[better], found[better]
    return best, descend(wanted, h, best, steps, limit, price, passes, kicks)


def cost_of(wanted: Reals, h: Reals, integers: Ints, step: Reals, price: float) -> Reals:
    """(q s - w)^T H (q s - w) + price |q|_0 of each neuron."""
    error = integers * step[:, None] - wanted
    return np.asarray(((error @ h) * error).sum(axis=1) + price * (integers != 0).sum(axis=1))


def descend(wanted: Reals, h: Reals, integers: Ints, step: Reals, limit: int, price: float, passes: int, kicks: int = 0) -> Reals:
    """Coordinate descent on `integers` (neurons, n) in place, up to `passes` times; the steps, refitted before each.

    Then `kicks` times more from a few weights set at random, which is undone unless it ends lower: no neuron's
    (q s - w)^T H (q s - w) + price |q|_0 becomes larger.
    """
    fitted = np.ascontiguousarray(step, np.float64).copy()
    square, target = np.ascontiguousarray(h, np.float64), np.ascontiguousarray(wanted @ h)
    share = -(-len(target) // THREADS)

    def part(first: int) -> None:
        own = slice(first, first + share)
        _descend(target[own], square, integers[own], fitted[own], float(limit), float(price), passes, kicks, first)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, range(0, len(target), max(share, 1))))
    return fitted


@released
def _descend(
    target: Reals, h: Reals, integers: Ints, step: Reals, limit: float, price: float, passes: int, kicks: int, first: int
) -> None:
    """target: H w of each neuron. first: the number of the first neuron, from which its kicks follow."""
    neurons, size = target.shape
    for neuron in range(neurons):
        np.random.seed(first + neuron)
        q, wanted = integers[neuron], target[neuron]
        reached = np.zeros(size)
        for j in range(size):
            if q[j]:
                reached += q[j] * h[j]
        s = _settle(wanted, h, q, reached, step[neuron], limit, price, passes)
        if kicks > 0 and s > 0:
            least = _cost(wanted, q, reached, s, price)
            kept, kept_reached, kept_step = q.copy(), reached.copy(), s
            for _ in range(kicks):
                for _ in range(KICKED):
                    j = np.random.randint(size)
                    value = np.random.randint(-1, 2)
                    reached += (value - q[j]) * h[j]
                    q[j] = value
                s = _settle(wanted, h, q, reached, s, limit, price, passes)
                cost = _cost(wanted, q, reached, s, price)
                if cost < least:
                    least, kept_step = cost, s
                    kept[:] = q
                    kept_reached[:] = reached
                else:
                    s = kept_step
                    q[:] = kept
                    reached[:] = kept_reached
        step[neuron] = s


@compiled
def _cost(wanted: Reals, q: Ints, reached: Reals, s: float, price: float) -> float:
    """The neuron's cost, less that of zeros."""
    total = 0.0
    for j in range(len(q)):
        if q[j]:
            total += s * q[j] * (s * reached[j] - 2 * wanted[j]) + price
    return total


@compiled
def _settle(wanted: Reals, h: Reals, q: Ints, reached: Reals, s: float, limit: float, price: float, passes: int) -> float:
    """Descent of one neuron's q and reached = H q, in place; the step."""
    for _ in range(passes):
        power = match = 0.0
        for j in range(len(q)):
            power += q[j] * reached[j]
            match += q[j] * wanted[j]
        if power > 0 and match > 0:
            s = match / power
        if s <= 0:
            break
        moved = False
        for j in range(len(q)):
            z = q[j] + (wanted[j] / s - reached[j]) / h[j, j]
            best = min(max(np.round(z), -limit), limit)
            if h[j, j] * s * s * (z * z - (z - best) ** 2) <= price:
                best = 0.0
            if best != q[j]:
                reached += (best - q[j]) * h[j]
                q[j] = int(best)
                moved = True
        if not moved:
            break
    return s
