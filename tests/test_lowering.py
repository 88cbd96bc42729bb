"""Graphs of stages: sums of any two activations, projected and zero-padded shortcuts, values that several layers take."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from galton import importer
from galton.errors import UnsupportedLayer
from galton.lowering import Lowered, lower
from galton.network import NONE

SHAPE = (4, 6, 5)


class Block(nn.Module):
    """Layers to draw from, and a function of them and the input."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, (1, 3), padding=(0, 1), bias=False)
        self.strided, self.projection = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 6, 1, stride=2)
        self.norm, self.head, self.square = nn.BatchNorm2d(4), nn.Linear(120, 5), nn.Linear(120, 120)
        self.vectors = nn.BatchNorm1d(120)
        self.call = forward

    def forward(self, x):
        return self.call(self, x)


def made(forward) -> nn.Module:
    """The module with weights of its own and batch-norms as if they had been trained."""
    torch.manual_seed(3)
    module = Block(forward)
    for norm in (module.norm, module.vectors):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return module.eval()


def lowered(module: nn.Module, inputs: torch.Tensor) -> Lowered:
    """Its stages, which compute what the module does."""
    imported = importer.load(module, inputs)
    found = lower(imported.layers, imported.input_shape)
    tensors = [inputs.shape[1:]]
    for index, stage in enumerate(found.stages):
        assert 0 <= stage.source <= index
        assert NONE <= stage.residual <= index
        rows, columns, channels = stage.output_shape
        if stage.residual != NONE:
            assert tensors[stage.residual] == (channels, rows, columns)
            assert stage.pool == (1, 1)
        tensors.append((channels, rows, columns))
    outputs = found.run(inputs.double()).permute(0, 2, 3, 1).reshape(-1, *found.output_map).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(inputs.double())
    assert (outputs.reshape(expected.shape) - expected).abs().max() < 1e-5
    return found


def two_outputs_of(m, x):
    shared = m.one(x)
    return F.relu(shared) + m.two(shared)


def a_value_used_three_times(m, x):
    shared = m.one(x)
    return m.two(F.relu(shared)) + F.max_pool2d(F.pad(shared, (0, 5, 0, 6)), 2) + shared.clamp(-0.1, 0.2)


def long_skip(m, x):
    first = F.relu(m.one(x))
    second = F.relu(m.two(first) + first)
    return F.relu(m.one(second) + m.norm(first))


