"""Settings of galton.quantize: what a method takes, what a layer replaces."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import galton
from galton import choices, quantizers
from galton.errors import CalibrationError, GaltonError, UnsupportedLayer
from galton.quantizers import prior

SOURCES = Path(quantizers.__file__).parent


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval(), torch.randn(40, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "gptq", "extra": {"prize": 1}}, r"method 'gptq' has no 'prize'; it takes\n  damping: .*\n  regress: "),
        ({"method": "nearest", "extra": {"damping": 1}}, "method 'nearest' has no 'damping'; it takes nothing"),
        ({"method": "gptq", "layers": {"0": {"extra": {"rank": 3}}}}, "method 'gptq' has no 'rank'"),
        ({"layers": {"0": {"method": "gptq", "extra": {"rank": 3}}}}, "method 'gptq' has no 'rank'"),
    ],
)
def test_unknown_extra_is_refused_with_the_known_ones(network, settings, message):
    with pytest.raises(GaltonError, match=message):
        galton.quantize(*network, **settings)


def test_extra_belongs_to_its_method(network):
    options = {"method": "galton", "extra": {"price": 0.3}, "layers": {"2": {"method": "gptq"}, "0": {"extra": {"price": 0.1}}}}
    found = galton.quantize(*network, **options).options
    assert choices.for_layer(found, "0")["extra"] == {"price": 0.1}
    assert choices.for_layer(found, "2")["extra"] == {}


def test_without_data_weights_are_quantized_against_the_prior(network):
    module, inputs = network
    found = galton.quantize(module, None, input_shape=(6,), engine="graph", method="galton", extra={"price": 0})
    assert found.options["activations"] == "float"
    assert not found.options["calibrated"]
    wanted = module(inputs).detach()
    assert float((found(inputs) - wanted).norm() / wanted.norm()) < 0.15
    report = found.report()
    assert report["activation_bits"] == 32
    for layer, part in ((0, "0"), (2, "2")):
        weights = module[layer].weight.detach().double().numpy()[:, :, None, None]
        steps = found.steps[part].double().numpy()
        assert np.allclose(prior.keep_power(weights, found.integers[part], steps), steps, rtol=1e-6)
        assert torch.equal(found.module.get_submodule(part).bias, module[layer].bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "graph"}, "input_shape= must give the shape of one input"),
        ({"input_shape": (6,), "engine": "accelerator"}, "Without calibration data only weights can be quantized"),
        ({"input_shape": (6,), "engine": "graph", "activations": "rounding"}, "ranges of activations need a few hundred inputs"),
    ],
)
def test_what_needs_data_is_told(network, settings, message):
    with pytest.raises(CalibrationError, match=message):
        galton.quantize(network[0], None, **settings)


def test_float_activations_are_not_for_the_accelerator(network):
    with pytest.raises(UnsupportedLayer, match="The accelerator has no float activations"):
        galton.quantize(*network, activations="float", engine="accelerator")
    with pytest.raises(GaltonError, match="takes no samples, so dynamic must be False"):
        galton.quantize(*network, activations="float", engine="graph", dynamic=True)
    found = galton.quantize(*network, activations="float", engine="graph", method="nearest", weight_limit=119)
    assert torch.allclose(found(network[1]), network[0](network[1]).detach(), atol=0.02)


def test_networks_without_data_that_begin_with_an_embedding():
    torch.manual_seed(1)
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).eval()
    found = galton.quantize(module, None, input_shape=(3,), engine="graph", method="gptq")
    assert list(found.integers) == ["0", "2"]


def test_the_prior_is_that_of_rectified_gaussians():
    values = np.maximum(np.random.default_rng(0).normal(size=1_000_000), 0)
    matrix = prior.second_moment(2, 4)
    assert matrix[0, 0] == pytest.approx((values**2).mean(), rel=0.01)
    assert matrix[0, 4] == pytest.approx(values.mean() ** 2, rel=0.01)
    assert matrix[0, 1] == pytest.approx(matrix[0, 4] + values.var() / 2, rel=0.01)
    assert np.linalg.eigvalsh(prior.second_moment(3, 9)).min() > 0
    assert np.allclose(prior.second_moment(2, 4, centred=True), matrix - matrix[0, 4])


def test_the_table_lists_what_the_methods_read():
    for method, known in quantizers.EXTRA.items():
        module = quantizers.METHODS[method].partition(":")[0].rpartition(".")[2]
        source = (SOURCES / f"{module}.py").read_text()
        assert all(re.search(f'"{name}"', source) for name in known), method
