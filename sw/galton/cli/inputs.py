"""Real inputs from a file to a network's raw integers, and raw outputs back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.cli.common import Array
from galton.errors import CalibrationError
from galton.image import Image

Ints = NDArray[np.int64]


def raw_inputs(image: Image, values: Array, is_raw: bool) -> Ints:
    """Raw inputs (n, rows, columns, channels) for `image`.

    values: (n, rows, columns, channels), or channels first as torch has them (taken where both fit), or without the axes of a
    single row and column or a single channel. Real numbers, or raw integers where `is_raw`.
    Raises CalibrationError for another shape, no inputs, values that are not finite, or raw values out of range.
    """
    meta = image.meta["input"]
    shape, low, high = tuple(meta["shape"]), meta["low"], meta["high"]
    ordered = in_order(values, shape)
    if not len(ordered):
        raise CalibrationError("There are no inputs: the file's first axis is empty")
    if is_raw:
        if ordered.dtype.kind not in "iu" or ordered.min() < low or ordered.max() > high:
            raise CalibrationError(
                f"Raw inputs must be integers in {low}..{high}; this file holds {ordered.dtype} in {limits(ordered)}"
            )
        return ordered.astype(np.int64)
    if not np.isfinite(ordered).all():
        first = np.argwhere(~np.isfinite(ordered))[0].tolist()
        raise CalibrationError(f"Input {first[0]} has {ordered[tuple(first)]} at {first[1:]}, not a finite number")
    raw: Ints = np.clip(np.floor(ordered / meta["scale"] + 0.5), low, high).astype(np.int64)
    return raw


def in_order(values: Array, shape: tuple[int, ...]) -> Array:
    """`values` as (n, rows, columns, channels)."""
    rows, columns, channels = shape
    if rows == 1 and values.ndim == 3 and columns > 1:
        values = values[:, None] if values.shape[1:] == (columns, channels) else values[:, :, None]
    if values.shape[1:] == (channels, rows, columns):
        return np.moveaxis(values, 1, -1)
    flat = (channels == 1 and values.shape[1:] == (rows, columns)) or (rows == columns == 1 and values.shape[1:] == (channels,))
    if values.shape[1:] == shape or flat:
        return values.reshape(-1, *shape)
    raise CalibrationError(
        f"The image takes inputs of shape (n, {rows}, {columns}, {channels}) or (n, {channels}, {rows}, {columns}), "
        f"the file holds {values.shape}"
    )


def limits(values: Array) -> str:
    """Smallest and largest value, for messages."""
    return f"{values.min()}..{values.max()}"


def real_outputs(image: Image, raw: Array) -> NDArray[Any]:
    """Real outputs of raw ones (n, rows, columns, channels), without the axes of a single row and column."""
    values: NDArray[Any] = (raw * image.meta["output"]["scale"]).astype(np.float32)
    return values[:, 0, 0] if values.shape[1:3] == (1, 1) else values
