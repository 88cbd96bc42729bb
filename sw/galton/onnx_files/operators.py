"""ONNX operators on activations as torch modules and functions, a small function for each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from math import inf, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galton.onnx_files.walk import Step, Unreadable, Value

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
MAXIMA: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGES: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
GLOBAL: dict[tuple[str, int], Any] = {
    ("GlobalAveragePool", 1): nn.AdaptiveAvgPool1d,
    ("GlobalAveragePool", 2): nn.AdaptiveAvgPool2d,
    ("GlobalMaxPool", 1): nn.AdaptiveMaxPool1d,
    ("GlobalMaxPool", 2): nn.AdaptiveMaxPool2d,
}


def spatial(step: Step, kinds: dict[int, Any], count: int) -> Any:
    """The entry of `kinds` for that many spatial dimensions."""
    if count not in kinds:
        raise Unreadable(f"{count} spatial dimensions")
    return kinds[count]


def windows(step: Step, value: Value, kernel: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], list[int], list[int]]:
    """Strides, dilations, and padding at the beginning and the end of each spatial dimension."""
    rank = len(kernel)
    strides = tuple(step.attributes.get("strides", [1] * rank))
    dilations = tuple(step.attributes.get("dilations", [1] * rank))
    pads = list(step.attributes.get("pads", [0] * 2 * rank))
    automatic = step.text("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):
        sizes = zip(value.shape[2:], kernel, strides, dilations, strict=True)
        total = [max((-(-size // by) - 1) * by + (taps - 1) * apart + 1 - size, 0) for size, taps, by, apart in sizes]
        less, more = [part // 2 for part in total], [part - part // 2 for part in total]
        pads = less + more if automatic == "SAME_UPPER" else more + less
    return strides, dilations, pads[:rank], pads[rank:]


def padded(step: Step, value: Value, before: list[int], after: list[int]) -> tuple[Value, tuple[int, ...]]:
    """What is left for a symmetric layer to pad, and the activation padded by zeros where the two sides differ."""
    if before == after:
        return value, tuple(before)
    around = [part for pair in zip(reversed(before), reversed(after), strict=True) for part in pair]
    return step.walk.call(F.pad, value, around), (0,) * len(before)


def convolution(step: Step) -> Value:
    weight, bias, value = step.weight(1), step.weight(2), step.value()
    assert weight is not None
    kernel = tuple(weight.shape[2:])
    kind = spatial(step, CONVOLUTIONS, len(kernel))
    strides, dilations, before, after = windows(step, value, kernel)
    groups = int(step.attributes.get("group", 1))
    value, padding = padded(step, value, before, after)
    layer = kind(weight.shape[1] * groups, len(weight), kernel, strides, padding, dilations, groups, bias is not None)
    return step.layer(filled(layer, weight, bias), value, 1)


def transposed_convolution(step: Step) -> Value:
    weight, bias, value = step.weight(1), step.weight(2), step.value()
    assert weight is not None
    kernel = tuple(weight.shape[2:])
    kind = spatial(step, TRANSPOSED, len(kernel))
    strides, dilations, before, after = windows(step, value, kernel)
    if before != after or step.text("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in step.attributes:
        raise Unreadable("padding that is not the same on both sides")
    extra, groups = tuple(step.attributes.get("output_padding", [0] * len(kernel))), int(step.attributes.get("group", 1))
    sizes = (len(weight), weight.shape[1] * groups)
    layer = kind(*sizes, kernel, strides, tuple(before), extra, groups, bias is not None, dilations)
    return step.layer(filled(layer, weight, bias), value, 1)


def filled(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The layer with these weights."""
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    made: nn.Module = layer
    return made


def linear(step: Step, value: Value, weight: Tensor, bias: Tensor | None) -> Value:
    """value times weight (outputs, inputs); a noted selection of columns goes into the weight."""
    if value.columns is not None:
        selected = torch.zeros(len(weight), value.example.shape[1])
        selected[:, value.columns] = weight
        value, weight = replace(value, columns=None), selected
    value = step.walk.plain(value)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return step.layer(filled(layer, weight, bias), value, 1)


