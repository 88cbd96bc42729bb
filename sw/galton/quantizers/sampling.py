"""The method "mcq": samples as published, and improvements of them, each off unless asked for.

In this order: regression to the float outputs; clipping; a dead zone; samples, with the best of several offsets, or path
following on the same grid; coordinate descent from there; steps matched without data. What judges errors are the moments of the
layer's inputs, from calibration data or from the prior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.quantizers import Options, prior
from galton.quantizers.galton import descend
from galton.quantizers.gpfq import follow
from galton.quantizers.mcq import hits
from galton.quantizers.moments import Moments, damped, grouped, of, outputs_error, regress

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

DAMPING = 0.05
"""Of the regression and of coordinate descent."""
MATCHES = ("least_squares", "power")
SOURCES = ("data", "prior")
ROUNDS = 1000
"""Steps to the clipping that fits, each closer by a factor."""


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """Hits as integer weights, T / N as their step; `extra`: those of galton.quantizers.EXTRA["mcq"].

    Raises GaltonError for an option out of range.
    """
    extra = options.extra
    check(extra)
    wanted = weights
    found = moments(weights, options) if any(extra.get(name) for name in ("regress", "follow", "descend", "offsets")) else None
    if extra.get("regress") and found is not None:
        wanted = regress(grouped(weights, found), found, DAMPING).reshape(weights.shape)
    if extra.get("clip"):
        wanted = clip(wanted, extra["clip"], options)
    if extra.get("dead_zone"):
        kept = np.abs(wanted) >= float(extra["dead_zone"]) * mean(wanted, options.norm) / options.k
        wanted = np.where(kept, wanted, 0.0)
    if extra.get("follow") and found is not None:
        integers, steps = followed(wanted, weights, found, options, regressed=bool(extra.get("regress")))
    else:
        integers, steps = best_offset(wanted, weights, found, options, int(extra.get("offsets", 1)))
    if extra.get("descend") and found is not None:
        integers, steps = descended(weights, found, integers, steps, options, int(extra["descend"]))
    if "match" in extra:
        matching = prior.keep_power if extra["match"] == "power" else prior.least_squares
        steps = matching(weights, integers, steps)
    return integers, steps


def check(extra: Any) -> None:
    """Raise GaltonError for an improvement that is out of range."""
    clipping = extra.get("clip", 1.0)
    if not isinstance(clipping, bool) and not (isinstance(clipping, int | float) and clipping > 0):
        raise GaltonError(f"extra: clip must be true or a positive number of means, not {clipping!r}")
    for name, least in (("dead_zone", 0), ("offsets", 1), ("descend", 0)):
        number = extra.get(name, 1)
        kinds = int | float if name == "dead_zone" else int
        if not (isinstance(number, kinds) and number >= least):
            raise GaltonError(f"extra: {name} must be {'a number' if name == 'dead_zone' else 'an integer'} from {least} on")
    for name, known in (("match", MATCHES), ("moments", SOURCES)):
        if extra.get(name, known[0]) not in known:
            raise GaltonError(f"extra: {name} must be one of {', '.join(known)}, not {extra[name]!r}")


def moments(weights: Reals, options: Options) -> Moments:
    """What errors are judged by: about the means where a bias is fitted afterwards; the prior where there is no data."""
    if options.rows is None or options.extra.get("moments") == "prior":
        return prior.moments(weights.shape)
    return of(weights, options, centred=options.corrected)[1]


def mean(values: Reals, norm: str) -> Reals:
    """Mean magnitude of each norm group, to go with `values`."""
    axes = None if norm == "layer" else tuple(range(1, values.ndim))
    result: Reals = np.abs(values).mean(axis=axes, keepdims=True)
    return result


def clip(values: Reals, amount: bool | float, options: Options) -> Reals:
    """Values within +-amount * mean magnitude of their norm group; with True, as little as makes no count pass the limit.

    There the mass of a group is that of the clipped values: m n K = limit * sum min(|v|, m). Groups in which even equal values
    would pass the limit stay as they are.
    """
    if not isinstance(amount, bool):
        edge = float(amount) * mean(values, options.norm)
        return np.clip(values, -edge, edge)
    rows = np.abs(values).reshape(1 if options.norm == "layer" else len(values), -1)
    edges = rows.max(axis=1, initial=0.0)
    possible = (rows > 0).mean(axis=1) * options.limit > options.k
    for _ in range(ROUNDS):
        closer = np.minimum(edges, np.minimum(rows, edges[:, None]).mean(axis=1) * options.limit / options.k)
        if (closer >= edges * (1 - 1e-12)).all():
            break
        edges = np.where(possible, closer, edges)
    edge = edges.reshape(-1, *[1] * (values.ndim - 1))
    return np.clip(values, -edge, edge)


def best_offset(wanted: Reals, weights: Reals, found: Moments | None, options: Options, count: int) -> tuple[Ints, Reals]:
    """Hits at the one of `count` offsets, equally far apart from xi on, that has the least output error in its norm group."""
    best: tuple[Ints, Reals] | None = None
    least = np.full(len(weights), np.inf)
    for turn in range(count):
        xi = (options.xi + turn / count) % 1
        counts, scale = hits(wanted, options.k, xi=xi, order=options.order, norm=options.norm)
        integers, steps = counts.astype(np.int64), np.broadcast_to(scale, len(weights)).astype(np.float64)
        if found is None or count == 1:
            return integers, steps
        cut = np.clip(integers, -options.limit, options.limit)
        errors = outputs_error(weights, cut, steps, found, fitted=options.corrected)
        errors = np.full(len(errors), errors.sum()) if options.norm == "layer" else errors
        if best is None:
            best = integers, steps
        better = errors < least
        best[0][better], best[1][better], least[better] = integers[better], steps[better], errors[better]
    assert best is not None
    return best


def followed(wanted: Reals, weights: Reals, found: Moments, options: Options, *, regressed: bool) -> tuple[Ints, Reals]:
    """Path following on the grid of the samples, counts within the limit."""
    steps = np.broadcast_to(mean(wanted, options.norm).reshape(-1) / options.k, len(weights)).astype(np.float64)
    followed_with = found.h if regressed else found.c
    groups = zip(grouped(wanted, found), found.h, followed_with, steps.reshape(len(found.h), -1), strict=True)
    parts = [follow(*group, options.limit) for group in groups]
    return np.stack(parts).reshape(weights.shape), steps


def descended(weights: Reals, found: Moments, integers: Ints, steps: Reals, options: Options, passes: int) -> tuple[Ints, Reals]:
    """Coordinate descent from the samples, cut to the limit, and from their steps on."""
    start = grouped(np.clip(integers, -options.limit, options.limit), found).copy()
    targets = regress(grouped(weights, found), found, DAMPING)
    squares = damped(found.h, DAMPING)
    fitted = [
        descend(target, square, own, step, options.limit, 0.0, passes)
        for target, square, own, step in zip(targets, squares, start, steps.reshape(len(start), -1), strict=True)
    ]
    return start.reshape(weights.shape), np.concatenate(fitted)
