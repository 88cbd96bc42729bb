"""Layers with weights as convolutions: weights (outputs, inputs of a group, rows, columns), and the rows they multiply with.

A transposed convolution is a convolution of the input with zeros between, its kernels turned about. The dimensions of a kernel
other than two are made two: (1, taps) of one, (planes * rows, columns) of three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from galton.patches import sample_rows, sample_vectors
from galton.quantizers.moments import Rows

Reals = NDArray[np.float64]

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
DRIVEN = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, nn.Linear)
"""Layers whose input is made of counts and whose outputs are fitted."""
TABLES = (nn.Embedding, nn.EmbeddingBag)
"""Layers that look their rows up."""


def kernels(layer: Any) -> Reals:
    """The weights of a layer as (outputs, inputs of a group, rows, columns); of a table, its rows are the outputs."""
    weight: Tensor = layer.weight.detach().double()
    if isinstance(layer, TRANSPOSED):
        parts = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
        weight = parts.flip(*range(2, parts.ndim))
    if weight.ndim < 4:
        weight = weight.reshape(*weight.shape[:2], 1, -1)
    return np.ascontiguousarray(weight.flatten(2, -2).numpy())


def stored(layer: Any, values: Reals) -> Tensor:
    """The inverse of `kernels`: values as the layer's own weight."""
    weight, shape = torch.from_numpy(values), layer.weight.shape
    if isinstance(layer, TRANSPOSED):
        groups = layer.groups
        parts = weight.reshape(groups, shape[1], shape[0] // groups, *shape[2:])
        weight = parts.flip(*range(3, parts.ndim)).transpose(1, 2)
    return weight.reshape(shape).float().contiguous()


def rows(layer: Any, quantized: Tensor, real: Tensor, share: float = 1.0) -> Rows:
    """What the kernels are multiplied with, of the quantized and of the float network's inputs to the layer.

    share: of the rows that a layer is calibrated on.
    """
    if isinstance(layer, nn.Linear):
        return sample_vectors(quantized, real, share=share)
    space = len(layer.kernel_size)
    pair = [values if values.ndim == space + 2 else values[None] for values in (quantized, real)]
    if isinstance(layer, TRANSPOSED):
        pair = [spread(layer, values) for values in pair]
        stride, borders = (1,) * space, [0] * (2 * space)
    else:
        borders, stride = list(layer._reversed_padding_repeated_twice), layer.stride
        if layer.padding_mode != "zeros":
            pair = [F.pad(values, borders, mode=layer.padding_mode) for values in pair]
            borders = [0] * len(borders)
    around = [size for place in reversed(range(space)) for size in borders[2 * place : 2 * place + 2]]
    return sample_rows(
        pair[0],
        pair[1],
        layer.kernel_size,
        stride=stride,
        padding=around,
        dilation=layer.dilation,
        groups=layer.groups,
        share=share,
    )


def spread(layer: Any, values: Tensor) -> Tensor:
    """Maps with the zeros between and around them, on which the turned kernels make the transposed convolution."""
    sizes = [(size - 1) * step + 1 for size, step in zip(values.shape[2:], layer.stride, strict=True)]
    wide = values.new_zeros(*values.shape[:2], *sizes)
    places: Any = (..., *(slice(None, None, step) for step in layer.stride))
    wide[places] = values
    borders: list[int] = []
    for axis in reversed(range(len(sizes))):
        around = layer.dilation[axis] * (layer.kernel_size[axis] - 1) - int(layer.padding[axis])
        borders += [around, around + int(layer.output_padding[axis])]
    return F.pad(wide, borders)


def channel_last(layer: Any, outputs: Tensor) -> Tensor:
    """Outputs of a driven layer as (anything, channels)."""
    if not isinstance(layer, nn.Linear):
        outputs = outputs.movedim(-len(layer.kernel_size) - 1, -1)
    return outputs.reshape(-1, outputs.shape[-1])


def channel_axis(layer: Any) -> int:
    """Where the channels of a driven layer's input are, from behind."""
    return -1 if isinstance(layer, nn.Linear) else -len(layer.kernel_size) - 1
