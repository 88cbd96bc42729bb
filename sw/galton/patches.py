"""im2col rows at places drawn at random, the same in the float and in the quantized network's activations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from galton.quantizers.moments import Rows

ROWS = 24_000
"""Rows that a layer is calibrated on, where the data has as many."""
NUMBERS = 1 << 25
"""Numbers in a matrix of rows, at most; with many weights in a neuron there are fewer rows."""


def sample_rows(
    quantized: Tensor,
    real: Tensor,
    kernel: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    share: float = 1.0,
    seed: int = 0,
) -> Rows:
    """Rows (groups, rows, channels of a group * places of the kernel) of maps (n, channels, rows, columns) or of any dimensions.

    As many places of each input as give about share * ROWS together; all places where there are no more.
    padding: before and behind, dimension by dimension.
    """
    count, channels = quantized.shape[:2]
    sizes = [
        (size + before + behind - spread * (taps - 1) - 1) // step + 1
        for size, before, behind, spread, taps, step in zip(
            quantized.shape[2:], padding[::2], padding[1::2], dilation, kernel, stride, strict=True
        )
    ]
    places = prod(sizes)
    wanted = max(int(share * min(ROWS, max(NUMBERS // (channels * prod(kernel)), 1))), 1)
    each = min(places, -(-wanted // count))
    generator = np.random.default_rng(seed)
    if each == places:
        chosen = np.broadcast_to(np.arange(places), (count, places))
    else:
        chosen = np.argsort(generator.random((count, places)), axis=1)[:, :each]
    inputs = torch.arange(count).repeat_interleave(each)
    corners = [
        torch.from_numpy(places_of * step)
        for places_of, step in zip(np.unravel_index(chosen.reshape(-1), sizes), stride, strict=True)
    ]
    borders = [size for pair in zip(padding[-1::-2], padding[-2::-2], strict=True) for size in reversed(pair)]

    def gathered(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        maps = F.pad(values.float(), borders).movedim(1, -1).contiguous()
        taps = [
            maps[(inputs, *(corner + spread * place for corner, spread, place in zip(corners, dilation, offset, strict=True)))]
            for offset in product(*map(range, kernel))
        ]
        rows = torch.stack(taps, dim=2).reshape(len(inputs), groups, -1)
        return np.ascontiguousarray(rows.permute(1, 0, 2).numpy())

    return Rows(gathered(quantized), gathered(real))


def sample_vectors(quantized: Tensor, real: Tensor, *, share: float = 1.0, seed: int = 0) -> Rows:
    """Rows (1, rows, features) of vectors (..., features), at most share * ROWS drawn at random."""
    pair = [values.reshape(-1, values.shape[-1]) for values in (quantized, real)]
    count, wanted = len(pair[0]), max(int(share * min(ROWS, max(NUMBERS // pair[0].shape[1], 1))), 1)
    if count > wanted:
        places = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(count)[:wanted]))
        pair = [values[places] for values in pair]
    return Rows(*(values.float().numpy()[None] for values in pair))


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several calls of a layer."""
    return Rows(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("quantized", "real")))
