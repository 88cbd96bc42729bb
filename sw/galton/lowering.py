"""Float layers -> stages: what one machine layer computes, in float. Convolution or its like, batch-norm, clamp, max-pool.

Everything is folded that folds exactly; what does not (a clamp, batch-norm or max-pool on the input or after a pool) becomes an
*identity* stage, a depthwise 1x1 convolution. Averages are depthwise convolutions, too. A sum goes into the stage that gives the
later of its two terms, where nothing else follows there.
Vectors are maps of one pixel; a flattened map stays in (row, column, channel) order, and what follows is permuted to it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import inf, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from galton.calibration import as_maps
from galton.errors import UnsupportedLayer
from galton.layers import (
    NO_PADDING,
    Add,
    Affine,
    AveragePool,
    Borders,
    ChannelPad,
    Clamp,
    Convolution,
    Flatten,
    FloatLayer,
    Linear,
    MaxPool,
    Pad,
    Pair,
    Regroup,
)
from galton.network import NONE


@dataclass(frozen=True)
class Stage:
    """y = max-pool(clamp(conv(x) + bias + residual)).

    kind: "convolution", "depthwise", "linear", or with weights that stay exact "average", "identity" or "selection".
    source, residual: the tensors x and residual: 0 the network's input, i + 1 the output of stage i; residual NONE for none.
    input_shape: (rows, columns, channels). weight: (output channels, input channels, kernel rows, kernel columns), float64; where
    `elementwise`, with one input channel.
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
    source: int = 0
    residual: int = NONE

    @property
    def diagonal(self) -> bool:
        """Whether each output channel has at most one input channel, all its taps of one weight."""
        return self.kind in ("average", "identity", "selection")

    @property
    def elementwise(self) -> bool:
        """Whether output channel k sees input channel k only."""
        return self.kind in ("depthwise", "average", "identity")

    @property
    def takes_pool(self) -> bool:
        """Whether a max-pool may follow in the same stage."""
        return self.pool == (1, 1) and self.residual == NONE

    @property
    def takes_residual(self) -> bool:
        """Whether a sum with another tensor may follow in the same stage."""
        return self.takes_pool and (self.low, self.high) == (-inf, inf)

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
        """Maps (n, channels, rows, columns), as vectors in (row, column, channel) order or in other rows where the stage takes
        those."""
        if values.shape[1] == self.input_shape[2]:
            return values.reshape(*values.shape[:2], *self.input_shape[:2])
        return values.permute(0, 2, 3, 1).reshape(len(values), -1, 1, 1)

    def sums(self, values: Tensor) -> Tensor:
        """conv(x) + bias of maps (n, channels, rows, columns), reshaped to the input shape where the stage takes a vector."""
        top, bottom, left, right = self.padding
        padded = F.pad(self.shaped(values), (left, right, top, bottom))
        groups = len(self.weight) if self.elementwise else 1
        return F.conv2d(padded, self.weight.to(values.dtype), self.bias.to(values.dtype), self.stride, groups=groups)

    def finish(self, sums: Tensor, residual: Tensor | None = None) -> Tensor:
        """Add, clamp and max-pool."""
        total = sums if residual is None else sums + residual
        clamped = total.clamp(self.low, self.high)
        return clamped if self.pool == (1, 1) else F.max_pool2d(clamped, self.pool)


@dataclass(frozen=True)
class Lowered:
    """stages in order of execution, and the map (rows, columns, channels) in whose order the last one's outputs are."""

    stages: tuple[Stage, ...]
    output_map: tuple[int, int, int]

    def run(self, inputs: Tensor) -> Tensor:
        """The float network's outputs, (n, channels, rows, columns), of inputs as `as_maps` takes them."""
        tensors = [as_maps(inputs)]
        for stage in self.stages:
            residual = tensors[stage.residual] if stage.residual != NONE else None
            tensors.append(stage.finish(stage.sums(tensors[stage.source]), residual))
        return tensors[-1]


def lower(layers: tuple[FloatLayer, ...], input_shape: tuple[int, ...]) -> Lowered:
    """The stages of float layers for inputs (channels, rows, columns), (channels, columns) or (features,).

    Raises UnsupportedLayer where nothing is left to run.
    """
    lowering = _Lowering(layers, input_shape)
    for layer in layers:
        lowering.add(layer)
    value = lowering.settled(lowering.values[-1])
    if not lowering.stages:
        raise UnsupportedLayer("The network has no layers: it returns its input as it is. Supported is at least one layer")
    return Lowered(tuple(lowering.stages), value.map)


