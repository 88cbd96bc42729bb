"""The integer network: what the compiler packs and what a quantizer produces, as NumPy arrays.

Tensors are in (row, column, channel) order everywhere. A fully connected layer is a 1x1 convolution over a 1x1 map whose channels
are its inputs in the (row, column, channel) order of the tensor before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import CalibrationError
from galton.format import BYTE_BITS, LAYER, MAXIMUM_KERNEL, MAXIMUM_POOL, MAXIMUM_STRIDE, MAXIMUM_WINDOW, MULTIPLIER_BITS, SHIFTS
from galton.ranges import Cut, rounded

Ints = NDArray[np.int64]

NONE = -1
"""In Network.residuals: nothing is added."""


@dataclass(frozen=True)
class Activation:
    """How a layer turns raw activations into counts (arith.quantize_stream).

    mode: "monte_carlo" carries the residue, "rounding" does not, "bypass" takes the raw magnitude as count.
    step: m, 1..65535, of a static quantizer; samples: N of a dynamic one, 0 where static. residue: r_0.
    """

    mode: str = "bypass"
    step: int = 0
    samples: int = 0
    residue: int = (1 << 15) - 1
    dead_zone: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("monte_carlo", "rounding", "bypass"):
            raise ValueError(f"mode must be monte_carlo, rounding or bypass, not {self.mode!r}")
        if self.mode == "bypass" and self.samples:
            raise ValueError("A bypassed activation takes no samples")

    @property
    def dynamic(self) -> bool:
        """Whether the step follows from the norm of the very input."""
        return self.samples > 0


@dataclass(frozen=True)
class Layer:
    """One layer of the machine: counts, weighted sum, rescaling, clamp, max-pool.

    weights: (output channels, kernel rows, kernel columns, input channels), integers; arrays of narrower ones are widened.
    elementwise: output channel k sees input channel k only (depthwise convolution, pooling); weights then have one input channel.
    padding: zeros (top, bottom, left, right). stride, pool: (rows, columns); pool (1, 1) is none; windows do not overlap.
    multiplier: M_k, 0..65535; bias: B_k at scale 2^-shift without the rounding constant, both (output channels,).
    residual_multiplier: M_r, 0..65535, of the tensor that Network.residuals adds; 0 for none.
    norm_shift, multiplier_shift: arith.dynamic_multiplier, where the activation is dynamic.
    scale: real value of one step of the raw output.

    Raises ValueError for shapes that do not agree or values out of range.
    """

    name: str
    input_shape: tuple[int, int, int]
    weights: Ints
    multiplier: Ints
    bias: Ints
    shift: int
    low: int
    high: int
    activation: Activation = Activation()
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pool: tuple[int, int] = (1, 1)
    norm_shift: int = 0
    multiplier_shift: int = 0
    scale: float = 1.0
    elementwise: bool = False
    residual_multiplier: int = 0

    def __post_init__(self) -> None:
        for name in ("weights", "multiplier", "bias"):
            values = getattr(self, name)
            if not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{self.name}: {name} are integers, not {values.dtype}")
            # The largest magnitude of narrow integers may not fit them.
            object.__setattr__(self, name, np.asarray(values, np.int64))
        outputs, channels = len(self.weights), self.input_shape[2]
        if self.weights.ndim != 4 or (self.weights.shape[3], outputs if self.elementwise else channels) != (
            1 if self.elementwise else channels,
            channels,
        ):
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of shape {self.input_shape}")
        for name in ("multiplier", "bias"):
            if getattr(self, name).shape != (outputs,):
                raise ValueError(f"{self.name}: {name} has shape {getattr(self, name).shape}, not ({outputs},)")
        if self.shift not in SHIFTS:
            raise ValueError(f"{self.name}: shift must be one of {SHIFTS}, not {self.shift}")
        limit = MAXIMUM_WINDOW if self.elementwise else MAXIMUM_KERNEL
        if not max(self.weights.shape[1:3]) <= limit:
            raise ValueError(f"{self.name}: kernel {self.weights.shape[1:3]} is larger than {limit}")
        if not (1 <= min(self.stride) and self.stride[0] <= MAXIMUM_WINDOW and self.stride[1] <= MAXIMUM_STRIDE):
            raise ValueError(f"{self.name}: stride {self.stride} is not in 1..{MAXIMUM_WINDOW} and 1..{MAXIMUM_STRIDE}")
        if min(self.padding) < 0:
            raise ValueError(f"{self.name}: padding {self.padding} must not be negative")
        for name in ("norm_shift", "multiplier_shift"):
            low, high = LAYER.field(name).range
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{self.name}: {name} must be in {low}..{high}, not {getattr(self, name)}")
        if not (1 <= min(self.pool) and max(self.pool) <= MAXIMUM_POOL):
            raise ValueError(f"{self.name}: pool {self.pool} is not in 1..{MAXIMUM_POOL}")
        _check_range(self.name, self.low, self.high)
        if not 0 <= self.residual_multiplier < 1 << MULTIPLIER_BITS:
            raise ValueError(f"{self.name}: residual_multiplier {self.residual_multiplier} does not fit {MULTIPLIER_BITS} bits")
        if self.residual_multiplier and self.pool != (1, 1):
            raise ValueError(f"{self.name}: a layer cannot both add a tensor and max-pool")
        if min(self.output_shape) < 1:
            raise ValueError(f"{self.name}: an input of shape {self.input_shape} leaves no output")

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns before the max-pool, those that no pool window covers left out."""
        (height, width, _), (top, bottom, left, right) = self.input_shape, self.padding
        _, rows, columns, _ = self.weights.shape
        y = (height + top + bottom - rows) // self.stride[0] + 1
        x = (width + left + right - columns) // self.stride[1] + 1
        return y // self.pool[0] * self.pool[0], x // self.pool[1] * self.pool[1]

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels of the raw output."""
        y, x = self.map_shape
        return y // self.pool[0], x // self.pool[1], self.weights.shape[0]

    @property
    def signed(self) -> bool:
        """Whether the raw output is two's complement."""
        return self.low < 0

    @property
    def dense_operations(self) -> int:
        """Multiply-accumulates of the layer without any skipping, borders included."""
        return prod(self.map_shape) * int(self.weights.size)