CONV, SAME, PICK, FULL = "convolution", "identity", "selection", "linear"
# For each stage its kind, source and residual.
CASES = {
    "identity shortcut": (lambda m, x: m.two(F.relu(m.one(x))) + m.one(x), [(CONV, 0, NONE), (CONV, 1, NONE), (CONV, 0, 2)]),
    "identity shortcut to the input": (lambda m, x: m.one(x) + x, [(CONV, 0, NONE), (SAME, 0, 1)]),
    "projection": (lambda m, x: F.relu(m.strided(x) + m.projection(x)), [(CONV, 0, NONE), (CONV, 0, 1)]),
    "zero-padded shortcut": (
        lambda m, x: m.strided(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)),
        [(CONV, 0, NONE), (SAME, 0, NONE), (SAME, 2, NONE), (PICK, 3, 1)],
    ),
    "the input and itself": (lambda m, x: x + x, [(SAME, 0, NONE), (SAME, 0, 1)]),
    "a value and itself": (lambda m, x: 0.5 * (m.one(x) + m.one(x)), [(CONV, 0, NONE), (CONV, 0, 1), (SAME, 2, NONE)]),
    "twice a value": (lambda m, x: (lambda y: y + y)(m.one(x)), [(CONV, 0, NONE), (SAME, 1, 1)]),
    "difference": (lambda m, x: m.one(x) - m.two(x), [(CONV, 0, NONE), (CONV, 0, 1)]),
    "sum with a factor": (lambda m, x: torch.add(m.one(x), m.two(x), alpha=2), [(CONV, 0, NONE), (CONV, 0, 1)]),
    "sum, relu": (lambda m, x: F.relu(m.one(x) + m.two(x)), [(CONV, 0, NONE), (CONV, 0, 1)]),
    "sum, max-pool": (lambda m, x: F.max_pool2d(m.one(x) + m.two(x), 2), [(CONV, 0, NONE), (CONV, 0, 1), (SAME, 2, NONE)]),
    "sum, batch-norm": (lambda m, x: m.norm(m.one(x) + m.two(x)), [(CONV, 0, NONE), (CONV, 0, 1), (SAME, 2, NONE)]),
    "batch-norm, sum": (lambda m, x: m.norm(m.one(x)) + m.two(x), [(CONV, 0, NONE), (CONV, 0, 1)]),
    "relu, sum": (lambda m, x: m.one(x) + F.relu(m.two(x)), [(CONV, 0, NONE), (CONV, 0, NONE), (SAME, 2, 1)]),
    "max-pools, sum": (
        lambda m, x: F.max_pool2d(m.one(x), 2) + F.max_pool2d(m.two(x), 2),
        [(CONV, 0, NONE), (CONV, 0, NONE), (SAME, 2, 1)],
    ),
    "three terms": (lambda m, x: m.one(x) + m.two(x) + m.one(x), [(CONV, 0, NONE), (CONV, 0, 1), (CONV, 0, 2)]),
    "a sum of sums": (
        lambda m, x: (m.one(x) + m.two(x)) + (m.two(F.relu(x)) + m.one(F.relu(x))),
        [(CONV, 0, NONE), (CONV, 0, 1), (SAME, 0, NONE), (CONV, 3, NONE), (SAME, 0, NONE), (CONV, 5, 4), (SAME, 6, 2)],
    ),
    "zeros around one term": (
        lambda m, x: F.pad(m.one(x)[:, :, ::2, ::2], (1, 1, 2, 1)) + m.two(x)[:, :, :6, :5],
        [(CONV, 0, NONE), (SAME, 1, NONE), (SAME, 2, NONE), (CONV, 0, NONE), (SAME, 3, 4)],
    ),
    "a relu on a shared value": (two_outputs_of, [(CONV, 0, NONE), (SAME, 1, NONE), (CONV, 1, 2)]),
    "a shared value as output": (
        lambda m, x: (lambda y: m.two(F.relu(y)) + y)(m.one(x)),
        [(CONV, 0, NONE), (SAME, 1, NONE), (CONV, 2, 1)],
    ),
    "three times": (
        a_value_used_three_times,
        [(CONV, 0, NONE), (SAME, 1, NONE), (CONV, 2, NONE), (SAME, 1, NONE), (SAME, 4, 3), (SAME, 1, NONE), (SAME, 6, 5)],
    ),
    "long skip": (long_skip, [(CONV, 0, NONE), (CONV, 1, 1), (CONV, 2, NONE), (SAME, 1, 3)]),
    "vectors": (
        lambda m, x: m.square(x.flatten(1)) + m.square(F.relu(x).flatten(1)),
        [(FULL, 0, NONE), (SAME, 0, NONE), (FULL, 2, 1)],
    ),
    "vectors of one map": (
        lambda m, x: (lambda y: m.head(y.flatten(1) + F.relu(y.flatten(1))))(m.one(x)),
        [(CONV, 0, NONE), (SAME, 1, NONE), (SAME, 2, 1), (FULL, 3, NONE)],
    ),
    "a vector of a map and one of its own": (
        lambda m, x: m.head(m.one(x).flatten(1) + m.square(x.flatten(1))),
        [(CONV, 0, NONE), (FULL, 0, NONE), (PICK, 1, 2), (FULL, 3, NONE)],
    ),
    "a map and its batch-norm as vectors": (
        lambda m, x: (lambda y: y + m.vectors(y))(m.one(x).flatten(1)),
        [(CONV, 0, NONE), (SAME, 1, NONE), (SAME, 1, 2)],
    ),
    "sum, then flattened": (
        lambda m, x: m.head((m.one(x) + m.two(x)).flatten(1)),
        [(CONV, 0, NONE), (CONV, 0, 1), (FULL, 2, NONE)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sums(case):
    forward, expected = CASES[case]
    found = lowered(made(forward), torch.randn(3, *SHAPE))
    assert [(stage.kind, stage.source, stage.residual) for stage in found.stages] == expected


def test_vectors_of_a_network_without_maps():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(7, 7), nn.BatchNorm1d(7)

        def forward(self, x):
            x = F.relu(self.norm(self.fc(x)) + x)
            return self.norm(self.fc(x) + x)

    torch.manual_seed(4)
    module = Residual().eval()
    module.norm.running_mean.normal_()
    assert [stage.kind for stage in lowered(module, torch.randn(3, 7)).stages] == [FULL, SAME, FULL, SAME]


def test_what_follows_a_shared_value_leaves_its_other_users_alone():
    """Every kind of layer that is otherwise folded into the stage before."""
    for change in (F.relu, lambda y: F.max_pool2d(y, 2), lambda y: y * 2 + 1, lambda y: F.pad(y, (1, 1, 1, 1))):
        module = made(lambda m, x, change=change: (lambda y: m.two(y).mean((2, 3)) + change(y).mean((2, 3)))(m.one(x)))
        stages = lowered(module, torch.randn(3, *SHAPE)).stages
        assert (stages[0].low, stages[0].high, stages[0].pool) == (-torch.inf, torch.inf, (1, 1))


class Graph(nn.Module):
    """A random graph of layers that keep their shape, and sums."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList(
            nn.Conv2d(3, 3, 3, padding=1) if kind == "convolution" else nn.BatchNorm2d(3) for kind, _, _ in steps
        )

    def forward(self, x):
        values = [x]
        for (kind, one, other), layer in zip(self.steps, self.layers, strict=True):
            taken = values[one % len(values)]
            match kind:
                case "sum":
                    result = taken + values[other % len(values)]
                case "relu":
                    result = F.relu(taken)
                case "padding":
                    result = F.max_pool2d(F.pad(taken, (1, 3, 4, 0)), 2)
                case "slice":
                    result = F.pad(taken[:, :, ::2, ::2], (1, 1, 0, 2))
                case "clamp":
                    result = taken.clamp(-0.5, 0.3)
                case _:
                    result = layer(taken)
            values.append(result)
        return sum(values[1:], values[0])


@settings(deadline=None, max_examples=10)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sum", "sum", "convolution", "relu", "clamp", "norm", "padding", "slice"]),
            st.integers(0, 20),
            st.integers(0, 20),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_random_graphs(steps):
    torch.manual_seed(5)
    module = Graph(steps).eval()
    for layer in module.layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            nn.init.normal_(layer.weight)
    lowered(module, torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda m, x: m.one(x) * m.two(x), "product of two activations; use layers that take one activation, or sums of two"),
        (lambda m, x: m.one(x) + m.two(x).mean((2, 3), keepdim=True), "a sum of shapes (2, 4, 6, 5) and (2, 4, 1, 1); use"),
        (lambda m, x: m.one(x)[:, :, 1::2], "a slice; use slices of all rows or columns with steps up to 4"),
        (lambda m, x: m.one(x)[:, :, :, :3], "a slice; use slices of all rows"),
        (lambda m, x: m.one(x)[:, ::2], "a slice; use slices of all rows"),
        (lambda m, x: m.one(x)[:, :, ::5], "a slice; use slices of all rows"),
        (lambda m, x: (m.one(x), m.two(x)), "a network with several outputs; use one output"),
    ],
)
def test_what_is_refused(forward, message):
    with pytest.raises(UnsupportedLayer) as caught:
        importer.load(made(forward), torch.randn(2, *SHAPE))
    assert message in str(caught.value)