def gemm(step: Step) -> Value:
    weight, bias = step.weight(1), step.weight(2)
    assert weight is not None
    if step.attributes.get("transA", 0):
        raise Unreadable("transA")
    weight = weight if step.attributes.get("transB", 0) else weight.T
    alpha, beta = float(step.attributes.get("alpha", 1)), float(step.attributes.get("beta", 1))
    added = None if bias is None else (bias * beta).broadcast_to(1, len(weight))[0]
    return linear(step, step.noted(), weight * alpha, added)


def matmul(step: Step) -> Value:
    if step.node.input[0] in step.walk.constants or step.node.input[1] not in step.walk.constants:
        return step.walk.call(torch.matmul, step.value(0), step.value(1))
    weight = step.weight(1)
    assert weight is not None
    if weight.ndim != 2:
        raise Unreadable(f"a weight of {weight.ndim} dimensions")
    return linear(step, step.noted(), weight.T, bias_behind(step, len(weight.T)))


def bias_behind(step: Step, outputs: int) -> Tensor | None:
    """The constant that the next node adds to this one's result, one number for each output, if that is all that takes it."""
    graph, name = step.walk.model.graph, step.node.output[0]
    takers = [node for node in graph.node if name in node.input]
    if len(takers) != 1 or takers[0].op_type != "Add" or any(output.name == name for output in graph.output):
        return None
    other = next((part for part in takers[0].input if part != name), name)
    found = step.walk.constants.get(other)
    if found is None or found.shape not in ((outputs,), (1, outputs)):
        return None
    step.walk.absorbed.add(takers[0].output[0])
    return torch.from_numpy(np.array(found, np.float32)).reshape(outputs)


def batch_norm(step: Step) -> Value:
    value = step.value()
    if step.attributes.get("training_mode", 0):
        raise Unreadable("training mode")
    layer = spatial(step, NORMS, len(value.shape))(value.shape[1], eps=float(step.attributes.get("epsilon", 1e-5)))
    scale, shift, mean, variance = (step.weight(index) for index in range(1, 5))
    assert scale is not None
    layer.running_mean, layer.running_var = mean, variance
    return step.layer(filled(layer, scale, shift), value, 1)


def max_pool(step: Step) -> Value:
    value, kernel = step.value(), tuple(step.attributes["kernel_shape"])
    strides, dilations, before, after = windows(step, value, kernel)
    if before != after:
        raise Unreadable("padding that is not the same on both sides")
    kind = spatial(step, MAXIMA, len(kernel))
    return step.layer(kind(kernel, strides, tuple(before), dilations, ceil_mode=bool(step.attributes.get("ceil_mode", 0))), value)


def average_pool(step: Step) -> Value:
    value, kernel = step.value(), tuple(step.attributes["kernel_shape"])
    strides, dilations, before, after = windows(step, value, kernel)
    counted = bool(step.attributes.get("count_include_pad", 0)) or not any((*before, *after))
    if max(dilations) > 1 or (before != after and not counted):
        raise Unreadable("dilation, or padding that is neither counted nor the same on both sides")
    value, padding = padded(step, value, before, after)
    ceiling = bool(step.attributes.get("ceil_mode", 0))
    return step.layer(spatial(step, AVERAGES, len(kernel))(kernel, strides, padding, ceiling, counted), value)


def global_pool(step: Step) -> Value:
    value = step.value()
    key = (step.node.op_type, len(value.shape) - 2)
    if key not in GLOBAL:
        raise Unreadable(f"{key[1]} spatial dimensions")
    return step.layer(GLOBAL[key](1), value)


def module(make: Callable[[Step], nn.Module]) -> Callable[[Step], Value]:
    """A function of single numbers, whatever the order of dimensions."""

    def handle(step: Step) -> Value:
        value = step.noted()
        made = step.layer(make(step), value)
        return replace(made, order=value.order, columns=value.columns)

    return handle


