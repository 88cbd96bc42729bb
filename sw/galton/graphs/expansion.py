"""The float network as the engine takes it: recurrent layers and attention made of linear ones, batch-norm folded."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from galton.calibration import Inputs
from galton.graphs.attention import Attention
from galton.graphs.folding import folded
from galton.graphs.recurrent import Cell, Recurrent

EXPANSIONS: dict[type[nn.Module], type[nn.Module]] = {
    nn.LSTM: Recurrent,
    nn.GRU: Recurrent,
    nn.RNN: Recurrent,
    nn.LSTMCell: Cell,
    nn.GRUCell: Cell,
    nn.RNNCell: Cell,
    nn.MultiheadAttention: Attention,
}


def prepare(module: nn.Module, example: Inputs) -> nn.Module:
    """`module`, which is that of `plain`, with its recurrent layers and attention expanded where the network runs with them."""
    example.run(module)
    expanded = expand(copy.deepcopy(module))
    try:
        example.run(expanded)
    except (AttributeError, RuntimeError):
        # The network looks into such a layer, at weights that are no more there.
        expanded = module
    return folded(expanded, example)


def expand(module: nn.Module) -> nn.Module:
    """`module` with every layer of EXPANSIONS replaced, in place. A subclass with a forward of its own stays."""
    whole = _kind(module)
    if whole is not None:
        return EXPANSIONS[whole](module)
    made: dict[int, Any] = {}
    for name, part in list(module.named_modules(remove_duplicate=False)):
        kind = _kind(part)
        if kind is not None:
            made.setdefault(id(part), (EXPANSIONS[kind](part), part))
            module.set_submodule(name, made[id(part)][0])
    return module


def _kind(part: nn.Module) -> type[nn.Module] | None:
    return next((kind for kind in EXPANSIONS if isinstance(part, kind) and type(part).forward is kind.forward), None)
