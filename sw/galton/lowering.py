"""Float layers -> stages: what one machine layer computes, in float. Convolution or its like, batch-norm, clamp, max-pool.

Everything is folded that folds exactly; what does not (a clamp, batch-norm or max-pool on the input or after a pool) becomes an
*identity* stage, a 1x1 convolution that gives each channel to itself. Averages are convolutions of the same diagonal kind.
Vectors are maps of one pixel; a flattened map stays in (row, column, channel) order, and what follows is permuted to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from galton.errors import UnsupportedLayer
from galton.layers import Affine, AveragePool, Borders, Clamp, Convolution, Flatten, FloatLayer, Linear, MaxPool, Pad, Pair

NO_PADDING: Borders = (0, 0, 0, 0)


@dataclass(frozen=True)
class Stage:
    """y = max-pool(clamp(conv(x) + bias)).

    kind: "convolution", "linear", "average" or "identity"; the last two are `diagonal`.
    input_shape: (rows, columns, channels). weight: (output channels, input channels, kernel rows, kernel columns), float64.
    """

    name: str
    kind: str
    input_shape: tuple[int, int, int]
    weight: Tensor
    bias: Tensor
    stride: Pair = (1, 1)
    padding: Borders = NO_PADDING
    low: float = -inf
    high: float = inf
    pool: Pair = (1, 1)

    @property
    def diagonal(self) -> bool:
        """Whether each output channel has one input channel, all its taps of one weight."""
        return self.kind in ("average", "identity")

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels."""
        (height, width, _), (top, bottom, left, right) = self.input_shape, self.padding
        rows = (height + top + bottom - self.weight.shape[2]) // self.stride[0] + 1
        columns = (width + left + right - self.weight.shape[3]) // self.stride[1] + 1
        return rows // self.pool[0], columns // self.pool[1], len(self.weight)

    @property
    def multiplies(self) -> int:
        """Dense multiply-accumulates of one input."""
        rows, columns, _ = self.output_shape
        return rows * columns * prod(self.pool) * self.weight.numel()

    def shaped(self, values: Tensor) -> Tensor:
        """Maps (n, channels, rows, columns), as vectors in (row, column, channel) order where the stage takes those."""
        if values.shape[2:] != self.input_shape[:2]:
            return values.permute(0, 2, 3, 1).reshape(len(values), -1, 1, 1)
        return values

    def sums(self, values: Tensor) -> Tensor:
        """conv(x) + bias of maps (n, channels, rows, columns), reshaped to the input shape where the stage takes a vector."""
        top, bottom, left, right = self.padding
        padded = F.pad(self.shaped(values), (left, right, top, bottom))
        return F.conv2d(padded, self.weight.to(values.dtype), self.bias.to(values.dtype), self.stride)

    def finish(self, sums: Tensor) -> Tensor:
        """Clamp and max-pool."""
        return F.max_pool2d(sums.clamp(self.low, self.high), self.pool)


@dataclass(frozen=True)
class Lowered:
    """stages, and the map (rows, columns, channels) in whose order the last one's outputs are."""

    stages: tuple[Stage, ...]
    output_map: tuple[int, int, int]

    def run(self, inputs: Tensor) -> Tensor:
        """The float network's outputs, (n, channels, rows, columns), of inputs (n, channels, rows, columns) or (n, features)."""
        values = inputs if inputs.ndim == 4 else inputs[:, :, None, None]
        for stage in self.stages:
            values = stage.finish(stage.sums(values))
        return values


def lower(layers: tuple[FloatLayer, ...], input_shape: tuple[int, ...]) -> Lowered:
    """The stages of float layers for inputs (channels, rows, columns) or (features,).

    Raises UnsupportedLayer where nothing is left to run.
    """
    lowering = _Lowering(input_shape)
    for layer in layers:
        lowering.add(layer)
    lowering.end()
    if not lowering.stages:
        raise UnsupportedLayer("The network has no layers: it returns its input as it is. Supported is at least one layer")
    return Lowered(tuple(lowering.stages), lowering.map)


