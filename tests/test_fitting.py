"""The fit of single layers, where networks of ordinary size do not lead."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import galton
from galton import fitting, golden


def test_dynamic_norms_beyond_16_bits() -> None:
    """A hidden tensor whose norm passes 2^16, as its size times its mean does, is scaled by it all the same."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    inputs = torch.rand(20, 3, 20, 20)
    quantized = galton.quantize(network.eval(), inputs, dynamic=True)
    compiled = galton.compile(quantized, target="up5k")
    raw = quantized.network.raw_input(inputs[:4].permute(0, 2, 3, 1).numpy())
    norms = golden.trace(compiled.image, raw)[1].norms
    assert norms.min() >= 1 << 16
    outputs = compiled.run(inputs[:4])
    assert np.allclose(outputs, quantized(inputs[:4]).numpy())
    expected = network(inputs[:4]).detach().numpy()
    assert np.corrcoef(outputs.reshape(-1), expected.reshape(-1))[0, 1] > 0.95


def test_a_channel_whose_sums_are_constant_but_for_rounding_keeps_its_step() -> None:
    target = np.random.default_rng(0).standard_normal((1000, 1, 1, 2))
    sums = np.concatenate([np.full((1000, 1, 1, 1), 0.1), target[..., 1:] * 2], axis=3)
    assert 0 < sums[..., 0].var() < 1e-30
    scale, bias = fitting.closing(sums, target, np.full(2, 0.7))
    assert np.allclose(scale, [0.7, 0.5])
    assert np.isclose(bias[0], target[..., 0].mean() - 0.07)
