"""Inputs to calibrate with, from whatever holds them.

A batch is a tensor or an array; of a network that takes several arguments a tuple of them, or a dict by argument name.
Calibration data is one tensor, array or dict, or an iterable of batches or of (batch, labels): of a tuple or list in an iterable
the first part is the batch. So a loader of ((ids, mask), labels) or ((ids, mask),) calibrates with two arguments, one of
(inputs, labels) with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galton.errors import CalibrationError

SYNTHETIC = 16
"""Inputs where there is no data."""
SHAPES = "(n, channels, rows, columns), (n, channels, columns) or (n, features)"
KINDS = f"a tensor or array {SHAPES}, or an iterable of such batches or of (inputs, labels)"


@dataclass(frozen=True)
class Inputs:
    """Arguments of a network: tensors (n, ...) on the host, and whatever is the same for every input."""

    positional: tuple[Any, ...]
    named: dict[str, Any]

    @classmethod
    def of(cls, batch: Any, what: str, *, maps: bool = False) -> Inputs:
        """A batch, checked; `maps` as in `check`. Raises CalibrationError that begins with `what`."""
        if isinstance(batch, Mapping):
            return cls((), {str(name): _argument(value, f"{what}, {name},") for name, value in batch.items()})
        if isinstance(batch, tuple | list):
            return cls(tuple(_argument(value, f"{what}, argument {place},") for place, value in enumerate(batch)), {})
        return cls((check(batch, what, maps=maps),), {})

    @property
    def leaves(self) -> list[Any]:
        """All arguments."""
        return [*self.positional, *self.named.values()]

    @property
    def tensors(self) -> list[Tensor]:
        """Those that are tensors."""
        return [value for value in self.leaves if isinstance(value, Tensor)]

    @property
    def single(self) -> Tensor | None:
        """The only argument, where it is a tensor without a name."""
        return self.positional[0] if len(self.leaves) == len(self.positional) == len(self.tensors) == 1 else None

    @property
    def shape(self) -> str:
        """The shapes of one input, for messages."""
        shapes = [f"(n, {', '.join(map(str, value.shape[1:]))})" for value in self.tensors]
        return ", ".join(shapes)

    def __len__(self) -> int:
        return len(self.tensors[0]) if self.tensors else 0

    def map(self, function: Callable[[Tensor], Tensor]) -> Inputs:
        """`function` of every tensor of one number for each input."""
        count = len(self)

        def each(value: Any) -> Any:
            return function(value) if isinstance(value, Tensor) and value.ndim and len(value) == count else value

        return Inputs(tuple(map(each, self.positional)), {name: each(value) for name, value in self.named.items()})

    def first(self, count: int) -> Inputs:
        """The first inputs."""
        return self.map(lambda values: values[:count])

    def run(self, module: nn.Module) -> Any:
        """What a module makes of them, without gradients."""
        with torch.no_grad():
            return module(*self.positional, **self.named)


def collect(calibration: Any, limit: int, *, maps: bool = False) -> Inputs:
    """The first `limit` inputs, checked as `check` does.

    Raises CalibrationError, with the number of the batch, for data that is empty, of another shape than expected, or not finite.
    """
    parts: list[Inputs] = []
    count = 0
    for index, batch in enumerate(batches(calibration)):
        part = Inputs.of(batch, f"Calibration batch {index}", maps=maps)
        if parts:
            _same_shape(parts[0], part, index)
        parts.append(part.first(limit - count))
        count += len(parts[-1])
        if count >= limit:
            break
    if count == 0:
        raise CalibrationError(f"There is no calibration data: expected {KINDS}, with at least one input")
    return _joined(parts)


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
    if isinstance(data, Tensor | np.ndarray | Mapping):
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

    maps: float32 (n, channels, rows, columns), (n, channels, columns) or (n, features); else of any shape (n, ...), and integers
        stay integers.

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
    if maps and not 2 <= tensor.ndim <= 4:
        raise CalibrationError(f"{what} has shape {tuple(tensor.shape)}, expected {SHAPES}")
    if not maps and tensor.ndim < 1:
        raise CalibrationError(f"{what} is a single number, expected a batch (n, ...)")
    bad = torch.nonzero(~torch.isfinite(tensor))
    if len(bad):
        place = bad[0].tolist()
        raise CalibrationError(f"{what} has {tensor[tuple(place)].item()} at {place}, expected finite numbers")
    return tensor


def as_maps(values: Tensor) -> Tensor:
    """(n, channels, rows, columns), (n, channels, columns) or (n, features) -> (n, channels, rows, columns)."""
    return values.reshape(*values.shape[:2], *(1, 1, *values.shape[2:])[-2:])


def to_pixels(values: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What `as_maps` takes -> float64 (n, rows, columns, channels)."""
    return as_maps(values).permute(0, 2, 3, 1).numpy().astype(np.float64, order="C")


def _argument(value: Any, what: str) -> Any:
    """One of several arguments: a tensor on the host, in which masks and infinities may be, or anything else as it is."""
    if not isinstance(value, Tensor | np.ndarray):
        return value
    tensor = torch.as_tensor(value).detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if bool(tensor.isnan().any()):
            raise CalibrationError(f"{what} has nan at {torch.nonzero(tensor.isnan())[0].tolist()}")
    return tensor


def _same_shape(one: Inputs, other: Inputs, index: int) -> None:
    """Raise CalibrationError for batches that cannot be joined."""
    if len(one.positional) != len(other.positional) or one.named.keys() != other.named.keys():
        raise CalibrationError(f"Calibration batch {index} has other arguments than batch 0")
    for first, second in zip(one.leaves, other.leaves, strict=True):
        if isinstance(first, Tensor) != isinstance(second, Tensor):
            raise CalibrationError(f"Calibration batch {index} has other arguments than batch 0")
        if isinstance(first, Tensor) and first.shape[1:] != second.shape[1:]:
            expected = ", ".join(map(str, first.shape[1:]))
            raise CalibrationError(f"Calibration batch {index} has shape {tuple(second.shape)}, expected (n, {expected})")


def _joined(parts: list[Inputs]) -> Inputs:
    """One batch after another."""

    def joined(values: list[Any]) -> Any:
        pairs = zip(values, parts, strict=True)
        each = all(isinstance(value, Tensor) and value.ndim and len(value) == len(part) for value, part in pairs)
        return torch.cat(values) if each else values[0]

    positional = tuple(joined(list(values)) for values in zip(*(part.positional for part in parts), strict=True))
    return Inputs(positional, {name: joined([part.named[name] for part in parts]) for name in parts[0].named})
