"""Residual networks from the torch module to the packed image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import EVERY, random_inputs, residual_network
from oracle import run as defined
from torch import nn

import galton
from galton import cycles, golden, importer, lowering, reference, storage
from galton.compiler import compile
from galton.network import NONE

TARGETS = ("tiny", "up5k", "ecp5-25")


class Residual(nn.Module):
    """An identity shortcut, a projected and a zero-padded one, and a sum in front of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.same = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.down, self.projection = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 6, 1, stride=2)
        self.wide, self.head, self.side = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(self.same(x) + x)
        x = F.relu(self.down(x) + self.projection(x))
        x = F.relu(self.wide(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)))
        x = x.mean((2, 3))
        return self.head(x) + self.side(x)


def inputs(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(6)) ** 2


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(7)
    return Residual().eval()


OPTIONS = {
    "plain": {"method": "mcq", "k_weights": 16, "k_activations": 16},
    "dynamic": {"method": "mcq", "k_weights": 8, "k_activations": 8, "dynamic": True},
    "rounding": {"method": "mcq", "k_weights": 8, "k_activations": 8, "activations": "rounding", "correct": "mean"},
    "galton": {"method": "galton", "activations": "aciq"},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_module_network_and_images_agree(module, case):
    quantized = galton.quantize(module, inputs(), **OPTIONS[case])
    network = quantized.network
    assert sum(added != NONE for added in network.residuals) == 4
    # The norm of the tensor just before is all that the machine knows.
    free = [taken == index for index, taken in enumerate(network.inputs)]
    assert not all(free)
    for layer, normed in zip(network.layers, free, strict=True):
        assert normed or not layer.activation.dynamic
    assert any(layer.activation.dynamic for layer in network.layers) == (case == "dynamic")
    raw = network.raw_input(inputs(6).permute(0, 2, 3, 1).numpy().astype(float))
    expected = reference.run(network, raw)
    assert np.array_equal(
        quantized(inputs(6)).numpy().reshape(-1), (expected * network.output_scale).astype(np.float32).reshape(-1)
    )
    assert (defined(network, raw) == expected).all()
    for target in TARGETS:
        assert (golden.run(galton.compile(quantized, target).image, raw) == expected).all()


def test_more_samples_come_closer_to_the_float_network(module):
    """So does every sum: an error that the residual's scale made would stay."""
    errors = []
    for k in (1, 4, 16):
        quantized = galton.quantize(module, inputs(), method="mcq", k_weights=k, activations="bypass", weight_limit=119)
        with torch.no_grad():
            expected = module(inputs())
        errors.append(float((quantized(inputs()) - expected).norm() / (expected - expected.mean(0)).norm()))
    assert errors[0] > 2 * errors[1]
    assert errors[1] > errors[2]
    assert errors[2] < 0.15


def test_the_closing_fit_makes_up_for_what_the_residual_lost():
    """A shortcut whose activations were clipped: the layer that adds it has the float network's mean for all that."""

    class Clipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.one(x))
            return self.two(x) + x

    torch.manual_seed(8)
    module = Clipped().eval()
    quantized = galton.quantize(module, inputs(), method="aciq", activations="aciq", activation_bits=2)
    imported = importer.load(module, inputs())
    lowered = lowering.lower(imported.layers, imported.input_shape)
    wanted = lowered.run(inputs().double()).mean((0, 2, 3))
    network = quantized.network
    raw = network.raw_input(inputs().permute(0, 2, 3, 1).numpy().astype(float))
    traces = reference.trace(network, raw)
    lost = lowered.stages[0].finish(lowered.stages[0].sums(inputs().double())).mean((0, 2, 3)).numpy()
    lost = lost - traces[0].output.mean((0, 1, 2)) * network.layers[0].scale
    found = traces[-1].output.mean((0, 1, 2)) * network.output_scale
    assert np.abs(found - wanted.numpy()).max() < 0.25 * np.abs(lost).max()


def test_files_keep_inputs_and_residuals(module, tmp_path: Path):
    quantized = galton.quantize(module, inputs(), k_weights=4, k_activations=4)
    galton.save(quantized, tmp_path / "net.safetensors")
    network, _ = storage.load(tmp_path / "net.safetensors")
    assert (network.inputs, network.residuals) == (quantized.network.inputs, quantized.network.residuals)
    assert [layer.residual_multiplier for layer in network.layers] == [
        layer.residual_multiplier for layer in quantized.network.layers
    ]
    again = galton.load(tmp_path / "net.safetensors")
    assert torch.equal(again(inputs(4)), quantized(inputs(4)))
    assert compile(network, "tiny").image.to_bytes() == compile(quantized.network, "tiny").image.to_bytes()


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 8), marks=pytest.mark.cosim)], ids=["few", "many"])
@pytest.mark.parametrize("name", EVERY)
def test_random_networks(name: str, seeds: range) -> None:
    config, added = EVERY[name], 0
    for seed in seeds:
        network = residual_network(seed, config)
        raw = random_inputs(seed, network)
        expected = defined(network, raw, config.count_bits)
        assert (reference.run(network, raw, count_bits=config.count_bits) == expected).all(), seed
        compiled = compile(network, config)
        assert (golden.run(compiled.image, raw) == expected).all(), seed
        assert len(cycles.predict(compiled.image, raw)[0]) == len(network.layers)
        added += sum(tensor != NONE for tensor in network.residuals)
        if seed == seeds[0]:
            traces = reference.trace(compiled.network, raw, count_bits=config.count_bits)
            for found, wanted in zip(golden.trace(compiled.image, raw), traces, strict=True):
                assert found.outputs.shape == wanted.output.shape
                assert (found.outputs == wanted.output).all()
                assert (found.norms == wanted.norms).all()
    assert added >= len(seeds)
