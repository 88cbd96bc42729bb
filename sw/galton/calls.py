"""What an ATen operator is called with, and what to say where it cannot be a float layer.

Maps of one dimension, (n, channels, columns), are maps of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from galton.layers import Pair


class Unsupported(Exception):
    """An operator that cannot be a float layer: what it is, and what to write instead."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what)
        self.what, self.instead = what, instead


@dataclass(frozen=True)
class Call:
    """One operator with its arguments by name, constants as tensors and numbers.

    given, result: shapes (n, ...) of the activation that it takes and the one it gives. positive: the former is never below 0.
    """

    name: str
    arguments: dict[str, Any]
    given: tuple[int, ...]
    result: tuple[int, ...]
    positive: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, rows, columns) or (n, features) of the activation."""
        return as_map(self.given)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The same of the result."""
        return as_map(self.result)

    @property
    def line(self) -> bool:
        """Whether the activation is (n, channels, columns), which is a map of one row."""
        return len(self.given) == 3

    def axis(self, dimension: int) -> int:
        """A dimension of the activation as one of `shape`."""
        place = dimension % len(self.given)
        return 3 if self.line and place == 2 else place

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def constant(self, name: str) -> Tensor | None:
        """A weight as float32; raises Unsupported for one that is computed from the input."""
        value = self.arguments[name]
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise Unsupported("a weight that depends on the input", "weights that are parameters or constants")
        return value.detach().float()

    def pair(self, name: str) -> Pair:
        """Rows and columns from one or two integers."""
        value = self.arguments[name]
        values = [value] if isinstance(value, int) else list(value)
        if self.line:
            return 0 if name == "padding" else 1, int(values[-1])
        return int(values[0]), int(values[-1])


def as_map(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(n, channels, columns) as a map of one row; other shapes as they are."""
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else shape
