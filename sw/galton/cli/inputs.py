"""Real inputs from a file to a network's raw integers, and raw outputs back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from galton.cli.common import Array
from galton.errors import CalibrationError
from galton.image import Image
from galton.ranges import CHOICES, Cut, rounded, settle

Ints = NDArray[np.int64]


def range_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --out-of-range, passed as `out_of_range`."""
    return click.option(
        "--out-of-range",
        type=click.Choice(CHOICES),
        default=CHOICES[0],
        show_default=True,
        help="What to do with inputs that the network's integers cannot hold: cut and count them, or stop.",
    )(function)


def raw_inputs(image: Image, values: Array, is_raw: bool, out_of_range: str, limit: int | None = None) -> tuple[Ints, Cut]:
    """Raw inputs (n, rows, columns, channels) for `image`, the first `limit` of them, and what was cut.

    A message on standard error says what was cut.

    values: (n, rows, columns, channels), or channels first as torch has them (taken where both fit), or without the axes of a
    single row and column or a single channel. Real numbers, or raw integers where `is_raw`.
    Raises CalibrationError for another shape, no inputs, values that are not finite, raw values that are no integers, and for
    values out of range where they are to be refused.
    """
    meta = image.meta["input"]
    shape, low, high = tuple(meta["shape"]), meta["low"], meta["high"]
    ordered = in_order(values, shape)[:limit]
    if not len(ordered):
        raise CalibrationError("There are no inputs: the file's first axis is empty")
    if is_raw and ordered.dtype.kind not in "iu":
        raise CalibrationError(f"Raw inputs must be integers in {low}..{high}; this file holds {ordered.dtype}")
    raw, cut = rounded(ordered, 1.0 if is_raw else meta["scale"], low, high)
    settle(cut, out_of_range, lambda text: click.echo(f"galton: warning: {text}", err=True))
    return raw, cut


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


def real_outputs(image: Image, raw: Array) -> NDArray[Any]:
    """Real outputs of raw ones (n, rows, columns, channels), without the axes of a single row and column."""
    values: NDArray[Any] = (raw * image.meta["output"]["scale"]).astype(np.float32)
    return values[:, 0, 0] if values.shape[1:3] == (1, 1) else values
