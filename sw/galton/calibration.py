"""Inputs to calibrate with, from whatever holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galton.errors import CalibrationError

SYNTHETIC = 16
"""Inputs where there is no data."""
GRID, NEAR = 1 << 10, 1e-3
"""Values that inputs on a grid may have, and how near to it, in steps, they must be."""
TRIED = 128
"""Inputs that ranges are tried on."""
KINDS = "a tensor or array (n, channels, rows, columns) or (n, features), or an iterable of such batches or of (inputs, labels)"


def gather(calibration: Any, limit: int, *, maps: bool = True) -> Tensor:
    """The first `limit` inputs as one tensor, checked as `check` does.

    Raises CalibrationError, with the number of the batch, for data that is empty, of another shape than expected, or not finite.
    """
    parts: list[Tensor] = []
    count = 0
    for index, batch in enumerate(batches(calibration)):
        part = check(batch, f"Calibration batch {index}", tuple(parts[0].shape[1:]) if parts else None, maps=maps)
        parts.append(part[: limit - count])
        count += len(parts[-1])
        if count >= limit:
            break
    if count == 0:
        raise CalibrationError(f"There is no calibration data: expected {KINDS}, with at least one input")
    return torch.cat(parts)


def synthetic(module: nn.Module, shape: tuple[int, ...] | None, input_range: tuple[float, float] | None) -> Tensor:
    """A few inputs of `shape` that say nothing about real ones, to find the layers of a network with: uniform over `input_range`,
    by default Gaussian; integers where the network begins with an embedding.

    Raises CalibrationError where no shape is given.
    """
    if shape is None:
        raise CalibrationError("Without calibration data, input_shape= must give the shape of one input, such as (3, 32, 32)")
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            return torch.randint(part.num_embeddings, (SYNTHETIC, *shape), generator=generator)
    if input_range is None:
        return torch.randn(SYNTHETIC, *shape, generator=generator)
    low, high = map(float, input_range)
    return low + (high - low) * torch.rand(SYNTHETIC, *shape, generator=generator)


def batches(data: Any) -> Iterator[Any]:
    """The inputs of each batch."""
    if isinstance(data, Tensor | np.ndarray):
        yield data
        return
    if (
        isinstance(data, tuple)
        and len(data) == 2
        and all(isinstance(part, Tensor | np.ndarray) for part in data)
        and data[1].ndim == 1
    ):
        yield data[0]
        return
    if not isinstance(data, Iterable):
        raise CalibrationError(f"Calibration data is {type(data).__name__}, expected {KINDS}")
    for item in data:
        yield item[0] if isinstance(item, tuple | list) and len(item) else item


def check(batch: Any, what: str, shape: tuple[int, ...] | None = None, *, maps: bool = True) -> Tensor:
    """One batch on the host, `shape` being that of one input, where it is known.

    maps: float32 (n, channels, rows, columns) or (n, features); else of any shape (n, ...), and integers stay integers.

    Raises CalibrationError that begins with `what`.
    """
    if not isinstance(batch, Tensor | np.ndarray):
        raise CalibrationError(f"{what} is {type(batch).__name__}, expected {KINDS}")
    tensor = torch.as_tensor(batch).detach().cpu()
    if tensor.is_complex():
        raise CalibrationError(f"{what} is complex, expected real numbers")
    integers = not maps and not tensor.is_floating_point()
    tensor = tensor.long() if integers else tensor.float()
    if shape is not None and tuple(tensor.shape[1:]) != shape:
        raise CalibrationError(f"{what} has shape {tuple(tensor.shape)}, expected (n, {', '.join(map(str, shape))})")
    if maps and tensor.ndim not in (2, 4):
        raise CalibrationError(f"{what} has shape {tuple(tensor.shape)}, expected (n, channels, rows, columns) or (n, features)")
    if not maps and tensor.ndim < 1:
        raise CalibrationError(f"{what} is a single number, expected a batch (n, ...)")
    bad = torch.nonzero(~torch.isfinite(tensor))
    if len(bad):
        place = bad[0].tolist()
        raise CalibrationError(f"{what} has {tensor[tuple(place)].item()} at {place}, expected finite numbers")
    return tensor


def step_of(inputs: Tensor) -> float | None:
    """The step of which all inputs are whole multiples, where they have one and at most GRID different values."""
    values = torch.unique(inputs.double())
    gaps = values.diff()
    if not 2 <= len(values) <= GRID:
        return None
    largest = float(values.abs().max())
    step = largest / round(largest / float(gaps.min()))
    return step if bool(((values / step - (values / step).round()).abs() < NEAR).all()) else None


def on_grid(inputs: Tensor, network: Callable[[Tensor], Any]) -> Tensor:
    """Inputs with some below 0 on a grid, such as features of 8 bits with an offset, as -128 to 127 of its steps; or as they are.

    That is where cutting the few beyond costs the outputs of the float network less than a step so coarse that none is cut. Both
    are tried on the first TRIED inputs.
    """
    step = step_of(inputs) if inputs.is_floating_point() else None
    coarse = max(float(inputs.max()) / 127, -float(inputs.min()) / 128)
    if step is None or float(inputs.min()) >= 0 or coarse < step * (1 + NEAR):
        return inputs
    few = inputs[:TRIED]
    with torch.no_grad():
        wanted, *found = [network(part) for part in (few, as_bytes(few, step), as_bytes(few, coarse))]
    if not isinstance(wanted, Tensor) or (found[0] - wanted).norm() >= (found[1] - wanted).norm():
        return inputs
    return as_bytes(inputs, step)


def as_bytes(inputs: Tensor, scale: float) -> Tensor:
    """Inputs rounded to signed bytes of this scale."""
    return torch.floor(inputs / scale + 0.5).clamp(-128, 127) * scale


def to_pixels(values: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n, channels, rows, columns) or (n, features) -> float64 (n, rows, columns, channels)."""
    maps = values if values.ndim == 4 else values[:, :, None, None]
    return np.ascontiguousarray(maps.permute(0, 2, 3, 1).numpy().astype(np.float64))
