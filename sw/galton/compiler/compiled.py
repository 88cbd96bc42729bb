"""A compiled network: an image with what the compiler knows about it, ready to run and to print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Group
from rich.table import Table

from galton.compiler.certify import Certificate
from galton.compiler.fit import MemoryUse
from galton.config import Config
from galton.image import Image
from galton.network import Ints, Network
from galton.ranges import settle


class Quantized(Protocol):
    """Anything that carries an integer network."""

    @property
    def network(self) -> Network:
        """The integer network."""


@dataclass(frozen=True)
class CompiledNetwork:
    """What `compile` returns.

    network: as stored, with padded and permuted channels. memory: what is used of each memory.
    """

    config: Config
    network: Network
    image: Image
    certificates: tuple[Certificate, ...]
    memory: tuple[MemoryUse, ...]

    def save(self, path: Path | str) -> None:
        """Write the image's file."""
        self.image.save(path)

    def run(self, inputs: Any, *, out_of_range: str = "saturate", execute: Callable[[Image, Ints], Ints] | None = None) -> Any:
        """Real outputs of the packed image for real inputs, by `execute`, or by the golden model.

        NumPy arrays are (n, rows, columns, channels); torch tensors are (n, channels, rows, columns), as for torch's own layers.
        Both may be (n, channels) where the network begins or ends with one pixel; outputs of one pixel always are. Of a network
        of one row, inputs and then outputs may be without it. The result is of the kind of the input, float64 for NumPy and
        float32 for torch.

        Values that raw inputs cannot hold are cut, with a RangeWarning that counts them; with out_of_range="refuse" they are
        refused. Raises CalibrationError for those, for a wrong shape, and for values that are not finite.
        """
        # Who only compiles need not wait for numba.
        from galton import golden

        torch_like = hasattr(inputs, "detach")
        values = np.asarray(inputs.detach().cpu() if torch_like else inputs, dtype=np.float64)
        if values.ndim == 2 and self.network.input_shape[:2] == (1, 1):
            values = values[:, None, None, :]
        elif torch_like and values.ndim >= 3:
            values = np.moveaxis(values, 1, -1)
        line = values.ndim == 3 and self.network.input_shape[0] == 1
        values = values[:, None] if line else values
        raw, cut = self.network.cut_input(values)
        settle(cut, out_of_range)
        outputs = (execute or golden.run)(self.image, raw) * self.network.output_scale
        if outputs.shape[1:3] == (1, 1):
            outputs = outputs[:, 0, 0, :]
        else:
            outputs = outputs[:, 0] if line and outputs.shape[1] == 1 else outputs
            outputs = np.moveaxis(outputs, -1, 1) if torch_like else outputs
        return inputs.new_tensor(outputs) if torch_like else outputs

    def __str__(self) -> str:
        lines = [f"{self.network.name} for {self.config.name}: image of {len(self.image.to_bytes()):,} bytes"]
        lines += [f"  {memory}" for memory in self.memory]
        lines += [f"  {certificate}" for certificate in self.certificates]
        return "\n".join(lines)

    def __rich__(self) -> Group:
        """The same as tables."""
        memories = Table("memory", "used", "of", "", "most for", title=f"{self.network.name} for {self.config.name}")
        for memory in self.memory:
            share = f"{100 * memory.used / memory.available:.0f} %"
            memories.add_row(memory.name, f"{memory.used:,}", f"{memory.available:,} {memory.unit}", share, memory.largest[0])
        proofs = Table("layer", "largest |acc|", "bits", "spare", "largest |total|", "spare", title="No sum can overflow")
        for item in self.certificates:
            proofs.add_row(
                item.layer, f"{item.bound:,}", str(item.width), str(item.margin), f"{item.total:,}", str(item.total_margin)
            )
        return Group(memories, proofs)