@dataclass(frozen=True)
class Network:
    """Layers in order; each consumes a raw tensor from before, in rows of any length or as one pixel, and may add another one.

    Tensor 0 is the network's input, tensor i + 1 the output of layer i; the last one is the network's output.

    input_scale: real value of one raw step; raw inputs are integers in input_low..input_high, -128..127 or 0..255 at most.
    inputs: the tensor that each layer takes; () for the one before.
    residuals: the tensor that each layer adds in its drain, of the shape of its output, NONE for none; () for none at all.
    labels: anything worth keeping about the network (JSON values).

    Raises ValueError where a layer does not take what a tensor gives, for a range of inputs that no byte holds, and for a dynamic
    step on another tensor than the one before: the machine has the norm of the last tensor only.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    input_scale: float = 1.0
    input_low: int = 0
    input_high: int = 255
    labels: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    residuals: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError(f"{self.name} has no layers")
        _check_range(f"The input of {self.name}", self.input_low, self.input_high)
        count = len(self.layers)
        object.__setattr__(self, "inputs", tuple(self.inputs) or tuple(range(count)))
        object.__setattr__(self, "residuals", tuple(self.residuals) or (NONE,) * count)
        if (len(self.inputs), len(self.residuals)) != (count, count):
            raise ValueError(f"{self.name} has {count} layers, but {len(self.inputs)} inputs and {len(self.residuals)} residuals")
        for index, (layer, taken, added) in enumerate(zip(self.layers, self.inputs, self.residuals, strict=True)):
            if not (0 <= taken <= index and NONE <= added <= index):
                raise ValueError(f"{layer.name} takes tensor {taken} and adds {added}; there are 0..{index} before it")
            shape = self.tensor_shape(taken)
            if layer.input_shape != (1, 1, prod(shape)) and not _same_pixels(layer.input_shape, shape):
                raise ValueError(f"{layer.name} takes an input of shape {layer.input_shape}, but gets {shape}")
            if (added != NONE) != (layer.residual_multiplier > 0):
                raise ValueError(f"{layer.name} adds tensor {added} with a residual_multiplier of {layer.residual_multiplier}")
            if added != NONE and self.tensor_shape(added) != layer.output_shape:
                raise ValueError(f"{layer.name} adds {self.tensor_shape(added)} to an output of shape {layer.output_shape}")
            if layer.activation.dynamic and taken != index:
                raise ValueError(f"{layer.name} has a dynamic step, but does not take the tensor before it")

    def tensor_shape(self, tensor: int) -> tuple[int, int, int]:
        """Rows, columns, channels of a tensor."""
        return self.layers[tensor - 1].output_shape if tensor else self.input_shape

    def tensor_range(self, tensor: int) -> tuple[int, int]:
        """Smallest and largest raw integer of a tensor."""
        if tensor == 0:
            return self.input_low, self.input_high
        return self.layers[tensor - 1].low, self.layers[tensor - 1].high

    def signed(self, tensor: int) -> bool:
        """Whether a tensor's bytes are two's complement."""
        return self.tensor_range(tensor)[0] < 0

    def last_use(self, tensor: int) -> int:
        """The last layer that takes or adds a tensor; the number of layers for the output, -1 for none."""
        if tensor == len(self.layers):
            return tensor
        return max([-1, *(index for index, used in enumerate(zip(self.inputs, self.residuals, strict=True)) if tensor in used)])

    @property
    def output_scale(self) -> float:
        """Real value of one raw output step."""
        return self.layers[-1].scale

    def raw_input(self, values: NDArray[np.floating[Any]]) -> Ints:
        """Raw integers of real inputs (n, rows, columns, channels): round(value / input_scale), clamped.

        Raises CalibrationError for a wrong shape or values that are not finite.
        """
        return self.cut_input(values)[0]

    def cut_input(self, values: NDArray[np.floating[Any]]) -> tuple[Ints, Cut]:
        """`raw_input`, and what was clamped."""
        if values.shape[1:] != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise CalibrationError(f"{self.name} takes inputs of shape (n, {shape}), not {values.shape}")
        return rounded(values, self.input_scale, self.input_low, self.input_high)


def _check_range(name: str, low: int, high: int) -> None:
    """Raises ValueError unless bytes, signed where `low` is negative, hold low..high and 0 is one of these."""
    least, most = -(1 << (BYTE_BITS - 1)), (1 << (BYTE_BITS - (low < 0))) - 1
    if not least <= low <= 0 <= high <= most:
        raise ValueError(f"{name}: {low}..{high} is not a range of raw bytes")


def _same_pixels(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether both are the same bytes, in rows of perhaps other lengths."""
    return one[2] == other[2] and prod(one) == prod(other)