def clip(step: Step) -> nn.Module:
    if step.opset < 11:
        limits = (step.attributes.get("min", -inf), step.attributes.get("max", inf))
    else:
        found = step.constant(1), step.constant(2)
        limits = (-inf if found[0] is None else found[0].item(), inf if found[1] is None else found[1].item())
    low, high = (float(limit) for limit in limits)
    if low == 0 and high >= float(np.finfo(np.float32).max):
        return nn.ReLU()
    return nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)


def along(kind: Any) -> Callable[[Step], Value]:
    """Softmax and its like, which before version 13 flattened everything from the axis on."""

    def handle(step: Step) -> Value:
        value = step.value()
        axis = int(step.attributes.get("axis", -1 if step.opset >= 13 else 1))
        if step.opset < 13 and axis % len(value.shape) != len(value.shape) - 1:
            raise Unreadable("an axis that is not the last, as older versions of the operator have it")
        return step.layer(kind(axis), value)

    return handle


def arithmetic(function: Callable[..., Tensor]) -> Callable[[Step], Value]:
    """Two or more operands, activations or constants."""

    def handle(step: Step) -> Value:
        if step.node.output[0] in step.walk.absorbed:
            return next(step.walk.values[name] for name in step.node.input if name in step.walk.values)
        names = list(step.node.input)
        values = [step.walk.values[name] for name in names if name in step.walk.values]
        orders = {value.order for value in values}
        alike = len(orders) == 1 and all(value.columns is None for value in values)
        order = orders.pop() if alike else None
        parts: list[Any] = []
        for index, name in enumerate(names):
            if name in step.walk.values:
                parts.append(replace(step.noted(index), order=None) if alike else step.value(index))
            else:
                constant = step.weight(index)
                assert constant is not None
                if order is not None:
                    constant = constant.reshape((1,) * (len(order) - constant.ndim) + tuple(constant.shape))
                    constant = constant.permute(tuple(np.argsort(order).tolist()))
                parts.append(constant.item() if constant.numel() == 1 else step.walk.parameter(constant))
        made: Value = reduce(lambda left, right: step.walk.call(function, left, right), parts)
        return replace(made, order=order)

    return handle


def concatenation(step: Step) -> Value:
    values = [step.value(index) for index in range(len(step.node.input))]
    return step.walk.call(torch.cat, values, int(step.attributes["axis"]))


def transpose(step: Step) -> Value:
    value = step.noted()
    rank = len(value.shape)
    order = tuple(step.attributes.get("perm", range(rank - 1, -1, -1)))
    if value.columns is not None:
        value = step.walk.plain(value)
    composed = tuple((value.order or tuple(range(rank)))[axis] for axis in order)
    return replace(value, order=None if composed == tuple(range(rank)) else composed)


def mean(step: Step) -> Value:
    value = step.noted()
    given = step.constant(1) if step.opset >= 18 else step.attributes.get("axes")
    axes = [int(axis) % len(value.shape) for axis in (range(len(value.shape)) if given is None else given)]
    keep = bool(step.attributes.get("keepdims", 1))
    order = value.order or tuple(range(len(value.shape)))
    rest = [order[axis] for axis in range(len(order)) if axis not in axes]
    if value.columns is not None or (not keep and rest != sorted(rest)):
        value, order = step.walk.plain(value), tuple(range(len(value.shape)))
    made = step.walk.call(torch.mean, replace(value, order=None), [order[axis] for axis in axes], keep)
    return replace(made, order=value.order if keep else None)


