"""Maps of one dimension, and maps in rows of other lengths, all the way: torch module, integers, packed bytes, cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import EVERY, random_inputs
from torch import Tensor, nn

import galton
from galton import cycles, golden, reference
from galton.cli.inputs import in_order
from galton.compiler import compile
from galton.errors import CalibrationError
from galton.network import Activation, Layer, Network

pytestmark = pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
TARGETS = ("tiny", "ecp5-25", "ecp5-85")


class Wave(nn.Module):
    """A residual network on samples over time, pooled over all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU())
        self.depth = nn.Conv1d(6, 6, 4, padding="same", groups=6)
        self.point = nn.Conv1d(6, 6, 1)
        self.pool, self.fc = nn.AdaptiveAvgPool1d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = (self.point(self.depth(x).relu()) + x).relu()
        return self.fc(self.pool(x).flatten(1))


class Folded(nn.Module):
    """A line that becomes a map of two rows, and a line again."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.flat = nn.Conv1d(2, 5, 3, padding=1), nn.Conv2d(5, 5, (2, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.line(x).relu()
        return self.flat(y.reshape(-1, 5, 2, x.shape[2] // 2)).squeeze(2) + y[:, :, ::2]


@pytest.mark.parametrize("make", [Wave, Folded])
def test_everything_agrees(make: type[nn.Module]) -> None:
    torch.manual_seed(1)
    module, inputs = make().eval(), torch.rand(24, 2, 40)
    quantized = galton.quantize(module, inputs, engine="accelerator")
    assert quantized.network.input_shape == (1, 40, 2)
    found, expected = quantized(inputs), module(inputs).detach()
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.1 * expected.norm()
    for target in TARGETS:
        compiled = galton.compile(quantized, target)
        assert torch.equal(compiled.run(inputs), found)
        pixels = inputs.permute(0, 2, 1).numpy().astype(float)
        values = compiled.run(pixels)
        channels_last = found if found.ndim == 2 else found.permute(0, 2, 1)
        assert np.array_equal(values.astype(np.float32), channels_last.numpy())
        assert np.array_equal(compiled.run(pixels[:, None]).reshape(values.shape), values)
        raw = quantized.network.raw_input(pixels[:2, None])
        assert len(cycles.predict(compiled.image, raw)[0]) == len(quantized.network.layers)
    with pytest.raises(CalibrationError, match=r"has shape \(24, 2, 1, 40\), expected \(n, 2, 40\)"):
        quantized(inputs[:, :, None])


def test_files_of_lines() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(in_order(values, (1, 4, 3)), values[:, :, None].transpose(0, 2, 3, 1))
    assert np.array_equal(in_order(values, (1, 3, 4)), values[:, None])
    with pytest.raises(CalibrationError, match="the file holds"):
        in_order(values, (1, 5, 4))


@pytest.mark.parametrize("name", EVERY)
def test_rows_of_any_length(name: str) -> None:
    """A layer on the rows of another one in other lengths, its channels padded and permuted as theirs."""
    rng = np.random.default_rng(5)

    def layer(shape: tuple[int, int, int], outputs: int, *, elementwise: bool = False) -> Layer:
        weights = rng.integers(-1, 2, size=(outputs, 3, 2, 1 if elementwise else shape[2]))
        numbers = rng.integers(1, 400, size=outputs), rng.integers(0, 1 << 16, size=outputs)
        options = {"padding": (1, 1, 1, 0), "elementwise": elementwise}
        return Layer("x", shape, weights, *numbers, 12, 0, 127, Activation("rounding", 1 << 14, 0, 1 << 15), **options)

    layers = (layer((4, 6, 3), 5), layer((2, 12, 5), 5, elementwise=True), layer((8, 3, 5), 5), layer((1, 1, 120), 2))
    layers = (*layers[:3], replace(layers[3], weights=layers[3].weights[:, :1, :1], padding=(0, 0, 0, 0)))
    network = Network("x", (4, 6, 3), tuple(replace(item, name=f"layer{index}") for index, item in enumerate(layers)))
    raw = random_inputs(2, network)
    expected = reference.run(network, raw, count_bits=EVERY[name].count_bits)
    assert (golden.run(compile(network, EVERY[name]).image, raw) == expected).all()
    other = layer((2, 15, 4), 5)
    with pytest.raises(ValueError, match=r"x takes an input of shape \(2, 15, 4\), but gets \(4, 6, 5\)"):
        Network("x", (4, 6, 3), (network.layers[0], other))