@dataclass(frozen=True)
class Value:
    """What a float layer gives: a tensor, and zeros that wait for a convolution.

    tensor: 0 the network's input, i + 1 the output of stage i.
    map: rows, columns and channels of the tensor; flat: it is a vector, in that map's (row, column, channel) order.
    """

    tensor: int
    map: tuple[int, int, int]
    flat: bool = False
    padding: Borders = NO_PADDING


class _Lowering:
    """The stages and values so far. A stage may take what follows unless its output is also used elsewhere."""

    def __init__(self, layers: tuple[FloatLayer, ...], input_shape: tuple[int, ...]) -> None:
        self.stages: list[Stage] = []
        rows, columns = (1, 1, *input_shape[1:])[-2:]
        first = Value(0, (rows, columns, input_shape[0]), flat=len(input_shape) == 1)
        self.values = [first]
        self.uses = Counter(value for layer in layers for value in layer.inputs)
        self.sealed = {0}

    def add(self, layer: FloatLayer) -> None:
        for number in layer.inputs:
            if self.uses[number] > 1:
                self.sealed.add(self.values[number].tensor)
        taken = [self.values[number] for number in layer.inputs]
        self.values.append(self.added(layer.name, *taken) if isinstance(layer, Add) else self.result(layer, taken[0]))

    def result(self, layer: FloatLayer, value: Value) -> Value:
        match layer:
            case Convolution():
                kind = "depthwise" if layer.depthwise else "convolution"
                return self.push(value, layer.name, kind, layer.weight, layer.bias, layer.stride, layer.padding)
            case Linear():
                return self.linear(layer, value)
            case AveragePool():
                weight = torch.full((value.map[2], 1, *layer.window), 1 / layer.divisor, dtype=torch.float64)
                kind = "identity" if bool((weight == 1).all()) and layer.window == (1, 1) else "average"
                return self.push(value, layer.name, kind, weight, None, layer.stride, layer.padding)
            case Affine():
                return self.affine(layer, value)
            case Clamp():
                value = value if self.open(value) else self.identity(layer.name, value)
                stage = self.stages[value.tensor - 1]
                self.stages[value.tensor - 1] = replace(stage, low=max(stage.low, layer.low), high=min(stage.high, layer.high))
                return value
            case MaxPool():
                whole = value.padding == NO_PADDING and value.map == self.shape(value)
                free = self.open(value) and whole and self.stages[value.tensor - 1].takes_pool
                value = value if free else self.identity(layer.name, value)
                stage = replace(self.stages[value.tensor - 1], pool=layer.window)
                self.stages[value.tensor - 1] = stage
                return replace(value, map=stage.output_shape)
            case Pad():
                return replace(value, padding=_plus(value.padding, layer.padding))
            case ChannelPad():
                channels = value.map[2]
                weight = torch.zeros(layer.before + channels + layer.behind, channels, 1, 1, dtype=torch.float64)
                weight[layer.before :][:channels, :, 0, 0] = torch.eye(channels, dtype=torch.float64)
                return self.push(value, layer.name, "selection", weight)
            case Regroup():
                value = self.settled(value)
                value = self.in_order(layer.name, value) if value.flat else value
                return replace(
                    value, map=(layer.rows, layer.columns, prod(value.map) // (layer.rows * layer.columns)), flat=False
                )
            case Flatten():
                return replace(self.settled(value), flat=True)
            case _:
                raise TypeError(f"{layer} is no float layer")

    def open(self, value: Value) -> bool:
        """Whether the stage behind a value may be changed."""
        return value.tensor not in self.sealed

    def push(
        self,
        value: Value,
        name: str,
        kind: str,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = (1, 1),
        padding: Borders = NO_PADDING,
        shape: tuple[int, int, int] | None = None,
    ) -> Value:
        """A new stage, with the zeros that waited; on a vector as one pixel, or in the `shape` of its tensor."""
        bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()
        shape = shape or ((1, 1, prod(value.map)) if value.flat else value.map)
        stage = Stage(name, kind, shape, weight.double(), bias, stride, _plus(value.padding, padding), source=value.tensor)
        self.stages.append(stage)
        kept = value.flat and kind == "identity"
        return Value(len(self.stages), value.map if kept else stage.output_shape, value.flat)

    def identity(self, name: str, value: Value, *, pixel: bool = False) -> Value:
        """A stage that changes nothing but may pad; of a vector's tensor, or with `pixel` of the vector as one pixel."""
        shape = (1, 1, prod(value.map)) if pixel else self.shape(value) if value.flat else value.map
        return self.push(value, name, "identity", torch.ones(shape[2], 1, 1, 1, dtype=torch.float64), shape=shape)

    def shape(self, value: Value) -> tuple[int, int, int]:
        """Rows, columns, channels of a value's tensor, which need not be its map where that is flat."""
        return self.stages[value.tensor - 1].output_shape if value.tensor else value.map

    def added(self, name: str, one: Value, other: Value) -> Value:
        """The later of two values with the earlier one as its residual; the network's input always through a stage of its own."""
        one, other = self.alike(name, self.settled(one), self.settled(other))
        first, main = sorted((one, other), key=lambda value: value.tensor)
        if first.tensor == 0:
            first, main = main, self.identity(name, first)
            first = first if first.tensor else self.identity(name, first)
            first, main = sorted((first, main), key=lambda value: value.tensor)
        if not self.open(main) or first.tensor == main.tensor or not self.stages[main.tensor - 1].takes_residual:
            main = self.identity(name, main)
        self.stages[main.tensor - 1] = replace(self.stages[main.tensor - 1], residual=first.tensor)
        return main

    def alike(self, name: str, one: Value, other: Value) -> tuple[Value, Value]:
        """Two values of one shape as tensors of one shape and order: vectors may come from maps, maps have other rows."""
        if one.map != other.map:
            one, other = self.in_order(name, one), self.in_order(name, other)
        if self.shape(one) != self.shape(other):
            one, other = (self.own(name, value) for value in (one, other))
        return one, other

    def own(self, name: str, value: Value) -> Value:
        """A value whose tensor has its shape: one pixel of a vector, the map of a map."""
        wanted = (1, 1, prod(value.map)) if value.flat else value.map
        return value if self.shape(value) == wanted else self.identity(name, value, pixel=value.flat)

    def in_order(self, name: str, value: Value) -> Value:
        """A vector in its own order, (channel, row, column), instead of its map's."""
        rows, columns, _channels = value.map
        if rows * columns == 1:
            return value
        places = torch.arange(prod(value.map)).reshape(value.map).permute(2, 0, 1).reshape(-1)
        weight = torch.eye(len(places), dtype=torch.float64)[places]
        return self.push(value, name, "selection", weight[:, :, None, None])

    def linear(self, layer: Linear, value: Value) -> Value:
        """A 1x1 convolution of the map seen as one pixel."""
        rows, columns, channels = value.map
        weight = layer.weight.reshape(-1, channels, rows, columns).permute(0, 2, 3, 1).reshape(len(layer.weight), -1, 1, 1)
        return self.push(value, layer.name, "linear", weight, layer.bias)

    def affine(self, layer: Affine, value: Value) -> Value:
        """Fold into the sums before it; behind a max-pool only where it keeps the order."""
        scale, shift = layer.scale.double(), layer.shift.double()
        rows, columns, channels = value.map
        if value.flat:
            scale, shift = (vector.reshape(channels, rows, columns).permute(1, 2, 0).reshape(-1) for vector in (scale, shift))
        stage = self.stages[value.tensor - 1] if self.open(value) else None
        folds = (
            stage is not None
            and (stage.low, stage.high, stage.residual) == (-inf, inf, NONE)
            and (stage.pool == (1, 1) or bool((scale >= 0).all()))
            and value.padding == NO_PADDING
            and len(scale) == len(stage.weight)
        )
        value = value if folds else self.identity(layer.name, value, pixel=value.flat)
        stage = self.stages[value.tensor - 1]
        stage = replace(stage, weight=stage.weight * scale[:, None, None, None], bias=stage.bias * scale + shift)
        self.stages[value.tensor - 1] = stage
        return value

    def settled(self, value: Value) -> Value:
        """Zeros that no convolution takes become a stage of their own."""
        return value if value.padding == NO_PADDING else self.identity("padding", value)


def _plus(one: Borders, other: Borders) -> Borders:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
