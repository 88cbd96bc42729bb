"""ATen operators as float layers: one small function for each, and what to say about those that the accelerator does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import torch
from torch import Tensor

from galton.calls import Call, Unsupported
from galton.format import MAXIMUM_KERNEL, MAXIMUM_STRIDE
from galton.layers import (
    NO_PADDING,
    Add,
    Affine,
    AveragePool,
    ChannelPad,
    Clamp,
    Convolution,
    Flatten,
    FloatLayer,
    Linear,
    Pad,
    Regroup,
)
from galton.pooling import adaptive_pool, average_pool, max_pool, reduction

SUPPORTED = (
    "Conv1d, Conv2d (kernel up to 16x16, stride 1 to 4, any zero padding, depthwise or groups=1), Linear, BatchNorm1d, "
    "BatchNorm2d, ReLU, ReLU6, Hardtanh, MaxPool, AvgPool and AdaptiveAvgPool in 1-D and 2-D, ZeroPad, Flatten, Dropout, "
    "Identity, sums and differences of two activations, and a last Softmax, LogSoftmax or Sigmoid"
)


def convolution(call: Call) -> list[FloatLayer]:
    weight = call.constant("weight")
    assert weight is not None
    weight = weight[:, :, None] if call.line else weight
    stride, dilation, kernel = call.pair("stride"), call.pair("dilation"), (weight.shape[2], weight.shape[3])
    depthwise = call["groups"] == call.shape[1] == len(weight)
    if call["groups"] != 1 and not depthwise:
        raise Unsupported(
            f"grouped convolution (groups={call['groups']} of {call.shape[1]} channels to {len(weight)})",
            "Conv2d with groups=1, or depthwise with as many outputs as inputs",
        )
    if any(step > 1 and size > 1 for step, size in zip(dilation, kernel, strict=True)):
        raise Unsupported(f"dilated convolution (dilation={dilation})", "Conv2d with dilation=1 and a larger kernel")
    if max(kernel) > MAXIMUM_KERNEL or max(stride) > MAXIMUM_STRIDE:
        raise Unsupported(
            f"convolution with kernel {kernel} and stride {stride}",
            f"kernels up to {MAXIMUM_KERNEL}x{MAXIMUM_KERNEL} and strides up to {MAXIMUM_STRIDE}",
        )
    if call["padding"] == "same":
        padding = ((kernel[0] - 1) // 2, kernel[0] // 2, (kernel[1] - 1) // 2, kernel[1] // 2)
    elif call["padding"] == "valid":
        padding = NO_PADDING
    else:
        rows, columns = call.pair("padding")
        padding = (rows, rows, columns, columns)
    return [Convolution(call.name, weight, call.constant("bias"), stride, padding, depthwise and call["groups"] > 1)]


def linear(call: Call) -> list[FloatLayer]:
    weight = call.constant("weight")
    assert weight is not None
    if len(call.given) != 2:
        raise Unsupported(f"Linear on an input of shape {call.given}", "Flatten before it")
    return [Linear(call.name, weight, call.constant("bias"))]


def addmm(call: Call) -> list[FloatLayer]:
    weight = call.constant("mat2")
    assert weight is not None
    return [Linear(call.name, weight.T, call.constant("self"))]


def batch_norm(call: Call) -> list[FloatLayer]:
    mean, variance = call.constant("running_mean"), call.constant("running_var")
    if mean is None or variance is None:
        raise Unsupported("batch-norm without running statistics", "BatchNorm2d with track_running_stats=True")
    weight, bias = call.constant("weight"), call.constant("bias")
    scale = (variance.double() + call["eps"]).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    return [Affine(call.name, scale, shift if bias is None else shift + bias.double())]


def arithmetic(sign: int, *, product: bool) -> Callable[[Call], list[FloatLayer]]:
    """x + c, x - c, x * c, x / c with a number or one constant for each channel: sign 1 or -1 is the power of c."""

    def handle(call: Call) -> list[FloatLayer]:
        constant = call["self"] if sign > 0 and isinstance(call["self"], Tensor) else call["other"]
        if not isinstance(constant, Tensor | int | float):
            raise Unsupported("arithmetic that uses an activation twice or divides by it", "layers that follow one another")
        other = torch.as_tensor(constant).detach().double()
        shape = (1,) * (len(call.given) - other.ndim) + tuple(other.shape)
        if len(shape) != len(call.given) or other.numel() != shape[1]:
            raise Unsupported("arithmetic with a constant that is not one number for each channel", "BatchNorm2d")
        values = other.reshape(-1).expand(call.shape[1]).clone()
        if product:
            return [Affine(call.name, values**sign, torch.zeros_like(values))]
        return [Affine(call.name, torch.ones_like(values), sign * values * call.arguments.get("alpha", 1))]

    return handle


def addition(call: Call) -> list[FloatLayer]:
    """The sum of two activations."""
    shape = tuple(call["other"].meta["val"].shape)
    if shape != call.given or not 2 <= len(shape) <= 4:
        raise Unsupported(f"a sum of shapes {call.given} and {shape}", "a sum of two maps or vectors of one shape")
    return [Add(call.name)]


def scaled(call: Call, factor: float) -> FloatLayer:
    """A multiple of the activation."""
    values = torch.full((call.shape[1],), factor, dtype=torch.float64)
    return Affine(call.name, values, torch.zeros_like(values))


def clamp(low: str | float, high: str | float) -> Callable[[Call], list[FloatLayer]]:
    """A clamp whose limits are numbers or arguments of those names."""

    def handle(call: Call) -> list[FloatLayer]:
        limits = [call[limit] if isinstance(limit, str) else limit for limit in (low, high)]
        bottom = -inf if limits[0] is None else float(limits[0])
        top = inf if limits[1] is None else float(limits[1])
        if not bottom <= 0 <= top:
            raise Unsupported(f"a clamp to {bottom}..{top}, which has no zero in it", "ReLU or ReLU6")
        return [Clamp(call.name, bottom, top)]

    return handle


def pad(call: Call) -> list[FloatLayer]:
    borders = [*call["pad"], 0, 0, 0, 0, 0, 0]
    if call.line:
        borders[2:2] = [0, 0]
    if call.arguments.get("mode", "constant") != "constant" or call.arguments.get("value") not in (None, 0):
        raise Unsupported("padding with anything but zeros", "ZeroPad2d or padding_mode='zeros'")
    if min(borders) < 0 or any(borders[6:]) or len(call.shape) != 4:
        raise Unsupported(f"padding by {list(call['pad'])}", "padding of rows, columns and channels by 0 or more")
    left, right, top, bottom, before, behind = borders[:6]
    channels: list[FloatLayer] = [ChannelPad(call.name, before, behind)] if before or behind else []
    return [*channels, *([Pad(call.name, (top, bottom, left, right))] if any(borders[:4]) else [])]


def subsample(call: Call) -> list[FloatLayer]:
    """Every second, third or fourth row or column, from the first one on."""
    dimension = call.axis(call["dim"])
    size = call.shape[dimension]
    start, step = call["start"] or 0, call["step"]
    whole = start == 0 and (call["end"] is None or call["end"] >= size)
    if whole and step == 1:
        return []
    if not whole or dimension < 2 or len(call.shape) != 4 or step > MAXIMUM_STRIDE:
        raise Unsupported("a slice", f"slices of all rows or columns with steps up to {MAXIMUM_STRIDE}, as x[:, :, ::2, ::2]")
    stride = (step, 1) if dimension == 2 else (1, step)
    return [AveragePool(call.name, (1, 1), stride, NO_PADDING, 1)]


def reshape(call: Call) -> list[FloatLayer]:
    shape, result = call.shape, call.output_shape
    if result == shape:
        return []
    if len(result) == 2 and result[0] == shape[0]:
        return [Flatten(call.name)]
    if len(result) == 4 and result[:2] == shape[:2]:
        return [Regroup(call.name, result[2], result[3])]
    if shape[:1] != result[:1]:
        raise Unsupported(f"a change of shape from {call.given} to {call.result}, which mixes inputs of a batch", "Flatten")
    raise Unsupported(f"a change of shape from {call.given} to {call.result}", "Flatten from maps to vectors")


def nothing(call: Call) -> list[FloatLayer]:
    return []


RESHAPES = (
    *("view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints"),
    *("squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default"),
)
COPIES = (
    *("clone.default", "alias.default", "detach.default", "contiguous.default", "lift_fresh_copy.default", "to.dtype"),
    *("dropout.default", "feature_dropout.default", "alpha_dropout.default", "_to_copy.default"),
)
HANDLERS: dict[str, Callable[[Call], list[FloatLayer]]] = {
    **dict.fromkeys(("conv2d.default", "conv2d.padding"), convolution),
    **dict.fromkeys(("conv1d.default", "conv1d.padding"), convolution),
    "linear.default": linear,
    "addmm.default": addmm,
    **dict.fromkeys(("batch_norm.default", "_native_batch_norm_legit_no_training.default"), batch_norm),
    **dict.fromkeys(("add.Tensor", "add.Scalar"), arithmetic(1, product=False)),
    **dict.fromkeys(("sub.Tensor", "sub.Scalar"), arithmetic(-1, product=False)),
    **dict.fromkeys(("mul.Tensor", "mul.Scalar"), arithmetic(1, product=True)),
    **dict.fromkeys(("div.Tensor", "div.Scalar"), arithmetic(-1, product=True)),
    "relu.default": clamp(0.0, inf),
    "relu6.default": clamp(0.0, 6.0),
    "hardtanh.default": clamp("min_val", "max_val"),
    "clamp.default": clamp("min", "max"),
    "clamp_min.default": clamp("min", inf),
    "clamp_max.default": clamp(-inf, "max"),
    "neg.default": lambda call: [scaled(call, -1.0)],
    **dict.fromkeys(("max_pool1d.default", "max_pool2d.default", "max_pool2d_with_indices.default"), max_pool),
    **dict.fromkeys(("adaptive_max_pool1d.default", "adaptive_max_pool2d.default"), adaptive_pool(average=False)),
    **dict.fromkeys(("avg_pool1d.default", "avg_pool2d.default"), average_pool),
    **dict.fromkeys(("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default"), adaptive_pool(average=True)),
    "mean.dim": reduction("mean"),
    "sum.dim_IntList": reduction("sum"),
    "amax.default": reduction("amax"),
    **dict.fromkeys(("pad.default", "constant_pad_nd.default"), pad),
    "slice.Tensor": subsample,
    **dict.fromkeys(RESHAPES, reshape),
    **dict.fromkeys(COPIES, nothing),
}
"""By the name of the ATen operator."""

HEADS = ("softmax.int", "log_softmax.int", "_softmax.default", "_log_softmax.default", "sigmoid.default")
"""Operators that the host applies to the outputs where they are the last."""

HINTS: Sequence[tuple[str, str, str]] = (
    ("cat", "concatenation", "a network whose layers follow one another"),
    ("stack", "concatenation", "a network whose layers follow one another"),
    ("conv3d", "Conv3d", "Conv2d"),
    ("conv_transpose", "transposed convolution", "Conv2d"),
    ("lstm", "recurrent layer", "convolutions over time"),
    ("gru", "recurrent layer", "convolutions over time"),
    ("rnn_", "recurrent layer", "convolutions over time"),
    ("embedding", "embedding", "an input that is embedded already"),
    ("scaled_dot_product", "attention", "convolutions"),
    ("matmul", "product of activations", "Linear or Conv2d"),
    ("bmm", "product of activations", "Linear or Conv2d"),
    ("einsum", "einsum", "Linear or Conv2d"),
    ("group_norm", "normalization by the input's own statistics", "BatchNorm2d"),
    ("layer_norm", "normalization by the input's own statistics", "BatchNorm2d"),
    ("instance_norm", "normalization by the input's own statistics", "BatchNorm2d"),
    ("batch_norm", "batch-norm without running statistics", "BatchNorm2d with track_running_stats=True"),
    ("softmax", "Softmax before the end", "Softmax as the last operation, or none"),
    ("sigmoid", "Sigmoid before the end", "ReLU or ReLU6"),
    *((name, "activation function", "ReLU or ReLU6") for name in ("leaky_relu", "prelu", "elu", "gelu", "silu", "selu", "celu")),
    *(
        (name, "activation function", "ReLU or ReLU6")
        for name in ("hardswish", "mish", "tanh", "softplus", "hardsigmoid", "rrelu")
    ),
    ("upsample", "upsampling", "strides that keep the resolution"),
    ("permute", "a change of the order of dimensions", "the (n, channels, rows, columns) order"),
    ("transpose", "a change of the order of dimensions", "the (n, channels, rows, columns) order"),
    ("channel_shuffle", "channel shuffle", "Conv2d with groups=1"),
)
"""What is said about operators whose name contains the first text."""


def refusal(name: str) -> Unsupported:
    """What to say about an operator that has no handler."""
    for part, what, instead in HINTS:
        if part in name:
            return Unsupported(what, instead)
    return Unsupported(f"operator {name}", "one of the supported layers")
