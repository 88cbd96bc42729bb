"""What is wrong with a float network's weights: not finite, or used elsewhere than in a layer that is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from galton import choices
from galton.calibration import Inputs, collect
from galton.errors import GaltonError
from galton.graphs.folding import flatten
from galton.graphs.sites import TABLES

VECTORS = (nn.LayerNorm, nn.RMSNorm)
"""Layers whose parameters are scales and shifts, whatever their shape."""


def numbers(module: nn.Module, calibration: Any, limit: int, *, maps: bool) -> Inputs:
    """Calibration inputs as `collect` gives them, in floating point, unless the network may look a row up by them."""
    tables = any(isinstance(part, TABLES) for part in module.modules())
    inputs = collect(calibration, limit, maps=maps and not tables)
    return inputs if tables or inputs.single is None else inputs.map(Tensor.float)


def check_finite(module: nn.Module) -> None:
    """Raise GaltonError for a parameter or buffer that is not finite; a buffer may hold minus infinities, as masks do."""
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        bad = torch.nonzero(~torch.isfinite(values))
        if isinstance(values, nn.Parameter) or bool(values.isnan().any()):
            _refuse(name, values, bad)


def _refuse(name: str, values: Tensor, bad: Tensor) -> None:
    if len(bad):
        place = bad[0].tolist()
        owner, _, what = name.rpartition(".")
        raise GaltonError(
            f"{owner or 'The network'}: the {what} at {place} is {values[tuple(place)].item()}; "
            "repair or retrain that layer first"
        )


def left_in_float(module: nn.Module, example: Inputs, layers: list[Any], skip: Iterable[str]) -> list[str]:
    """Names of the parameters of two dimensions or more that the outputs depend on and that belong to none of `layers`.

    skip: patterns of modules that are in float on purpose.
    """
    known = {id(layer.weight) for layer in layers}
    loose = {}
    for owner, part in module.named_modules():
        for name, values in part.named_parameters(recurse=False):
            path = f"{owner}.{name}" if owner else name
            if values.ndim < 2 or id(values) in known or isinstance(part, VECTORS):
                continue
            if not choices.matches(path, skip):
                loose[path] = values
    if not loose:
        return []
    try:
        for values in loose.values():
            values.requires_grad_(True)
        with torch.enable_grad():
            outputs = flatten(module(*example.positional, **example.named))
            total = sum((values.sum() for values in outputs if values.requires_grad), torch.zeros(()))
            if not total.requires_grad:
                return []
            found = torch.autograd.grad(total, list(loose.values()), allow_unused=True)
    except RuntimeError:
        # What cannot be differentiated is not known to be idle.
        return list(loose)
    finally:
        for values in loose.values():
            values.requires_grad_(False)
    return [name for name, gradient in zip(loose, found, strict=True) if gradient is not None]
