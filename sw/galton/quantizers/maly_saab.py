"""A simple approach to quantizing (Maly and Saab, arXiv 2209.03487): walk in the kernel of the data, then round what is left.

While more than m = rank(A) weights of a neuron are off the alphabet, take m + 1 of them and a vector v of the kernel of their
columns of A, and move along it as little as puts one weight on the edge of its grid cell. A w stays, no weight leaves its cell,
at most m weights are left to round. With more rows than the rank asked for, A is the leading singular directions of the data.

Successive sets of m + 1 columns differ in one column, so that v comes from an inverse that follows in O(m^2), as in the simplex
method: O(N m^2) for a neuron of N weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError
from galton.loops import compiled
from galton.quantizers import Options
from galton.quantizers.moments import of
from galton.quantizers.nearest import best_step, round_to

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

RANK = 24
"""Most directions that `quantize` keeps unless told."""
ALPHABETS = ("grid", "binary")
ITERATIONS = 8
EDGE = 1e-12
"""Distance from the alphabet, in steps, that counts as on it."""
INDEPENDENT = 1e-11
"""Part of a column outside a basis from which on it is not in its span; columns are at most 1 long."""


def preprocess(neurons: Reals, data: Reals, step: Reals) -> Reals:
    """Weights (neurons, n) with the same data @ w, no larger sup norm than the cells', at most rank(data) off the grid.

    data: (rows, n). step: (neurons,), positive; the grid of a neuron is its multiples of it. Weights on the grid stay.
    """
    scaled = neurons / step[:, None]
    floors = np.floor(scaled)
    return np.asarray((floors + settle(scaled - floors, row_space(data))) * step[:, None])


def binary(neurons: Reals, data: Reals) -> tuple[Ints, Reals]:
    """Signs (neurons, n) and c (neurons,), the sup norm: the alphabet of -c and c."""
    largest = np.abs(neurons).max(axis=1, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)[:, None]
    moved = settle((neurons / safe + 1) / 2, row_space(data))
    return np.where(moved < 0.5, -1, 1) * (largest > 0)[:, None], largest


def settle(places: Reals, directions: Reals) -> Reals:
    """Places in 0..1, (neurons, n), with directions @ places as it was, and at most m of a neuron neither 0 nor 1.

    directions: (m, n), orthonormal rows.
    """
    result = np.ascontiguousarray(places)
    result = np.where(np.abs(result - np.round(result)) < EDGE, np.round(result), result)
    columns, order = np.ascontiguousarray(directions.T), independent_first(directions)
    for neuron in result:
        _settle(neuron, columns, order)
    return result


def independent_first(directions: Reals) -> Ints:
    """The order of columns in which each of the first m is the farthest from the span of those before it."""
    rest = directions.copy()
    chosen: list[int] = []
    for _ in range(len(directions)):
        lengths = (rest * rest).sum(axis=0)
        lengths[chosen] = -1
        chosen.append(int(lengths.argmax()))
        unit = rest[:, chosen[-1]] / np.sqrt(max(lengths[chosen[-1]], 1e-300))
        rest -= np.outer(unit, unit @ rest)
    return np.array(chosen + [place for place in range(directions.shape[1]) if place not in set(chosen)], np.int64)


@compiled
def _settle(places: Reals, columns: Reals, order: Ints) -> None:
    """One neuron, in place. columns: (n, m).

    The basis holds m columns, at first none of a weight's but unit vectors, whose places are fixed. A weight that enters moves
    against its combination of the basis until it or one of them is at an edge; that one then leaves the basis to it.
    """
    size = columns.shape[1]
    turned, basis = np.eye(size), np.full(size, -1)
    start = np.zeros(size)
    for weight in range(len(places)):
        start += columns[weight] * places[weight]
    for entering in order:
        if places[entering] == 0 or places[entering] == 1:
            continue
        answer = _solve(turned, basis, columns, columns[entering])
        leaving, largest = -1, INDEPENDENT
        for row in range(size):
            if basis[row] < 0 and abs(answer[row]) > largest:
                leaving, largest = row, abs(answer[row])
        if leaving < 0:
            ahead, behind = 1 - places[entering], places[entering]
            first, last = -1, -1
            for row in range(size):
                if basis[row] >= 0 and answer[row] != 0:
                    place, speed = places[basis[row]], answer[row]
                    forward = place / speed if speed > 0 else (place - 1) / speed
                    backward = (1 - place) / speed if speed > 0 else -place / speed
                    if forward < ahead:
                        ahead, first = forward, row
                    if backward < behind:
                        behind, last = backward, row
            way, leaving = (ahead, first) if ahead <= behind else (-behind, last)
            places[entering] = min(max(places[entering] + way, 0.0), 1.0)
            for row in range(size):
                if basis[row] >= 0:
                    places[basis[row]] = min(max(places[basis[row]] - way * answer[row], 0.0), 1.0)
            reached = entering if leaving < 0 else basis[leaving]
            places[reached] = np.round(places[reached])
        if leaving >= 0:
            for column in range(size):
                share = turned[column, leaving] / answer[leaving]
                for row in range(size):
                    turned[column, row] -= answer[row] * share
                turned[column, leaving] = share
            basis[leaving] = entering
    for weight in range(len(places)):
        start -= columns[weight] * places[weight]
    repair = _solve(turned, basis, columns, start)
    for row in range(size):
        if basis[row] >= 0 and 0 < places[basis[row]] < 1:
            places[basis[row]] = min(max(places[basis[row]] + repair[row], 0.0), 1.0)


@compiled
def _solve(turned: Reals, basis: Ints, columns: Reals, wanted: Reals) -> Reals:
    """The combination of the basis that is `wanted`, refined once against what the inverse, here transposed, has lost."""
    size = len(basis)
    answer, rest = np.zeros(size), wanted.copy()
    for _ in range(2):
        change = np.zeros(size)
        for column in range(size):
            for row in range(size):
                change[row] += turned[column, row] * rest[column]
        answer += change
        for row in range(size):
            if basis[row] < 0:
                rest[row] -= change[row]
            else:
                for column in range(size):
                    rest[column] -= columns[basis[row], column] * change[row]
    return answer


def row_space(data: Reals, rank: int | None = None) -> Reals:
    """Orthonormal rows (m, n) that span the rows of data (rows, n), or their `rank` leading singular directions."""
    _, values, directions = np.linalg.svd(data, full_matrices=False)
    found = int((values > values.max(initial=0.0) * max(data.shape) * np.finfo(np.float64).eps).sum())
    return np.ascontiguousarray(directions[: found if rank is None else min(rank, found)])


def quantize(weights: Reals, options: Options) -> tuple[Ints, Reals]:
    """The method "maly_saab" on steps of least squared rounding error by channel, within +-limit.

    extra: "rank": directions of the data that are kept exactly, 24 at most unless told, and at most half of a neuron's weights.
    "alphabet": "grid" (default), or "binary" for -c and c, the largest magnitude. "centred": data about its mean (default),
    for layers whose bias is fitted afterwards.
    """
    rank, alphabet = options.extra.get("rank", RANK), options.extra.get("alphabet", "grid")
    if not (isinstance(rank, int) and rank >= 1):
        raise GaltonError(f"extra: rank must be a positive integer, not {rank!r}")
    if alphabet not in ALPHABETS:
        raise GaltonError(f"extra: alphabet must be one of {', '.join(ALPHABETS)}, not {alphabet!r}")
    neurons, found = of(weights, options, centred=bool(options.extra.get("centred", True)))
    spaces = [leading(h, min(rank, max(neurons.shape[2] // 2, 1))) for h in found.h]
    if alphabet == "binary":
        parts = [binary(group, data) for group, data in zip(neurons, spaces, strict=True)]
        return np.stack([signs for signs, _ in parts]).reshape(weights.shape), np.concatenate([c for _, c in parts])
    step = best_step(weights.reshape(len(weights), -1), options.limit)
    steps = step.reshape(neurons.shape[:2])
    result = np.zeros(neurons.shape)
    for group, data in enumerate(spaces):
        live = steps[group] > 0
        edge = (options.limit * steps[group])[:, None]
        inside = np.clip(neurons[group], -edge, edge)
        result[group, live] = preprocess(inside[live], data, steps[group][live])
    return round_to(result.reshape(weights.shape), step, options.limit), step


def leading(h: Reals, rank: int) -> Reals:
    """The `rank` leading singular directions times their singular values, (rank, n), of data with moments h (n, n).

    By subspace iteration from a block twice as wide: O(n^2) for each direction, exact where the block spans everything.
    """
    block = np.random.default_rng(0).normal(size=(len(h), min(len(h), 2 * rank + 8)))
    for _ in range(ITERATIONS):
        block = np.linalg.qr(h @ block)[0]
    values, vectors = np.linalg.eigh(block.T @ h @ block)
    found = np.sqrt(np.maximum(values, 0)) * (block @ vectors)
    return np.ascontiguousarray(found.T[::-1][:rank])
