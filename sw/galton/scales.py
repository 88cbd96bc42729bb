"""Whether calibration inputs are on the scale that a network was trained on; what is wrong is warned of."""

from __future__ import annotations

import warnings
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from galton.calibration import Inputs
from galton.errors import CalibrationWarning, GaltonError

CHECKED = 64
"""Inputs that are looked at."""
FACTOR = 6.0
"""Spread or shift of a batch-norm's inputs, over what it saw in training, from which on they are of another scale."""
OUTSIDE = 0.01
"""Share of inputs that may lie outside `input_range`."""
USED = 0.125
"""Share of `input_range` that inputs should reach."""
ENOUGH = 32
"""Values of a channel that make a spread."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def check(module: nn.Module, inputs: Inputs, input_range: tuple[float, float] | None) -> None:
    """Warn, with CalibrationWarning, of inputs that leave `input_range` or hardly use it, or that the first batch-norm finds odd.

    A network without batch-norm does not tell what it was trained on. Raises GaltonError for a range that is none.
    """
    values = inputs.single
    if input_range is not None:
        low, high = map(float, input_range)
        if not -inf < low <= high < inf:
            raise GaltonError(f"input_range must be (smallest, largest), both finite, not {input_range!r}")
        if values is not None:
            check_range(values, low, high)
    found = first_norm(module, inputs.first(CHECKED))
    if found is not None:
        name, spread, shift = found
        if not (1 / FACTOR <= spread <= FACTOR and shift <= FACTOR):
            _warn(
                f"{name}: its inputs spread {spread:.3g} times as much as in training and lie {shift:.3g} deviations away; "
                "calibrate with inputs of the scale that the network was trained on (0 to 1 or 0 to 255, standardized or not?)"
            )


def check_range(values: Tensor, low: float, high: float) -> None:
    """Warn of values outside low..high, or in a small part of it."""
    outside = float(((values < low) | (values > high)).float().mean())
    reached = float(values.max() - values.min())
    if outside > OUTSIDE:
        _warn(f"{outside:.1%} of the calibration inputs lie outside input_range ({low:g}, {high:g}) and are clipped")
    elif reached < USED * (high - low):
        _warn(
            f"Calibration inputs reach from {float(values.min()):g} to {float(values.max()):g}, a small part of input_range "
            f"({low:g}, {high:g}): most of the 8 bits are not used"
        )


def first_norm(module: nn.Module, inputs: Inputs) -> tuple[str, float, float] | None:
    """Name of the batch-norm that is called first, and the medians over its channels of spread and shift against training.

    None where there is none that was trained, or too little data.
    """
    seen: list[tuple[str, float, float]] = []
    handles = []
    for name, part in module.named_modules():
        if isinstance(part, NORMS) and part.running_mean is not None and _trained(part):

            def look(norm: Any, arguments: tuple[Tensor, ...], name: str = name) -> None:
                channels = arguments[0].movedim(1, 0).flatten(1)
                if channels.shape[1] >= ENOUGH:
                    deviation = (norm.running_var + norm.eps).sqrt()
                    spread = (channels.std(dim=1) / deviation).median()
                    shift = ((channels.mean(dim=1) - norm.running_mean).abs() / deviation).median()
                    seen.append((name, float(spread), float(shift)))

            handles.append(part.register_forward_pre_hook(look))
    if not handles:
        return None
    try:
        inputs.map(Tensor.clone).run(module)
    except Exception:
        # A network that does not take the inputs is refused where it is quantized, with more to say.
        return None
    finally:
        for handle in handles:
            handle.remove()
    return seen[0] if seen else None


def _trained(norm: Any) -> bool:
    return bool(torch.any(norm.running_mean != 0)) or bool(torch.any(norm.running_var != 1))


def _warn(message: str) -> None:
    warnings.warn(message, CalibrationWarning, stacklevel=4)
