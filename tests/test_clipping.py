"""Activations clipped by ACIQ: the edge from statistics, the levels, and both engines end to end."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from torch import nn

import galton
from galton import arith, clipping, golden
from galton.errors import GaltonError
from galton.quantizers import aciq


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127)])
def test_the_largest_raw_value_takes_the_last_level(bits, low, high):
    step = clipping.step(bits, low, high)
    levels = {(value * step + arith.HALF) >> 16 for value in range(high + 1)}
    assert levels == set(range(2 ** (bits - (low < 0))))


@pytest.mark.parametrize(("name", "scale"), [("laplace", 0.7), ("gauss", 1.9)])
@pytest.mark.parametrize("bits", [3, 4])
def test_the_edge_is_the_best_place_to_clip(name, scale, bits):
    """Of samples behind a ReLU, rounded to the levels of the machine, no other edge has a much smaller squared error."""
    generator = np.random.default_rng(bits)
    values = (generator.laplace if name == "laplace" else generator.normal)(0, scale, 100_000)

    def error(edge: float) -> float:
        step = edge / (2**bits - 1)
        rounded = np.minimum(np.round(np.maximum(values, 0) / step), 2**bits - 1) * step
        return float(((rounded - np.maximum(values, 0)) ** 2).mean())

    before = clipping.edge(values, bits, name, relu=True)
    assert before == pytest.approx(scale * aciq.clipping(bits, name, relu=True), rel=0.02)
    assert error(before) <= 1.1 * min(error(share * before) for share in np.linspace(0.3, 2, 60))
    assert clipping.edge(np.maximum(values, 0), bits, name, relu=True) == pytest.approx(before, rel=0.02)
    assert clipping.edge(values, bits, "fit", relu=True) == before


def test_edges_of_other_tensors():
    values = np.random.default_rng(0).laplace(3.0, 1.0, 100_000)
    signed = clipping.edge(values - 6, 4, "laplace", relu=False)
    assert signed == pytest.approx(3 + aciq.laplace_clipping(4), rel=0.02)
    assert clipping.edge(values, 4, "max", relu=True) == inf
    assert clipping.edge(np.zeros(9), 4, "laplace", relu=True) == inf
    assert clipping.edge(-np.ones(9), 4, "laplace", relu=True) == inf
    assert clipping.edge(-np.ones(9), 4, "laplace", relu=False) == 1


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 8, 1), nn.ReLU()]
    module = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 5)).eval()
    inputs = torch.randn(60, 1, 18, 18).abs()
    inputs[0] *= 4
    return module, inputs


@pytest.mark.parametrize("kind", clipping.CLIPPINGS)
@pytest.mark.parametrize("engine", ["accelerator", "graph"])
def test_inputs_have_the_bits_asked_for(network, kind, engine):
    module, inputs = network
    options = {"activations": "aciq", "activation_bits": 3, "activation_clipping": kind, "weight_limit": 119}
    quantized = galton.quantize(module, inputs, method="nearest", engine=engine, layers={"4": {"activation_bits": 4}}, **options)
    layers = {layer["name"]: layer for layer in quantized.report()["layers"] if layer["weight_bits"] > 1}
    assert [layers[name]["activation_bits_signed"] for name in ("3", "4")] == [3, 4]
    assert layers["8"]["activation_bits"] > 6
    expected = module(inputs).detach().numpy()
    assert np.corrcoef(quantized(inputs).numpy().reshape(-1), expected.reshape(-1))[0, 1] > 0.9


def test_the_image_computes_the_same(network):
    module, inputs = network
    quantized = galton.quantize(
        module, inputs, method="aciq", activations="aciq", activation_bits=4, extra={"distribution": "fit"}
    )
    compiled = galton.compile(quantized, target="up5k")
    assert np.array_equal(compiled.run(inputs), quantized(inputs).numpy())
    raw = quantized.network.raw_input(inputs[:8].permute(0, 2, 3, 1).numpy())
    assert np.abs(golden.trace(compiled.image, raw)[1].counts).max() == 15


def test_clipping_is_seen_in_the_scale_of_the_layer_before(network):
    module, inputs = network
    scales = {}
    for kind in ("max", "laplace"):
        quantized = galton.quantize(module, inputs, method="nearest", activations="aciq", activation_clipping=kind)
        scales[kind] = quantized.network.layers[0].scale
    before = module[0](inputs).detach().numpy()
    assert scales["max"] == pytest.approx(before.max() / 255)
    assert scales["laplace"] == pytest.approx(clipping.edge(before, 4, "laplace", relu=True) / 255)
    assert scales["laplace"] < 0.7 * scales["max"]


@pytest.mark.parametrize("engine", ["accelerator", "graph"])
def test_the_bias_alone_restores_the_mean(network, engine):
    module, inputs = network
    found = {}
    for correct in (False, "mean", True):
        quantized = galton.quantize(module, inputs, method="nearest", weight_limit=1, engine=engine, correct=correct)
        found[correct] = ((quantized(inputs) - module(inputs)) ** 2).mean().item()
    assert found[True] < found["mean"] < found[False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation_bits": 1}, "activation_bits must be an integer in 2..8, not 1"),
        ({"activation_bits": 9}, "activation_bits must be an integer in 2..8, not 9"),
        ({"activation_clipping": "cauchy"}, "activation_clipping must be one of max, fit, laplace, gauss, not 'cauchy'"),
        ({"dynamic": True}, "activations='aciq' takes no samples, so dynamic must be False"),
        ({"correct": "norm"}, "correct must be one of True, False, mean, not 'norm'"),
        ({"layers": {"3": {"activation_bits": 0}}}, "activation_bits of 3 must be an integer"),
    ],
)
def test_what_is_refused(network, options, message):
    with pytest.raises(GaltonError, match=message):
        galton.quantize(*network, activations="aciq", **options)
