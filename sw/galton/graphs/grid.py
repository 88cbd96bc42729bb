"""What the machine makes of an activation: raw bytes of a calibrated scale, then counts, then their real values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galton import clipping, streaming
from galton.arith import HALF, ONE, initial_residue, sample_count
from galton.fitting import COUNT_LIMIT, LARGEST_STEP, raw_range
from galton.network import Activation, Ints

FLOAT_BITS = 32


@dataclass(frozen=True)
class Grid:
    """Counts of a layer's input.

    scale: of a raw step; low, high: range of the raw bytes. axis: that of the channels from behind, which the walk goes through
    first.
    """

    activation: Activation
    scale: float
    low: int
    high: int
    axis: int

    @classmethod
    def choose(cls, extremes: Tensor, quantized: Sequence[Tensor], axis: int, fine: bool, options: Mapping[str, Any]) -> Grid:
        """The grid for inputs of the float network within `extremes`, and the mean of the quantized network's, call by call.

        fine: the raw bytes themselves.
        """
        smallest, largest = min(float(extremes.min()), 0.0), max(float(extremes.max()), 0.0)
        scale, low, high = raw_range(smallest, largest, signed=smallest < 0)
        if options["activations"] == "float":
            return Untouched(Activation(), scale, low, high, axis)
        plain = cls(Activation(), scale, low, high, axis)
        if fine or options["activations"] == "bypass":
            return plain
        if options["activations"] == "aciq":
            known = np.concatenate([values.numpy().reshape(-1) for values in quantized])
            limit = clipping.edge(known, options["activation_bits"], options["activation_clipping"], relu=smallest == 0)
            scale, low, high = raw_range(max(smallest, -limit), min(largest, limit), signed=smallest < 0)
            step = clipping.step(options["activation_bits"], low, high)
            zone = min(round(options["dead_zone"] * ONE / step), COUNT_LIMIT)
            return cls(Activation("rounding", step, 0, HALF, zone), scale, low, high, axis)
        total = sum(int(np.abs(plain.raw(values)).sum()) for values in quantized)
        mean = total / max(sum(values.numel() for values in quantized), 1)
        k = options["k_activations"]
        zone = min(round(options["dead_zone"] * mean / k), COUNT_LIMIT)
        residue = HALF if options["activations"] == "rounding" else initial_residue(options["xi"])
        if options["dynamic"]:
            samples = max(1, sample_count(k, quantized[0][0].numel()))
            return cls(Activation(options["activations"], 0, samples, residue, zone), scale, low, high, axis)
        step = min(max(round(ONE * k / mean), 1), LARGEST_STEP) if mean else LARGEST_STEP
        return cls(Activation(options["activations"], step, 0, residue, zone), scale, low, high, axis)

    def raw(self, values: Tensor) -> Ints:
        """Raw bytes (n, size) in walk order."""
        walked = values.movedim(self.axis, -1).reshape(len(values), -1)
        raw: Ints = torch.floor(walked / self.scale + 0.5).clamp(self.low, self.high).long().numpy()
        return raw

    def counts(self, values: Tensor) -> tuple[Tensor, Ints]:
        """Signed counts in the shape of `values`, float32, and how many were cut of each input."""
        raw = self.raw(values)
        counts, cut = streaming.counts(raw, self.activation)
        return self._shaped(counts, values), cut

    def __call__(self, values: Tensor) -> Tensor:
        """The real values that the layer multiplies with."""
        if self.activation.mode == "monte_carlo" or self.activation.dynamic:
            counts, _ = self.counts(values)
            units = torch.from_numpy(self._units(self.raw(values))).float()
            return counts * units.reshape(-1, *[1] * (values.ndim - 1))
        places = torch.floor(values / self.scale + 0.5).clamp_(self.low, self.high).int() - self.low
        return self._table[places]

    def bits(self, counts: Tensor) -> tuple[int, int]:
        """Bits of the largest count, without and with a sign."""
        largest = int(counts.abs().max()).bit_length() if counts.numel() else 0
        return largest, largest + (self.low < 0)

    @cached_property
    def _table(self) -> Tensor:
        """The real value of every raw byte, for quantizers that carry nothing."""
        raw = np.arange(self.low, self.high + 1)[:, None]
        counts, _ = streaming.counts(raw, self.activation)
        return torch.from_numpy(counts[:, 0] * self._units(raw)).float()

    def _units(self, raw: Ints) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The real value of a count of each input."""
        if self.activation.dynamic:
            return self.scale * streaming.effective_norms(raw, self.activation) / self.activation.samples
        return np.full(len(raw), self.scale * (1 if self.activation.mode == "bypass" else ONE / self.activation.step))

    def _shaped(self, walked: Ints, values: Tensor) -> Tensor:
        shape = values.movedim(self.axis, -1).shape
        return torch.from_numpy(walked).float().reshape(shape).movedim(-1, self.axis).contiguous()


class Untouched(Grid):
    """Activations that stay float: 32 bits, and no samples."""

    def counts(self, values: Tensor) -> tuple[Tensor, Ints]:
        """1 for what is not zero."""
        return (values != 0).float(), np.zeros(len(values), np.int64)

    def bits(self, counts: Tensor) -> tuple[int, int]:
        """Those of a float."""
        del counts
        return FLOAT_BITS, FLOAT_BITS

    def __call__(self, values: Tensor) -> Tensor:
        """The values."""
        return values


MODES = ("bypass", "rounding", "monte_carlo", "float")


class Counts(nn.Module):
    """The grid of a layer, as a part of it: its numbers are in the state dict."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, values: Tensor) -> Tensor:
        """The real values that the layer multiplies with."""
        return self.grid(values)

    def get_extra_state(self) -> Tensor:
        """The grid as nine numbers."""
        grid, activation = self.grid, self.grid.activation
        mode = "float" if isinstance(grid, Untouched) else activation.mode
        rule = (MODES.index(mode), activation.step, activation.samples, activation.residue, activation.dead_zone)
        return torch.tensor([*rule, grid.scale, grid.low, grid.high, grid.axis], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of get_extra_state."""
        mode, step, samples, residue, zone, scale, low, high, axis = state.tolist()
        name = MODES[int(mode)]
        activation = Activation("bypass" if name == "float" else name, int(step), int(samples), int(residue), int(zone))
        self.grid = (Untouched if name == "float" else Grid)(activation, scale, int(low), int(high), int(axis))