class _Lowering:
    """The stages so far, of which the last may still take what follows, and zeros that wait for a convolution.

    map: rows, columns and channels of the tensor; flat: it is a vector, in that map's (row, column, channel) order.
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.stages: list[Stage] = []
        self.flat = len(input_shape) == 1
        self.map = (1, 1, input_shape[0]) if self.flat else (input_shape[1], input_shape[2], input_shape[0])
        self.padding = NO_PADDING

    def add(self, layer: FloatLayer) -> None:
        match layer:
            case Convolution():
                self.push(layer.name, "convolution", layer.weight, layer.bias, layer.stride, layer.padding)
            case Linear():
                self.linear(layer)
            case AveragePool():
                rows, columns = layer.window
                weight = _diagonal(torch.full((self.map[2],), 1 / layer.divisor, dtype=torch.float64), rows, columns)
                self.push(layer.name, "average", weight, None, layer.stride, layer.padding)
            case Affine():
                self.affine(layer)
            case Clamp():
                stage = self.stages[-1] if self.stages else self.identity(layer.name)
                self.stages[-1] = replace(stage, low=max(stage.low, layer.low), high=min(stage.high, layer.high))
            case MaxPool():
                stage = self.stages[-1] if self.stages and self.padding == NO_PADDING else self.identity(layer.name)
                stage = stage if stage.pool == (1, 1) else self.identity(layer.name)
                self.stages[-1] = replace(stage, pool=layer.window)
                self.map = self.stages[-1].output_shape
            case Pad():
                self.padding = _plus(self.padding, layer.padding)
            case Flatten():
                self.end()
                self.flat = True
            case _:
                raise TypeError(f"{layer} is no float layer")

    def push(
        self,
        name: str,
        kind: str,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = (1, 1),
        padding: Borders = NO_PADDING,
    ) -> Stage:
        """A new stage, with the zeros that waited."""
        bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()
        shape = (1, 1, weight.shape[1]) if self.flat else self.map
        stage = Stage(name, kind, shape, weight.double(), bias, stride, _plus(self.padding, padding))
        self.stages.append(stage)
        self.padding = NO_PADDING
        self.map = self.map if self.flat and kind == "identity" else stage.output_shape
        return stage

    def identity(self, name: str) -> Stage:
        """A stage that changes nothing but may pad."""
        channels = prod(self.map) if self.flat else self.map[2]
        return self.push(name, "identity", _diagonal(torch.ones(channels, dtype=torch.float64)))

    def linear(self, layer: Linear) -> None:
        """A 1x1 convolution of the map seen as one pixel."""
        rows, columns, channels = self.map
        weight = layer.weight.reshape(-1, channels, rows, columns).permute(0, 2, 3, 1).reshape(len(layer.weight), -1, 1, 1)
        self.push(layer.name, "linear", weight, layer.bias)

    def affine(self, layer: Affine) -> None:
        """Fold into the sums before it; behind a max-pool only where it keeps the order."""
        scale, shift = layer.scale.double(), layer.shift.double()
        rows, columns, channels = self.map
        if self.flat:
            scale, shift = (vector.reshape(channels, rows, columns).permute(1, 2, 0).reshape(-1) for vector in (scale, shift))
        stage = self.stages[-1] if self.stages else None
        folds = (
            stage is not None
            and (stage.low, stage.high) == (-inf, inf)
            and (stage.pool == (1, 1) or bool((scale >= 0).all()))
            and self.padding == NO_PADDING
            and len(scale) == len(stage.weight)
        )
        stage = stage if folds and stage is not None else self.identity(layer.name)
        self.stages[-1] = replace(stage, weight=stage.weight * scale[:, None, None, None], bias=stage.bias * scale + shift)

    def end(self) -> None:
        """Zeros that no convolution takes become a stage of their own."""
        if self.padding != NO_PADDING:
            self.identity("padding")


def _plus(one: Borders, other: Borders) -> Borders:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _diagonal(values: Tensor, rows: int = 1, columns: int = 1) -> Tensor:
    """(channels, channels, rows, columns) with a channel's value at all its taps."""
    return torch.diag(values)[:, :, None, None].expand(-1, -1, rows, columns).contiguous()
