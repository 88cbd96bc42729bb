"""Recurrent layers, attention and unusual modules: what is made of them computes the same, and is quantized like the rest."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, rnn

import galton
from galton import graphs
from galton.errors import GaltonError, UnquantizedWarning
from galton.graphs.attention import Attention
from galton.graphs.expansion import expand
from galton.graphs.folding import flatten
from galton.graphs.recurrent import Cell, Recurrent

quantize = partial(galton.quantize, engine="graph", method="nearest", activations="bypass", weight_limit=119)
"""So fine that the outputs hardly change."""


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().norm() / other.detach().norm())


def same(one: object, other: object) -> bool:
    """Whether two networks return the same to six digits."""
    pairs = list(zip(flatten(one), flatten(other), strict=True))
    return bool(pairs) and all(a.shape == b.shape and torch.allclose(a, b, atol=1e-6) for a, b in pairs)


RECURRENT = {
    "lstm": partial(nn.LSTM, 5, 4),
    "deep": partial(nn.LSTM, 5, 4, num_layers=2, batch_first=True, bidirectional=True),
    "projection": partial(nn.LSTM, 5, 4, num_layers=2, proj_size=3, bidirectional=True, bias=False),
    "gru": partial(nn.GRU, 5, 4, num_layers=2, batch_first=True, bidirectional=True),
    "tanh": partial(nn.RNN, 5, 4, batch_first=True),
    "relu": partial(nn.RNN, 5, 4, nonlinearity="relu", bias=False),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize("kind", RECURRENT)
@torch.no_grad()
def test_recurrent_layers_compute_the_same(kind):
    torch.manual_seed(0)
    layer = RECURRENT[kind]()
    made, values = Recurrent(layer), torch.randn(3, 3, 5)
    outputs, state = layer(values)
    assert same(made(values), (outputs, state))
    assert same(made(values, state), layer(values, state))
    assert same(made(values[0]), layer(values[0]))
    first = tuple(part[:, 0] for part in state) if isinstance(state, tuple) else state[:, 0]
    assert same(made(values[0], first), layer(values[0], first))
    made.flatten_parameters()


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("ordered", [True, False])
@torch.no_grad()
def test_packed_sequences(kind, ordered):
    torch.manual_seed(1)
    layer, lengths = RECURRENT[kind](), torch.tensor([4, 2, 1] if ordered else [2, 4, 4])
    packed = rnn.pack_padded_sequence(torch.randn(3, 4, 5), lengths, batch_first=True, enforce_sorted=ordered)
    (found, states), (expected, finals) = Recurrent(layer)(packed), layer(packed)
    assert same(found.data, expected.data)
    assert torch.equal(found.batch_sizes, expected.batch_sizes)
    assert same(rnn.pad_packed_sequence(found)[0], rnn.pad_packed_sequence(expected)[0])
    assert same(states, finals)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell, partial(nn.RNNCell, nonlinearity="relu")])
@torch.no_grad()
def test_cells_compute_the_same(kind):
    torch.manual_seed(0)
    cell, values = kind(5, 4), torch.randn(3, 5)
    state = cell(values)
    assert same(Cell(cell)(values), state)
    assert same(Cell(cell)(values, state), cell(values, state))


ATTENTION = {
    "plain": {},
    "batch first": {"batch_first": True},
    "other sizes": {"kdim": 5, "vdim": 7, "bias": False},
    "extras": {"add_bias_kv": True, "add_zero_attn": True},
}


@pytest.mark.parametrize("kind", ATTENTION)
@pytest.mark.parametrize("masks", [False, True])
@torch.no_grad()
def test_attention_computes_the_same(kind, masks):
    torch.manual_seed(0)
    options = ATTENTION[kind]
    layer = nn.MultiheadAttention(8, 2, **options).eval()
    made, count, times, keys = Attention(layer), 3, 4, 6
    shapes = ((count, times, 8), (count, keys, options.get("kdim", 8)), (count, keys, options.get("vdim", 8)))
    values = [torch.randn(shape) for shape in shapes]
    if not options.get("batch_first"):
        values = [part.transpose(0, 1) for part in values]
    named = {}
    if masks:
        padding = torch.zeros(count, keys, dtype=torch.bool)
        padding[1, 4:] = True
        named = {"key_padding_mask": padding, "attn_mask": torch.rand(times, keys) < 0.2}
        full = named | {"average_attn_weights": False}
        full["key_padding_mask"] = torch.zeros(count, keys).masked_fill(padding, -torch.inf)
        full["attn_mask"] = torch.randn(count * 2, times, keys)
        assert same(made(*values, **full), layer(*values, **full))
    assert same(made(*values, **named), layer(*values, **named))
    assert same(made(*values, need_weights=False), layer(*values, need_weights=False))
    alone = [part[0] if options.get("batch_first") else part[:, 0] for part in values]
    assert same(made(*alone), layer(*alone))


@pytest.mark.parametrize("kind", [*RECURRENT, "transformer"])
@torch.no_grad()
def test_they_are_quantized(kind):
    torch.manual_seed(0)
    if kind == "transformer":
        module: nn.Module = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
        inputs = (torch.randn(40, 4, 8), torch.randn(40, 3, 8))
        quantized = quantize(module, [(inputs,)], k_weights=30)
        assert len(quantized.integers) == 4 + 2 + 8 + 2
    else:
        module, inputs = RECURRENT[kind](), (torch.randn(40, 6, 5),)
        quantized = quantize(module, inputs[0], k_weights=30)
        assert quantized.integers["0.hidden"].shape[1] == (3 if kind == "projection" else 4)
    for one, other in zip(flatten(quantized(*inputs)), flatten(module(*inputs)), strict=True):
        assert distance(one, other) < 0.05
    assert quantized.left == []


def test_a_whole_layer_is_skipped_and_set_by_its_name():
    torch.manual_seed(0)

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.last = nn.GRU(5, 6, num_layers=2), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.cells(x)[0])

    chain, values = Chain(), torch.randn(40, 6, 5)
    assert list(quantize(chain, values, skip="cells").integers) == ["last"]
    own = {"cells": {"weight_limit": 3}, "cells.1.input": {"weight_limit": 1}}
    found = quantize(chain, values, layers=own).integers
    assert [abs(found[f"cells.{name}"]).max() for name in ("0.input", "0.hidden", "1.input", "1.hidden")] == [3, 3, 1, 3]


def test_a_network_that_looks_into_a_layer_keeps_it_in_float():
    class Nosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.last = nn.LSTM(5, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.cell(x)[0]) * self.cell.weight_hh_l0.mean()

    torch.manual_seed(0)
    with pytest.warns(UnquantizedWarning, match=r"stay in float:\n  cell.weight_ih_l0\n  cell.weight_hh_l0"):
        assert list(quantize(Nosy(), torch.randn(40, 6, 5)).integers) == ["last"]


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(input=x).relu())


def pruned(module: Doubled) -> nn.Module:
    prune.l1_unstructured(module.first, "weight", 0.5)
    return module


def weight_normed(module: Doubled) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(module.first)
    module(torch.randn(3, 5)).sum().backward()
    return module


def parametrized(module: Doubled) -> nn.Module:
    parametrizations.weight_norm(module.first)
    parametrizations.orthogonal(module.second)
    return module


FORMS = {
    "half": Doubled.half,
    "bfloat16": Doubled.bfloat16,
    "double": Doubled.double,
    "training": Doubled.train,
    "compiled": partial(torch.compile, backend="eager"),
    "part compiled": lambda module: nn.Sequential(torch.compile(module, backend="eager"), nn.Identity()),
    "parallel": nn.DataParallel,
    "pruned": pruned,
    "weight norm": weight_normed,
    "parametrized": parametrized,
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_a_module(form):
    torch.manual_seed(0)
    module = FORMS[form](Doubled())
    before = {name: values.clone() for name, values in module.state_dict().items()}
    inputs = torch.randn(40, 5)
    quantized = quantize(module, inputs)
    assert [name.removeprefix("0.") for name in quantized.integers] == ["first", "second"]
    plain = graphs.plain(module)
    assert distance(quantized(inputs), plain(inputs)) < 0.02
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
    if form in ("double", "pruned", "weight norm", "parametrized"):
        assert torch.allclose(module(inputs.to(next(module.parameters()).dtype)).float(), plain(inputs), atol=1e-5)


def test_embeddings_of_bounded_norm():
    torch.manual_seed(0)
    module, ids = nn.Sequential(nn.Embedding(9, 6, max_norm=1.0), nn.Linear(6, 4)), torch.randint(0, 9, (40, 3))
    expected = copy.deepcopy(module)(ids)
    assert distance(quantize(module, ids)(ids), expected) < 0.02


def test_what_is_no_float_network_is_refused():
    with pytest.raises(GaltonError, match="weight has no values yet: run the network once"):
        quantize(nn.LazyLinear(4), torch.randn(40, 5))
    with pytest.raises(GaltonError, match=r"The network is str, expected a torch.nn.Module"):
        quantize("resnet", torch.randn(40, 5))
    quantized = quantize(Doubled(), torch.randn(40, 5))
    with pytest.raises(GaltonError, match="quantized already"):
        quantize(quantized, torch.randn(40, 5))


def test_subclasses_with_a_forward_of_their_own_stay():
    class Own(nn.LSTM):
        def forward(self, input: Tensor, hx: object = None) -> Tensor:
            return super().forward(input, hx)[0]

    module = nn.Sequential(Own(3, 3), nn.GRU(3, 3))
    assert [type(part) for part in expand(module)] == [Own, Recurrent]
