"""Inputs that lie on a grid already, such as 8-bit features with an offset: raw inputs keep its step where they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from galton.fitting import raw_range

VALUES, NEAR = 1 << 10, 1e-3
"""Values that inputs on a grid may have, and how near to it, in steps, they must be."""
TRIED = 128
"""Inputs that both steps are tried on."""


def step_of(inputs: Tensor) -> float | None:
    """The step of which all inputs are whole multiples, where they have one and at most VALUES different values."""
    values = torch.unique(inputs.double())
    gaps = values.diff()
    if not 2 <= len(values) <= VALUES:
        return None
    largest = float(values.abs().max())
    step = largest / round(largest / float(gaps.min()))
    return step if bool(((values / step - (values / step).round()).abs() < NEAR).all()) else None


def on_grid(inputs: Tensor, network: Callable[[Tensor], Any]) -> Tensor:
    """Inputs with some below 0 on a grid, such as features of 8 bits with an offset, as raw integers of its step; or as they are.

    That is where cutting the few beyond costs the outputs of the float network less than a step so coarse that none is cut. Both
    are tried on the first TRIED inputs.
    """
    step = step_of(inputs) if inputs.is_floating_point() else None
    coarse, low, high = raw_range(float(inputs.min()), float(inputs.max()), signed=True)
    if step is None or float(inputs.min()) >= 0 or coarse < step * (1 + NEAR):
        return inputs
    few = inputs[:TRIED]
    with torch.no_grad():
        wanted, *found = [network(part) for part in (few, rounded(few, step, low, high), rounded(few, coarse, low, high))]
    if not isinstance(wanted, Tensor) or (found[0] - wanted).norm() >= (found[1] - wanted).norm():
        return inputs
    return rounded(inputs, step, low, high)


def rounded(inputs: Tensor, scale: float, low: int, high: int) -> Tensor:
    """Inputs as raw integers of this scale would have them."""
    return torch.floor(inputs / scale + 0.5).clamp(low, high) * scale
