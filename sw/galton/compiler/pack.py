"""Weights as entries and segments, records as words: the bits of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galton.compiler.geometry import Geometry
from galton.config import Config
from galton.errors import FitError
from galton.format import TABLE, WORD_BITS, Record
from galton.image import Words
from galton.network import Ints


@dataclass(frozen=True)
class Columns:
    """A layer's weights in one group.

    lanes: (entries, L) signed weight planes. steps: (entries,) vectors to skip. segments: (segments, 2) first entry and entries
    of each segment, or None where columns are dense. bases: for each row phase its first entry, or segment where there are any.
    """

    lanes: Ints
    steps: Ints
    segments: Ints | None
    bases: dict[int, int]


def columns(geometry: Geometry, group: int) -> Columns:
    """The weights of `group` as they are walked: by row phase, label, input channel, output row, output column, vector, plane.

    In elementwise layers by row phase, label, vector, output row, output column, plane; no entry is left out there.
    """
    lanes = [np.zeros((0, geometry.config.lanes), np.int64)]
    steps = [np.zeros(0, np.int64)]
    segments = [np.zeros((0, 2), np.int64)]
    bases: dict[int, int] = {}
    stored, found = 0, 0
    for phase in geometry.phases:
        bases[phase] = found if geometry.config.sparse else stored
        for label in geometry.labels:
            vectors = _vectors(geometry, group, phase, label)
            if geometry.config.sparse and not geometry.layer.elementwise:
                part, skips, counts = _compressed(vectors, geometry)
            else:
                part = _planes(vectors, geometry).reshape(len(vectors), -1, vectors.shape[-1])
                spare = 0 if geometry.config.sparse else geometry.pitch - part.shape[1]
                part = np.pad(part, ((0, 0), (0, spare), (0, 0)))
                counts = np.full(len(part), part.shape[1])
                part = part.reshape(-1, vectors.shape[-1])
                skips = np.zeros(len(part), np.int64)
            if geometry.config.sparse:
                first = stored + np.concatenate([[0], np.cumsum(counts)[:-1]])
                segments.append(np.stack([np.where(counts > 0, first, 0), counts], axis=1))
            lanes.append(part)
            steps.append(skips)
            stored, found = stored + len(part), found + len(vectors)
    table = np.concatenate(segments) if geometry.config.sparse else None
    return Columns(np.concatenate(lanes), np.concatenate(steps), table, bases)


def _vectors(geometry: Geometry, group: int, phase: int, label: int) -> Ints:
    """(segments, vectors of a segment, L) weights of one row phase and label, zero lanes where a group's channels end."""
    layer, lanes = geometry.layer, geometry.config.lanes
    owned = layer.weights[group * geometry.group_channels :][: geometry.group_channels]
    taps = list(geometry.column_taps(label, group))
    spare, beyond = geometry.vectors * lanes - len(owned), max(0, max(taps, default=0) + 1 - owned.shape[2])
    met = np.pad(owned[:, geometry.row_taps(phase)], ((0, spare), (0, 0), (0, beyond), (0, 0)))[:, :, taps]
    _, rows, cols, channels = met.shape
    split = met.reshape(geometry.vectors, lanes, rows, cols, channels).transpose(4, 2, 3, 0, 1)
    if layer.elementwise:
        return np.ascontiguousarray(split[0].transpose(2, 0, 1, 3)).reshape(geometry.vectors * rows, cols, lanes)
    return np.ascontiguousarray(split).reshape(channels * rows, cols * geometry.vectors, lanes)


def _planes(vectors: Ints, geometry: Geometry) -> Ints:
    """(..., planes, L) from (..., L): arith.split_planes where there are two."""
    if geometry.planes == 1:
        return vectors[..., None, :]
    bits = geometry.config.weight_bits
    high = (vectors + (1 << (bits - 1))) >> bits
    return np.stack([vectors - (high << bits), high], axis=-2)


def _compressed(vectors: Ints, geometry: Geometry) -> tuple[Ints, Ints, Ints]:
    """Entries (n, L), their steps (n,), and the entries of each segment, empty vectors left out.

    A skip of more vectors than a step holds goes over entries of zeros, each of which takes a vector itself.
    """
    reach = (1 << geometry.config.step_bits) - 1
    segment, slot = np.nonzero(vectors.any(axis=-1))
    same = np.concatenate([[False], segment[1:] == segment[:-1]])
    before = np.where(same, np.concatenate([[0], slot[:-1]]), -1)
    fillers, rest = np.divmod(slot - before - 1, reach + 1)
    last = np.cumsum(fillers + 1) - 1
    lanes = np.zeros((int((fillers + 1).sum()), geometry.planes, vectors.shape[-1]), np.int64)
    steps = np.zeros(lanes.shape[:2], np.int64)
    steps[:, 0] = reach
    lanes[last] = _planes(vectors[segment, slot], geometry)
    steps[last, 0] = rest
    counts = np.bincount(segment, weights=fillers + 1, minlength=len(vectors)).astype(np.int64) * geometry.planes
    return lanes.reshape(-1, vectors.shape[-1]), steps.reshape(-1), counts


def entry_words(lanes: Ints, steps: Ints, config: Config) -> Words:
    """Entries as (entries, config.entry_chunks) words: lane 0 lowest, the step on top."""
    weight_places, step_places = np.arange(config.weight_bits), np.arange(config.step_bits)
    bits = np.zeros((len(lanes), config.entry_chunks * WORD_BITS), np.uint8)
    weight_bits = config.lanes * config.weight_bits
    bits[:, :weight_bits] = ((lanes[..., None] >> weight_places) & 1).reshape(len(lanes), weight_bits)
    bits[:, weight_bits : config.entry_bits] = (steps[:, None] >> step_places) & 1
    packed = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u4").astype(np.uint32).reshape(len(lanes), config.entry_chunks)


def record(kind: Record, values: dict[str, int], where: str) -> list[int]:
    """The record's words.

    Raises FitError where a value is outside its field, naming the layer.
    """
    assert set(values) == set(kind.places)
    try:
        return kind.pack(values)
    except ValueError as error:
        raise FitError(f"{where}: {error}. The layer is larger than a record can say") from error


def table_words(segments: Ints, where: str) -> Words:
    """Segments as TABLE words."""
    return np.array([record(TABLE, {"start": s, "entries": n}, where)[0] for s, n in segments.tolist()], np.uint32)