def reshape(step: Step) -> Value:
    value = step.noted()
    kind = step.node.op_type
    shape = list(value.shape)
    if kind == "Flatten":
        axis = int(step.attributes.get("axis", 1)) % (len(shape) + 1)
        target = [prod(shape[:axis]), prod(shape[axis:])]
    elif kind == "Reshape":
        wanted = step.constant(1)
        assert wanted is not None
        sizes = [int(size) for size in wanted.tolist()]
        copied = not step.attributes.get("allowzero", 0)
        target = [shape[index] if size == 0 and copied else size for index, size in enumerate(sizes)]
    else:
        given = step.constant(1) if step.opset >= 13 else step.attributes.get("axes")
        target = resized(shape, None if given is None else [int(axis) for axis in given], kind == "Unsqueeze")
    reached = list(torch.empty(shape, device="meta").reshape(target).shape)
    if not reached or reached[0] != step.walk.batch:
        raise Unreadable(f"a change of shape from {shape} to {reached}, which touches the batch")
    if len(reached) != 2:
        return step.walk.call(torch.reshape, step.walk.plain(value), (-1, *reached[1:]))
    columns = value.columns
    if value.order is not None:
        inner = tuple(value.example.shape[1:])
        places = torch.arange(prod(inner)).reshape(1, *inner).permute(value.order)
        columns = places.reshape(-1) if value.order[0] == 0 else None
        value = replace(value, order=None) if value.order[0] == 0 else step.walk.plain(value)
    if columns is not None and torch.equal(columns, torch.arange(len(columns))):
        columns = None
    made = step.layer(nn.Flatten(), replace(value, columns=None))
    return replace(made, columns=columns)


def resized(shape: list[int], axes: list[int] | None, unsqueeze: bool) -> list[int]:
    """The shape with dimensions of 1 put in or taken out."""
    if unsqueeze:
        result = list(shape)
        for axis in sorted(axis % (len(shape) + len(axes or [])) for axis in axes or []):
            result.insert(axis, 1)
        return result
    gone = {axis % len(shape) for axis in axes} if axes is not None else {axis for axis, size in enumerate(shape) if size == 1}
    return [size for axis, size in enumerate(shape) if axis not in gone or axis == 0]


def pad(step: Step) -> Value:
    value = step.value()
    rank = len(value.shape)
    given: Any = step.attributes.get("pads") if step.opset < 11 else step.constant(1)
    sides = [int(side) for side in given]
    axes = step.constant(3)
    borders = [(0, 0)] * rank
    for place, axis in enumerate(range(rank) if axes is None else axes.tolist()):
        borders[axis] = (sides[place], sides[place + len(sides) // 2])
    mode = {"edge": "replicate", "wrap": "circular"}.get(step.text("mode", "constant"), step.text("mode", "constant"))
    constant = step.constant(2) if step.opset >= 11 else None
    filling = float(step.attributes.get("value", 0)) if constant is None else float(constant.item())
    while borders and borders[0] == (0, 0):
        borders.pop(0)
    around = [side for pair in reversed(borders) for side in pair]
    return step.walk.call(F.pad, value, around, mode, filling) if around else value


def number(name: str, default: float) -> Callable[[Step], float]:
    """An attribute that is a number."""
    return lambda step: float(step.attributes.get(name, default))


def parametric(step: Step) -> Value:
    slope, value = step.weight(1), step.value()
    assert slope is not None
    layer = nn.PReLU(slope.numel())
    return step.layer(filled(layer, slope.reshape(-1), None), value, 1)


def gelu(step: Step) -> nn.Module:
    return nn.GELU(step.text("approximate", "none"))


HANDLERS: dict[str, Callable[[Step], Value]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "ReduceMean": mean,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), reshape),
    "Transpose": transpose,
    "Pad": pad,
    "Add": arithmetic(operator.add),
    "Sum": arithmetic(operator.add),
    "Sub": arithmetic(operator.sub),
    "Mul": arithmetic(operator.mul),
    "Div": arithmetic(operator.truediv),
    "Concat": concatenation,
    "Relu": module(lambda step: nn.ReLU()),
    "Clip": module(clip),
    "LeakyRelu": module(lambda step: nn.LeakyReLU(number("alpha", 0.01)(step))),
    "PRelu": parametric,
    "Elu": module(lambda step: nn.ELU(number("alpha", 1.0)(step))),
    "Gelu": module(gelu),
    "Sigmoid": module(lambda step: nn.Sigmoid()),
    "HardSwish": module(lambda step: nn.Hardswish()),
    "Tanh": module(lambda step: nn.Tanh()),
    **dict.fromkeys(("Identity", "Dropout", "Cast", "CastLike"), module(lambda step: nn.Identity())),
    "Softmax": along(nn.Softmax),
    "LogSoftmax": along(nn.LogSoftmax),
}
"""By operator."""
