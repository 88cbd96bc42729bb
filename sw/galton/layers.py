"""The float layer graph: what the importer finds in a network, in order, before anything is folded."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

Pair = tuple[int, int]
Borders = tuple[int, int, int, int]
"""Top, bottom, left, right."""
NO_PADDING: Borders = (0, 0, 0, 0)


@dataclass(frozen=True)
class FloatLayer:
    """name: the module's path, or what comes closest to it.

    inputs: the values that it takes: 0 is the network's input, i + 1 what layer i gives.
    """

    name: str
    inputs: tuple[int, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class Convolution(FloatLayer):
    """weight: (output channels, input channels, kernel rows, kernel columns); bias: (output channels,).

    depthwise: output channel k sees input channel k only; weight then has one input channel.
    """

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Borders
    depthwise: bool = False


@dataclass(frozen=True)
class Linear(FloatLayer):
    """weight: (outputs, inputs), the inputs in (channel, row, column) order where a map was flattened; bias: (outputs,)."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Affine(FloatLayer):
    """x * scale + shift by channel, (channels,) each: batch-norm, or arithmetic with constants."""

    scale: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Clamp(FloatLayer):
    """ReLU (0, inf), ReLU6 (0, 6) and their like; low <= 0 <= high."""

    low: float
    high: float


@dataclass(frozen=True)
class MaxPool(FloatLayer):
    """Windows side by side; what does not fill a window is left out."""

    window: Pair


@dataclass(frozen=True)
class AveragePool(FloatLayer):
    """The sum over each window, zeros of the padding included, divided by `divisor`."""

    window: Pair
    stride: Pair
    padding: Borders
    divisor: int


@dataclass(frozen=True)
class Pad(FloatLayer):
    """Zeros around the map."""

    padding: Borders


@dataclass(frozen=True)
class ChannelPad(FloatLayer):
    """Channels of zeros before and behind."""

    before: int
    behind: int


@dataclass(frozen=True)
class Add(FloatLayer):
    """The sum of two values of one shape."""


@dataclass(frozen=True)
class Regroup(FloatLayer):
    """Maps of other rows and columns, of the same pixels in the same order."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Flatten(FloatLayer):
    """Maps become vectors in (channel, row, column) order."""
