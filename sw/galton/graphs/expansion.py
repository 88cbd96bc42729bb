"""The float network as the engine takes it: recurrent layers and attention made of linear ones, batch-norm folded."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Prepared:
    """A float network; owners: by name of a part that was made here, that of the layer that it is a part of."""

    module: nn.Module
    owners: dict[str, str]

    def names(self, name: str) -> list[str]:
        """What a layer may be called by in patterns: the name of what it is a part of, and its own."""
        return [self.owners[name], name] if name in self.owners else [name]

    def called(self, names: Iterable[str]) -> list[list[str]]:
        """`names` of every layer."""
        return [self.names(name) for name in names]


def prepare(module: nn.Module, example: Inputs) -> Prepared:
    """`module`, which is that of `plain`, with its recurrent layers and attention expanded where the network runs with them."""
    example.run(module)
    expanded, owners = expand(copy.deepcopy(module))
    if owners:
        try:
            example.run(expanded)
        except (AttributeError, RuntimeError):
            # The network looks into such a layer, at weights that are no more there.
            expanded, owners = module, {}
    return Prepared(folded(expanded, example), owners)


def expand(module: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """`module` with every layer of EXPANSIONS replaced, in place, and the `owners`.

    A subclass with a forward of its own stays.
    """
    whole = _kind(module)
    if whole is not None:
        module = EXPANSIONS[whole](module)
        return module, {name: name for name, _ in module.named_modules() if name}
    found = [(name, _kind(part)) for name, part in module.named_modules(remove_duplicate=False)]
    owners: dict[str, str] = {}
    made: dict[int, Any] = {}
    for name, kind in found:
        if kind is None:
            continue
        part = module.get_submodule(name)
        made.setdefault(id(part), (EXPANSIONS[kind](part), part))
        module.set_submodule(name, made[id(part)][0])
        owners.update({f"{name}.{inner}": name for inner, _ in made[id(part)][0].named_modules() if inner})
    return module, owners


def _kind(part: nn.Module) -> type[nn.Module] | None:
    return next((kind for kind in EXPANSIONS if isinstance(part, kind) and type(part).forward is kind.forward), None)
