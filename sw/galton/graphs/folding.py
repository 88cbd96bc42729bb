"""Batch-norm into the layer right before it, found by running the network: what one returns is what the other takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from galton.calibration import Inputs
from galton.graphs.sites import DRIVEN, TRANSPOSED

FOLDS = DRIVEN
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TOLERANCE = 1e-3
"""Largest change of an output, relative to the largest output, that folding may make."""


def folded(module: nn.Module, example: Inputs) -> nn.Module:
    """`module`, or a copy with batch-norm folded where that changes nothing."""
    pairs = followers(module, example)
    if not pairs:
        return module
    copied = copy.deepcopy(module)
    for layer, norm in pairs:
        fold(copied.get_submodule(layer), copied.get_submodule(norm))
        copied.set_submodule(norm, nn.Identity())
    wanted, found = (flatten(example.map(Tensor.clone).run(network)) for network in (module, copied))
    near = all(
        float((one - other).abs().max()) <= TOLERANCE * max(float(one.abs().max()), 1e-30)
        for one, other in zip(wanted, found, strict=True)
        if one.numel()
    )
    return copied if near else module


def followers(module: nn.Module, example: Inputs) -> list[tuple[str, str]]:
    """Names of a layer and the batch-norm that alone takes its output, both called once."""
    outputs: list[tuple[str, Tensor]] = []
    taken: list[tuple[str, Tensor]] = []
    handles = []
    for name, part in module.named_modules():
        if type(part) in FOLDS:

            def leaves(_: Any, __: Any, output: Tensor, name: str = name) -> None:
                outputs.append((name, output))

            handles.append(part.register_forward_hook(leaves))
        elif isinstance(part, NORMS) and part.running_mean is not None and name:

            def enters(_: Any, arguments: tuple[Tensor, ...], name: str = name) -> None:
                taken.append((name, arguments[0]))

            handles.append(part.register_forward_pre_hook(enters))
    try:
        example.map(Tensor.clone).run(module)
    finally:
        for handle in handles:
            handle.remove()
    names, norms = ([name for name, _ in calls] for calls in (outputs, taken))
    return [
        (layer, norm)
        for norm, entered in taken
        for layer, left in outputs
        if left is entered and names.count(layer) == norms.count(norm) == 1
    ]


def fold(layer: Any, norm: Any) -> None:
    """layer <- norm(layer(.)), in place."""
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -mean * scale if norm.bias is None else norm.bias.double() - mean * scale
    weight: Tensor = layer.weight.double()
    if isinstance(layer, TRANSPOSED):
        parts = weight.unflatten(0, (layer.groups, -1))
        weight = (parts * scale.reshape(layer.groups, 1, -1, *[1] * (weight.ndim - 2))).flatten(0, 1)
    else:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    if layer.bias is not None:
        shift = shift + layer.bias.double() * scale
    layer.weight, layer.bias = (nn.Parameter(values.float(), requires_grad=False) for values in (weight, shift))


def flatten(outputs: Any) -> list[Tensor]:
    """The floating-point tensors of whatever a network returns, in order."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [tensor for part in outputs for tensor in flatten(part)]
    return []
