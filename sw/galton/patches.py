"""im2col rows at places drawn at random, the same in the float and in the quantized network's activations."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from galton.layers import Borders, Pair
from galton.quantizers.moments import Rows

ROWS = 24_000
"""Rows that a layer is calibrated on, where the data has as many."""
NUMBERS = 1 << 25
"""Numbers in a matrix of rows, at most; with many weights in a neuron there are fewer rows."""


def sample_rows(
    quantized: Tensor,
    real: Tensor,
    kernel: Pair,
    *,
    stride: Pair = (1, 1),
    padding: Borders = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    seed: int = 0,
) -> Rows:
    """Rows (groups, rows, channels of a group * kernel rows * kernel columns) of maps (n, channels, rows, columns).

    As many places of each input as give about ROWS together; all places where there are no more.
    """
    top, bottom, left, right = padding
    count, channels = quantized.shape[:2]
    height = (quantized.shape[2] + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    width = (quantized.shape[3] + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    places = height * width
    wanted = min(ROWS, max(NUMBERS // (channels * kernel[0] * kernel[1]), 1))
    each = min(places, -(-wanted // count))
    generator = np.random.default_rng(seed)
    if each == places:
        chosen = np.broadcast_to(np.arange(places), (count, places))
    else:
        chosen = np.argsort(generator.random((count, places)), axis=1)[:, :each]
    chosen = chosen.reshape(-1)
    inputs = torch.arange(count).repeat_interleave(each)
    y, x = torch.from_numpy(chosen // width * stride[0]), torch.from_numpy(chosen % width * stride[1])

    def gathered(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        maps = F.pad(values.float(), (left, right, top, bottom)).permute(0, 2, 3, 1).contiguous()
        taps = [
            maps[inputs, y + dilation[0] * row, x + dilation[1] * column]
            for row in range(kernel[0])
            for column in range(kernel[1])
        ]
        rows = torch.stack(taps, dim=2).reshape(len(inputs), groups, -1)
        return np.ascontiguousarray(rows.permute(1, 0, 2).numpy())

    return Rows(gathered(quantized), gathered(real))


def sample_vectors(quantized: Tensor, real: Tensor, *, seed: int = 0) -> Rows:
    """Rows (1, rows, features) of vectors (..., features), at most ROWS drawn at random."""
    pair = [values.reshape(-1, values.shape[-1]) for values in (quantized, real)]
    count, wanted = len(pair[0]), min(ROWS, max(NUMBERS // pair[0].shape[1], 1))
    if count > wanted:
        places = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(count)[:wanted]))
        pair = [values[places] for values in pair]
    return Rows(*(values.float().numpy()[None] for values in pair))
