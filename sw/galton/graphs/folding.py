"""Batch-norm into the layer right before it, found by running the network: what one returns is what the other takes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

FOLDS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
TOLERANCE = 1e-3
"""Largest change of an output, relative to the largest output, that folding may make."""


def prepare(module: nn.Module, example: Tensor) -> nn.Module:
    """A copy on the host in eval mode, its parametrizations resolved, batch-norm folded where that changes nothing."""
    plain = copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    for part in plain.modules():
        parametrized: Any = part.parametrizations if parametrize.is_parametrized(part) else ()
        for name in list(parametrized):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    pairs = followers(plain, example)
    if not pairs:
        return plain
    folded = copy.deepcopy(plain)
    for layer, norm in pairs:
        fold(folded.get_submodule(layer), folded.get_submodule(norm))
        folded.set_submodule(norm, nn.Identity())
    with torch.no_grad():
        wanted, found = (flatten(network(example)) for network in (plain, folded))
    near = all(
        float((one - other).abs().max()) <= TOLERANCE * max(float(one.abs().max()), 1e-30)
        for one, other in zip(wanted, found, strict=True)
        if one.numel()
    )
    return folded if near else plain


def followers(module: nn.Module, example: Tensor) -> list[tuple[str, str]]:
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
        with torch.no_grad():
            module(example)
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
    if isinstance(layer, nn.ConvTranspose2d):
        groups = layer.groups
        parts = weight.reshape(groups, len(weight) // groups, *weight.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
        weight = parts.reshape(weight.shape)
    else:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    if layer.bias is not None:
        shift = shift + layer.bias.double() * scale
    layer.weight, layer.bias = (nn.Parameter(values.float(), requires_grad=False) for values in (weight, shift))


def flatten(outputs: Any) -> list[Tensor]:
    """The floating-point tensors of whatever a network returns, in order."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [tensor for part in outputs for tensor in flatten(part)]
    return []
