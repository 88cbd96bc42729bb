"""Layers with weights as convolutions: weights (outputs, inputs of a group, rows, columns), and the rows they multiply with.

A transposed convolution is a convolution of the input with zeros between, its kernels turned about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from galton.layers import Borders, Pair
from galton.patches import sample_rows, sample_vectors
from galton.quantizers.moments import Rows

Reals = NDArray[np.float64]

DRIVEN = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""Layers whose input is made of counts and whose outputs are fitted."""
STORED = (nn.Embedding, nn.LSTM, nn.GRU, nn.MultiheadAttention)
"""Layers whose matrices alone are quantized."""


def kernels(layer: Any) -> Reals:
    """The weights of a driven layer as (outputs, inputs of a group, rows, columns)."""
    weight: Tensor = layer.weight.detach().double()
    if isinstance(layer, nn.ConvTranspose2d):
        groups = layer.groups
        parts = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        weight = parts.reshape(-1, *parts.shape[2:]).flip(2, 3)
    elif weight.ndim < 4:
        weight = weight.reshape(*weight.shape[:2], 1, -1)
    return np.ascontiguousarray(weight.numpy())


def stored(layer: Any, values: Reals) -> Tensor:
    """The inverse of `kernels`: values as the layer's own weight."""
    weight = torch.from_numpy(values)
    if isinstance(layer, nn.ConvTranspose2d):
        groups = layer.groups
        parts = weight.flip(2, 3).reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        weight = parts.reshape(-1, *parts.shape[2:])
    return weight.reshape(layer.weight.shape).float().contiguous()


def rows(layer: Any, quantized: Tensor, real: Tensor) -> Rows:
    """What the kernels are multiplied with, of the quantized and of the float network's inputs to the layer."""
    if isinstance(layer, nn.Linear):
        return sample_vectors(quantized, real)
    pair = [quantized, real]
    if isinstance(layer, nn.ConvTranspose2d):
        pair = [spread(layer, values) for values in pair]
        size, dilation = layer.kernel_size, layer.dilation
        return sample_rows(pair[0], pair[1], (size[0], size[1]), dilation=(dilation[0], dilation[1]), groups=layer.groups)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    borders = list(layer._reversed_padding_repeated_twice)
    if layer.padding_mode != "zeros":
        pair = [F.pad(values, borders, mode=layer.padding_mode) for values in pair]
        borders = [0] * len(borders)
    left, right, top, bottom = [*borders, 0, 0][:4]
    if isinstance(layer, nn.Conv1d):
        pair = [values[:, :, None] for values in pair]
    padding: Borders = (top, bottom, left, right)
    size, stride, dilation = (_pair(values) for values in (layer.kernel_size, layer.stride, layer.dilation))
    return sample_rows(pair[0], pair[1], size, stride=stride, padding=padding, dilation=dilation, groups=layer.groups)


def spread(layer: nn.ConvTranspose2d, values: Tensor) -> Tensor:
    """Maps with the zeros between and around them, on which the turned kernels make the transposed convolution."""
    (count, channels, height, width), (sy, sx) = values.shape, layer.stride
    wide = values.new_zeros(count, channels, (height - 1) * sy + 1, (width - 1) * sx + 1)
    wide[:, :, ::sy, ::sx] = values
    around = [layer.dilation[axis] * (layer.kernel_size[axis] - 1) - int(layer.padding[axis]) for axis in (0, 1)]
    spare = [int(value) for value in layer.output_padding]
    return F.pad(wide, (around[1], around[1] + spare[1], around[0], around[0] + spare[0]))


def channel_last(layer: Any, outputs: Tensor) -> Tensor:
    """Outputs of a driven layer as (anything, channels)."""
    if not isinstance(layer, nn.Linear):
        outputs = outputs.movedim(-(layer.weight.ndim - 1), -1)
    return outputs.reshape(-1, outputs.shape[-1])


def matrices(layer: Any) -> list[str]:
    """Names of the matrices of a stored layer, in the order in which they are used."""
    return [name for name, values in layer.named_parameters() if values.ndim == 2]


def matrix_rows(layer: Any, name: str, quantized: Tensor, real: Tensor, outputs: Tensor) -> Rows | None:
    """What a matrix of a stored layer is multiplied with, where that can be seen from outside the layer.

    quantized, real: its first argument. outputs: the float layer's; a recurrent layer's state is its output a step before.
    """
    if isinstance(layer, nn.LSTM | nn.GRU):
        if name == "weight_ih_l0":
            return sample_vectors(quantized, real)
        if name == "weight_hh_l0" and layer.num_layers == 1 and not layer.bidirectional and not getattr(layer, "proj_size", 0):
            return sample_vectors(outputs, outputs)
    if isinstance(layer, nn.MultiheadAttention) and name == "in_proj_weight":
        return sample_vectors(quantized, real)
    return None


def _pair(values: tuple[int, ...]) -> Pair:
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])
