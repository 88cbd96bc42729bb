"""Monte Carlo quantization: counts of samples that fall on each value (Mordido, Van Keirsbilck, Keller, arXiv 1905.12253).

Stratified samples with one offset need no sampling loop: they are counted in closed form, which is first-order error diffusion
along a walk.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.arith import sample_count
from galton.quantizers.exact import UNIT_BITS, ceilings, exact_sum
from galton.quantizers.walk import ORDERS, magnitudes, walker

NORMS = ("layer", "channel")
LARGEST_SAMPLES = 1 << 48
LARGEST_INTEGER = 1 << 53
SHORT = ("float16", "float32", "int8", "int16", "uint8", "uint16")
"""Types of at most 24 significant bits."""


def hits(values: Any, k: float, *, xi: float = 0.5, order: str = "array", norm: str = "layer") -> tuple[Any, Any]:
    """q_j = sign(v_j) (ceil(N P_j - xi) - ceil(N P_{j-1} - xi)), so that v_j ~ q_j T / N.

    T = sum |v_j|, N = round(k n), half up, and P_j is the share of T up to and with value j in walk order. The result is that of
    exact rational arithmetic on the given numbers, ties included: it equals counting the samples (i + xi) / N, i = 0 .. N-1,
    that lie in [P_{j-1}, P_j), whatever the floating-point type. sum |q| = N and ||q_j| - N |v_j| / T| < 1 in every norm group;
    all q are 0 where T is.

    Linear in time. Beyond the input and the result, 16 K values at a time need memory, a non-contiguous or bfloat16 input is
    copied, and order="magnitude" takes 4 bytes for each value.

    Parameters
    ----------
    values: NumPy array or torch tensor of real numbers, finite; integers within +-2^53. Tensors are taken to the host and back.
    k: samples for each value, positive; N is at most 2^48.
    xi: offset of every sample in its stratum, 0 <= xi < 1.
    order: "array" as stored; "magnitude" smallest first; "channel_sign" by channel (axis 0), then positive before negative.
    norm: "layer" takes T and N over all values, "channel" over each index of axis 0.

    Returns
    -------
    counts: like `values`, in the narrowest of int8, int16, int32, int64 that holds ceil(max N |v| / T).
    scale: T / N, 0 where either is, infinity beyond float64:
        a float, or with norm="channel" a float64 array (a tensor for a tensor), one a channel.

    Raises ValueError for values that are not finite or not numbers, and for k, xi, order or norm out of range.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        host = values.detach().to("cpu", torch.float32 if values.dtype == torch.bfloat16 else None)
        counts, scale = hits(host.numpy(), k, xi=xi, order=order, norm=norm)
        return torch.from_numpy(counts).to(values.device), scale if norm == "layer" else torch.from_numpy(scale).to(values.device)
    array = np.asarray(values)
    _check(array, k, xi, order, norm)
    k, xi = (value if isinstance(value, Fraction) else float(value) for value in (k, xi))
    channels = array.shape[0] if array.ndim else 1
    flat = array.reshape(-1)
    size = len(flat) // max(channels, 1)
    if norm == "layer":
        counts, scale = _group(flat, 0, len(flat), size, k, xi, order)
        return counts.reshape(array.shape), scale
    groups = [_group(flat, start, size, size, k, xi, order) for start in range(0, len(flat), size or 1)]
    scales = np.array([scale for _, scale in groups] if size else [0.0] * channels)
    kind = np.result_type(np.int8, *{counts.dtype for counts, _ in groups})
    counts = np.empty(len(flat), kind)
    for index, (part, _) in enumerate(groups):
        counts[index * size : (index + 1) * size] = part
    return counts.reshape(array.shape), scales


def _check(array: NDArray[Any], k: float, xi: float, order: str, norm: str) -> None:
    """Raise ValueError for what `hits` does not take; values that are not finite are found on the way."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"values must be real numbers, not {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise ValueError(f"values must be at most 64 bits wide, not {array.dtype}")
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size and not _within(array, LARGEST_INTEGER):
        raise ValueError("integer values must be within +-2^53")
    if not (isinstance(k, int | float | Fraction | np.floating | np.integer) and math.isfinite(k) and k > 0):
        raise ValueError(f"k must be a positive number, not {k!r}")
    if k * max(array.size, 1) >= LARGEST_SAMPLES:
        raise ValueError(f"k = {k!r} on {array.size} values makes more than 2^48 samples")
    if not (isinstance(xi, int | float | Fraction | np.floating | np.integer) and 0 <= xi < 1):
        raise ValueError(f"xi must be at least 0 and less than 1, not {xi!r}")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, not {norm!r}")


def _within(array: NDArray[Any], limit: int) -> bool:
    return -limit <= int(array.min()) and int(array.max()) <= limit


def _group(
    array: NDArray[Any], start: int, size: int, channel_size: int, k: float, xi: float, order: str
) -> tuple[NDArray[Any], float]:
    """Signed counts and scale of the norm group of `size` values from flat index `start` on."""
    flat = array[start : start + size]
    short, samples = flat.dtype.name in SHORT, sample_count(k, len(flat))
    prefixes, largest = [0], 0.0
    walk = walker(flat, channel_size, order)
    for places in walk():
        block = magnitudes(flat[places])
        top = float(block.max())
        if not math.isfinite(top):
            bad = int(np.flatnonzero(~np.isfinite(flat))[0])
            raise ValueError(f"values must be finite, but the one at flat index {start + bad} is {flat[bad]}")
        largest = max(largest, top)
        prefixes.append(prefixes[-1] + exact_sum(block, short=short))
    total = prefixes[-1]
    if total == 0 or samples == 0:
        return np.zeros(len(flat), np.int8), 0.0
    counts = np.empty(len(flat), _kind(-(-samples * Fraction(largest) * (1 << UNIT_BITS) // total)))
    before, offset = 0.0, Fraction(xi)
    for places, prefix in zip(walk(), prefixes, strict=False):
        part = flat[places]
        reached = ceilings(magnitudes(part), prefix, total, samples, offset)
        last = float(reached[-1])
        reached[1:] -= reached[:-1].copy()
        reached[0] -= before
        before = last
        np.negative(reached, where=part < 0, out=reached)
        counts[places] = reached
    try:
        return counts, total / (samples << UNIT_BITS)
    except OverflowError:
        return counts, math.inf


def _kind(limit: Any) -> type[np.signedinteger[Any]]:
    """The narrowest signed integer type that holds `limit`."""
    return next((kind for kind in (np.int8, np.int16, np.int32) if limit <= np.iinfo(kind).max), np.int64)
