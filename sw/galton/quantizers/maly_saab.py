"""A simple approach to quantizing (Maly and Saab, arXiv 2209.03487): walk in the kernel of the data, then round what is left.

While more than m = rank(A) weights of a neuron are off the alphabet, take m + 1 of them and a vector v of the kernel of their
columns of A, and move along it as little as puts one weight on the edge of its grid cell. A w stays, no weight leaves its cell,
at most m weights are left to round. With more rows than the rank asked for, A is the leading singular directions of the data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.quantizers import Options
from galton.quantizers.moments import of
from galton.quantizers.nearest import best_step, round_to

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

RANK = 24
"""Most directions that `quantize` keeps unless told; a neuron's cost grows with its cube."""
EDGE = 1e-12
"""Distance from the alphabet, in steps, that counts as on it."""


def preprocess(neurons: Reals, data: Reals, step: Reals) -> Reals:
    """Weights (neurons, n) with the same data @ w, no larger sup norm than the cells', at most rank(data) off the grid.

    data: (rows, n). step: (neurons,), positive; the grid of a neuron is its multiples of it.
    """
    directions = row_space(data)
    rank = len(directions)
    scaled = neurons / step[:, None]
    floors = np.floor(scaled)
    places = scaled - floors
    off = _snap(places)
    while True:
        busy = np.flatnonzero(off.sum(axis=1) > rank)
        if not busy.size:
            break
        chosen = np.argsort(~off[busy], axis=1, kind="stable")[:, : rank + 1]
        columns = directions.T[chosen]
        kernel = np.linalg.qr(columns, mode="complete")[0][:, :, -1] if rank else np.ones((len(busy), 1))
        here = np.take_along_axis(places[busy], chosen, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            forward = np.where(kernel > 0, (1 - here) / kernel, np.where(kernel < 0, -here / kernel, np.inf))
            backward = np.where(kernel > 0, here / kernel, np.where(kernel < 0, (here - 1) / kernel, np.inf))
        ahead, behind = forward.min(axis=1), backward.min(axis=1)
        way = np.where(ahead <= behind, ahead, -behind)
        moved = np.clip(here + way[:, None] * kernel, 0.0, 1.0)
        hit = np.where(ahead <= behind, forward.argmin(axis=1), backward.argmin(axis=1))
        lines = np.arange(len(busy))
        moved[lines, hit] = np.round(moved[lines, hit])
        places[busy[:, None], chosen] = moved
        off[busy] = _snap(places[busy])
        off[busy, chosen[lines, hit]] = False
    return np.asarray((floors + places) * step[:, None])


def row_space(data: Reals, rank: int | None = None) -> Reals:
    """Orthonormal rows (m, n) that span the rows of data (rows, n), or their `rank` leading singular directions."""
    _, values, directions = np.linalg.svd(data, full_matrices=False)
    found = int((values > values.max(initial=0.0) * max(data.shape) * np.finfo(np.float64).eps).sum())
    return np.ascontiguousarray(directions[: found if rank is None else min(rank, found)])


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "maly_saab" on steps of least squared rounding error by channel, within +-limit.

    extra: "rank": directions of the data that are kept exactly, 24 at most unless told, and at most half of a neuron's weights.
    """
    rank = options.extra.get("rank", RANK)
    if not (isinstance(rank, int) and rank >= 1):
        raise GaltonError(f"extra: rank must be a positive integer, not {rank!r}")
    step = best_step(weights.reshape(len(weights), -1), options.limit)
    neurons, found = of(weights, options, centred=True)
    steps = step.reshape(neurons.shape[:2])
    result = np.zeros(neurons.shape)
    for group, h in enumerate(found.h):
        values, vectors = np.linalg.eigh(h)
        keep = min(rank, max(neurons.shape[2] // 2, 1))
        data = (np.sqrt(np.maximum(values, 0)) * vectors).T[::-1][:keep]
        edge = (options.limit * steps[group])[:, None]
        live = steps[group] > 0
        inside = np.clip(neurons[group], -edge, edge)
        result[group, live] = preprocess(inside[live], data, steps[group][live])
    return round_to(result.reshape(weights.shape), step, options.limit), step


def _snap(places: Reals) -> NDArray[np.bool_]:
    """Put places within a hair of their cell's edges on them; which are off."""
    near = np.round(places)
    on = np.abs(places - near) < EDGE
    places[on] = near[on]
    return ~on
