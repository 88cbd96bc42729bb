"""Recurrent layers as linear ones that are called at every step: what quantizes a linear layer quantizes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

State = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, State], State]
PUBLIC = ("mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")


def lstm(taken: Tensor, kept: Tensor, state: State) -> State:
    """(h, c) of the gates' sums over the input and over the state."""
    i, f, g, o = (taken + kept).chunk(4, dim=-1)
    cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def gru(taken: Tensor, kept: Tensor, state: State) -> State:
    """(h,) of the gates' sums over the input and over the state."""
    (ri, zi, ni), (rh, zh, nh) = taken.chunk(3, dim=-1), kept.chunk(3, dim=-1)
    z = (zi + zh).sigmoid()
    return ((1 - z) * (ni + (ri + rh).sigmoid() * nh).tanh() + z * state[0],)


def tanh(taken: Tensor, kept: Tensor, _: State) -> State:
    """(h,) of a plain recurrent layer."""
    return ((taken + kept).tanh(),)


def relu(taken: Tensor, kept: Tensor, _: State) -> State:
    """(h,) of a plain recurrent layer."""
    return ((taken + kept).relu(),)


STEPS: dict[str, Step] = {"LSTM": lstm, "GRU": gru, "RNN_TANH": tanh, "RNN_RELU": relu}


class Direction(nn.Module):
    """One layer in one direction: `input` of what comes in, `hidden` of the state, `projection` of an LSTM that has one."""

    def __init__(self, layer: nn.RNNBase, suffix: str) -> None:
        super().__init__()
        self.input = _linear(layer, f"weight_ih_{suffix}", f"bias_ih_{suffix}")
        self.hidden = _linear(layer, f"weight_hh_{suffix}", f"bias_hh_{suffix}")
        self.projection = _linear(layer, f"weight_hr_{suffix}", "") if layer.proj_size else None
        self.step, self.backwards = STEPS[layer.mode], suffix.endswith("_reverse")

    def forward(self, values: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Outputs (n, time, features) of (n, time, features), and the last state; of each input only its length counts."""
        taken, outputs = self.input(values), []
        times = range(values.shape[1])
        for time in reversed(times) if self.backwards else times:
            new = self.step(taken[:, time], self.hidden(state[0]), state)
            if self.projection is not None:
                new = (self.projection(new[0]), new[1])
            if lengths is not None:
                alive = (lengths > time)[:, None]
                new = tuple(torch.where(alive, one, other) for one, other in zip(new, state, strict=True))
            state = new
            outputs.append(new[0])
        return torch.stack(outputs[::-1] if self.backwards else outputs, dim=1), state


class Recurrent(nn.Module):
    """An nn.LSTM, nn.GRU or nn.RNN, its directions numbered as its final states are."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        for name in PUBLIC:
            setattr(self, name, getattr(layer, name))
        self.batch_first, self.long = layer.batch_first, layer.mode == "LSTM"
        self.sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 1 + self.long]
        ends = ["", "_reverse"][: 1 + layer.bidirectional]
        for number, suffix in enumerate(f"l{place}{end}" for place in range(layer.num_layers) for end in ends):
            self.add_module(str(number), Direction(layer, suffix))
        self.wide = len(ends)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # named as torch does
        """As the layer that it stands for."""
        values, lengths = pad_packed_sequence(input, batch_first=True) if isinstance(input, PackedSequence) else (input, None)
        single = values.ndim == 2
        if single:
            values = values[None]
        elif lengths is None and not self.batch_first:
            values = values.transpose(0, 1)
        directions: Any = list(self.children())
        states = self._states(hx, values, len(directions), single)
        last: list[State] = []
        for start in range(0, len(directions), self.wide):
            found = [
                direction(values, states[start + place], lengths)
                for place, direction in enumerate(directions[start : start + self.wide])
            ]
            values = torch.cat([outputs for outputs, _ in found], dim=2)
            last += [state for _, state in found]
        finals = [torch.stack(parts) for parts in zip(*last, strict=True)]
        finals = [part[:, 0] for part in finals] if single else finals
        outputs: Any = values
        if isinstance(input, PackedSequence):
            outputs = _packed(values, lengths, input)
        elif single or not self.batch_first:
            outputs = values[0] if single else values.transpose(0, 1)
        return outputs, tuple(finals) if self.long else finals[0]

    def _states(self, given: Any, values: Tensor, count: int, single: bool) -> list[State]:
        """The first state of each direction."""
        if given is None:
            return [tuple(values.new_zeros(len(values), size) for size in self.sizes)] * count
        parts = [part[:, None] if single else part for part in (given if self.long else (given,))]
        return [tuple(part[number] for part in parts) for number in range(count)]

    def flatten_parameters(self) -> None:
        """Nothing to do: torch's recurrent layers have it, and networks call it."""


class Cell(nn.Module):
    """An nn.LSTMCell, nn.GRUCell or nn.RNNCell."""

    def __init__(self, layer: nn.RNNCellBase) -> None:
        super().__init__()
        self.input = _linear(layer, "weight_ih", "bias_ih")
        self.hidden = _linear(layer, "weight_hh", "bias_hh")
        self.long = isinstance(layer, nn.LSTMCell)
        self.input_size, self.hidden_size = layer.input_size, layer.hidden_size
        kind = f"RNN_{layer.nonlinearity.upper()}" if isinstance(layer, nn.RNNCell) else type(layer).__name__.removesuffix("Cell")
        self.step = STEPS[kind]

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # named as torch does
        """As the cell that it stands for."""
        zero = input.new_zeros(*input.shape[:-1], self.hidden_size)
        state: State = (zero, zero) if hx is None else tuple(hx) if self.long else (hx,)
        new = self.step(self.input(input), self.hidden(state[0]), state)
        return new if self.long else new[0]


def _linear(layer: nn.Module, weight: str, bias: str) -> Any:
    """A linear layer with parameters of another one, shared with it."""
    values: Any = getattr(layer, weight)
    result: Any = nn.Linear(values.shape[1], values.shape[0], bias=False, device="meta")
    result.weight, result.bias = values, getattr(layer, bias, None) if bias else None
    return result


def _packed(values: Tensor, lengths: Any, given: PackedSequence) -> PackedSequence:
    """Outputs (n, time, features) packed as the inputs were."""
    order = given.sorted_indices
    if order is not None:
        values, lengths = values[order], lengths[order.cpu()]
    data = pack_padded_sequence(values, lengths, batch_first=True).data
    return PackedSequence(data, given.batch_sizes, order, given.unsorted_indices)
