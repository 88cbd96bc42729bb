"""Quantized networks against the float ones that they come from."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from dataclasses import replace
from functools import partial
from subprocess import run

import numpy as np
import pytest
import torch
from digits import make_model
from torch import nn

import galton
from galton import fitting, quantizers, reference, streaming
from galton.bounds import accumulator_bounds
from galton.errors import CalibrationError, GaltonError, UnsupportedLayer
from galton.lowering import Stage
from galton.network import Activation

quantize = partial(galton.quantize, method="mcq")
"""These tests are about what all methods share, on the one that needs least data; methods have tests of their own."""


@pytest.fixture(scope="module")
def quantized(digits):
    return quantize(digits.model, digits.train[:256])


def test_the_default_loses_less_than_a_point(digits, quantized):
    assert digits.right > 0.93
    assert digits.predict(quantized) > digits.right - 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"activations": "rounding"},
        {"activations": "bypass"},
        {"dynamic": True},
        {"dynamic": True, "activations": "rounding"},
        {"dead_zone": 1.0},
        {"weight_limit": 119, "norm": "layer", "order": "array", "k_weights": 3.0, "k_activations": 3.0},
    ],
    ids=str,
)
def test_every_kind_of_activation_works(digits, options):
    module = quantize(digits.model, digits.train[:128], **options)
    assert digits.predict(module) > digits.right - 0.02
    inner = module.network.layers[1].activation
    assert inner.mode == options.get("activations", "monte_carlo")
    assert inner.dynamic == options.get("dynamic", False)
    assert (inner.dead_zone > 0) == ("dead_zone" in options)


def test_correction_is_worth_its_while(digits):
    errors = [
        quantize(digits.model, digits.train[:128], k_weights=0.7, correct=correct).report()["layers"][-1]["error"]
        for correct in (True, False)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_outputs_are_the_integers_of_the_network(digits, quantized):
    inputs = digits.test[:20]
    network = quantized.network
    raw = network.raw_input(inputs.permute(0, 2, 3, 1).double().numpy())
    expected = reference.run(network, raw).reshape(20, 10) * network.output_scale
    outputs = quantized(inputs)
    assert outputs.dtype == torch.float32
    assert np.allclose(outputs.numpy(), expected, rtol=1e-6)
    assert quantized(inputs[:0]).shape == (0, 10)
    assert torch.equal(quantized(inputs.double()), outputs)


def test_layers_are_those_of_the_machine(quantized):
    layers = quantized.network.layers
    assert [layer.name for layer in layers] == ["0", "4", "9", "11"]
    assert [layer.input_shape for layer in layers] == [(28, 28, 1), (14, 14, 8), (1, 1, 784), (1, 1, 32)]
    assert [layer.pool for layer in layers] == [(2, 2), (2, 2), (1, 1), (1, 1)]
    assert [(layer.low, layer.high) for layer in layers] == [(0, 255), (0, 255), (0, 255), (-128, 127)]
    assert [layer.activation.mode for layer in layers] == ["bypass", "monte_carlo", "monte_carlo", "bypass"]
    assert all(np.abs(layer.weights).max() <= 7 for layer in layers[:-1])
    assert quantized.network.input_scale == pytest.approx(1 / 255)
    assert (quantized.network.input_low, quantized.network.input_high) == (0, 255)


def test_it_compiles_and_runs_as_packed(digits, quantized):
    compiled = galton.compile(quantized, "up5k")
    assert torch.equal(compiled.run(digits.test[:3]), quantized(digits.test[:3]))


def test_report_has_the_papers_measures(digits, quantized):
    report = quantized.report([(digits.test[:200], digits.labels[:200]), (digits.test[200:300], digits.labels[200:300])])
    assert json.loads(json.dumps(report)) == report
    weights = [layer.weights for layer in quantized.network.layers]
    assert report["nonzero_weights"] == sum((w != 0).sum() for w in weights) / sum(w.size for w in weights)
    for row, layer in zip(report["layers"], quantized.network.layers, strict=True):
        largest = int(np.abs(layer.weights).max())
        assert 1 << (row["weight_bits"] - 1) <= largest < 1 << row["weight_bits"]
        assert row["weight_bits_signed"] == row["weight_bits"] + 1
        assert row["weight_samples"] == np.abs(layer.weights).sum()
        assert 0 < row["error"] < 0.5
    assert report["weight_bits"] == np.mean([row["weight_bits"] for row in report["layers"]])
    right = (quantized(digits.test[:300]).argmax(1) == digits.labels[:300]).float().mean()
    assert report["accuracy"] == pytest.approx(float(right))
    assert "accuracy" not in quantized.report()
    text = str(report).splitlines()
    assert len(text) > 6
    assert text[1].startswith("0 ")
    assert text[-1].startswith("accuracy ")
    with pytest.raises(CalibrationError, match="nothing to measure the accuracy on"):
        quantized.report([])


def test_effective_work_is_counted_by_loops(digits, quantized):
    layer = quantized.network.layers[-1]
    traces = reference.trace(
        quantized.network, quantized.network.raw_input(digits.train[:128].permute(0, 2, 3, 1).double().numpy())
    )
    counts = traces[-1].counts.reshape(128, -1) != 0
    pairs = sum(int((counts[index] & (row.reshape(-1) != 0)).sum()) for index in range(128) for row in layer.weights)
    assert quantized.report()["layers"][-1]["effective"] == pytest.approx(pairs / (128 * layer.weights.size))


def test_it_survives_pickling(digits, quantized):
    again = pickle.loads(pickle.dumps(quantized))
    assert torch.equal(again(digits.test[:2]), quantized(digits.test[:2]))
    assert "4 integer layers" in repr(again)


def test_the_module_is_not_touched(digits):
    module = copy.deepcopy(digits.model).train()
    before = copy.deepcopy(module.state_dict())
    quantize(module, digits.train[:32])
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def flow_of(real: torch.Tensor, raw: np.ndarray) -> fitting.Flow:
    return fitting.Flow(real, raw, 1.0, 0, 255)


def settings_of(**changes) -> fitting.Settings:
    options = quantizers.Options(5.0, norm="channel", order="channel_sign")
    plain = fitting.Settings(quantizers.named("mcq"), options, 2.0, "bypass", False, 0.0, True, True, 119, 20)
    return replace(plain, **changes)


def test_closing_fits_the_float_network_not_the_float_layer():
    """The quantized network's inputs are twice the float one's plus 10: only a fit to the float outputs undoes that."""
    rng = np.random.default_rng(0)
    real = torch.from_numpy(rng.integers(0, 100, (200, 4, 1, 1))).float()
    weight = torch.from_numpy(rng.normal(size=(3, 4, 1, 1)))
    stage = Stage("layer", "linear", (1, 1, 4), weight, torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    flow = flow_of(real, 2 * real.permute(0, 2, 3, 1).long().numpy() + 10)
    layer, _, measures = fitting.fit(stage, flow, settings_of())
    assert measures.error < 0.06
    _, _, uncorrected = fitting.fit(stage, flow, settings_of(correct=False))
    assert uncorrected.error > 0.5
    assert layer.activation.mode == "bypass"


def test_closing_is_least_squares():
    rng = np.random.default_rng(1)
    sums, target = rng.normal(size=(50, 2, 2, 3)), rng.normal(size=(50, 2, 2, 3))
    target[..., 0] += 3 * sums[..., 0]
    target[..., 1] -= 3 * sums[..., 1]
    sums[..., 2] = 4
    scale, bias = fitting.closing(sums, target, np.full(3, 0.7))
    slope, offset = np.polyfit(sums[..., 0].reshape(-1), target[..., 0].reshape(-1), 1)
    assert (scale[0], bias[0]) == pytest.approx((slope, offset))
    assert (scale[1], bias[1]) == pytest.approx((0, target[..., 1].mean()))
    assert (scale[2], bias[2]) == pytest.approx((0.7, target[..., 2].mean() - 2.8))


def test_static_steps_follow_the_mean_of_the_raw_input(digits):
    module = quantize(digits.model, digits.train[:64], k_activations=1.25)
    traces = reference.trace(module.network, module.network.raw_input(digits.train[:64].permute(0, 2, 3, 1).double().numpy()))
    layer = module.network.layers[1]
    assert layer.activation.step == round((1 << 16) * 1.25 / traces[0].output.mean())
    assert traces[1].counts.mean() == pytest.approx(1.25, rel=0.01)


def test_steps_stay_within_the_accumulator():
    rng = np.random.default_rng(2)
    stage = Stage("wide", "linear", (1, 1, 2000), torch.from_numpy(rng.normal(size=(2, 2000, 1, 1))), torch.zeros(2).double())
    raw = rng.integers(0, 256, (30, 1, 1, 2000)) * (rng.random((30, 1, 1, 2000)) < 0.02)
    flow = flow_of(torch.from_numpy(raw).permute(0, 3, 1, 2).float(), raw)
    for settings in (settings_of(), settings_of(fine=False, activations="monte_carlo")):
        layer, _, _ = fitting.fit(stage, flow, settings)
        bounds = accumulator_bounds(layer.weights, layer.activation, 0, 255, 255)
        assert 0.99 * 2**19 < bounds.max() < 2**19


def test_weights_beyond_the_limit_are_cut_and_counted():
    weight = torch.ones(1, 50, 1, 1).double()
    weight[0, 0] = 40
    stage = Stage("peak", "linear", (1, 1, 50), weight, torch.zeros(1).double())
    raw = np.random.default_rng(3).integers(0, 256, (20, 1, 1, 50))
    _, _, measures = fitting.fit(
        stage, flow_of(torch.from_numpy(raw).permute(0, 3, 1, 2).float(), raw), settings_of(weight_limit=7)
    )
    assert (measures.clipped, measures.weight_bits) == (1, 3)


STRUCTURES = {
    "relu first": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten()), (2, 3, 3)),
    "max-pool first": (lambda: nn.Sequential(nn.MaxPool2d(2)), (2, 4, 6)),
    "average": (lambda: nn.Sequential(nn.AvgPool2d(2), nn.ReLU6()), (3, 6, 4)),
    "global average": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
        (2, 9, 8),
    ),
    "relu6": (lambda: nn.Sequential(nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ReLU6(), nn.Conv2d(6, 4, (3, 1))), (2, 9, 8)),
    "signed between": (lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 2), nn.Hardtanh()), (2, 6, 6)),
    "vectors": (
        lambda: nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5), nn.LogSoftmax(1)),
        (12,),
    ),
    "flat first": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 5)), (2, 3, 4)),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_fine_integers_come_close_to_the_float_network(case):
    make, shape = STRUCTURES[case]
    torch.manual_seed(5)
    module = make().eval()
    inputs = torch.randn(64, *shape)
    found = quantize(module, inputs, k_weights=30.0, activations="bypass", weight_limit=119)(inputs)
    with torch.no_grad():
        expected = module(inputs)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_exact_layers_are_exact():
    inputs = torch.randint(-128, 128, (16, 2, 4, 4)).float()
    module = quantize(nn.Sequential(nn.MaxPool2d(2), nn.ReLU()), inputs)
    assert module.network.input_scale == 1
    assert torch.equal(module(inputs), nn.functional.max_pool2d(inputs, 2).relu())


@pytest.mark.parametrize(
    ("data", "scale", "low"),
    [
        (torch.tensor([[0.0, 0.5], [1.0, 0.25]]), 1 / 255, 0),
        (torch.tensor([[-1.0, 0.5], [1.0, 0.25]]), 1 / 127, -128),
        (torch.tensor([[0.0, 7.0], [200.0, 3.0]]), 1.0, 0),
        (torch.zeros(2, 2), 1.0, 0),
    ],
)
def test_input_scale_follows_from_the_data(data, scale, low):
    flow = fitting.input_flow(data, None)
    assert (flow.scale, flow.low) == (pytest.approx(scale), low)
    assert (fitting.input_flow(data, (-2, 2)).scale, fitting.input_flow(data, (0, 2)).scale) == (2 / 127, 2 / 255)


def test_settings_of_a_single_layer(digits):
    module = quantize(digits.model, digits.train[:32], layers={"4": {"k_weights": 0.25, "k_activations": 4.0}})
    rows = {row["name"]: row for row in module.report()["layers"]}
    assert rows["4"]["nonzero_weights"] < 0.3 < rows["9"]["nonzero_weights"]
    assert rows["4"]["activation_samples"] / rows["4"]["inputs"] > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "There is no method 'magic' of quantization; the known ones are mcq"),
        ({"k_weights": 0}, "k_weights must be a positive number, not 0"),
        ({"k_activations": float("nan")}, "k_activations must be a positive number, not nan"),
        ({"layers": {"4": {"k_weights": -1}}}, "k_weights of 4 must be a positive number, not -1"),
        ({"layers": {"4": {"k": 1}}}, r"layers\['4'\] has k; it takes k_weights, k_activations, dead_zone, method, weight_limit"),
        ({"layers": {"conv": {}}}, "There is no layer 'conv' with weights; the network has 0, 4, 9, 11"),
        ({"order": "up"}, "order must be one of array, magnitude, channel_sign, not 'up'"),
        ({"norm": "batch"}, "norm must be one of layer, channel, not 'batch'"),
        ({"activations": "exact"}, "activations must be one of monte_carlo, rounding, bypass, aciq, float, not 'exact'"),
        ({"xi": 1}, "xi must be at least 0 and less than 1, not 1"),
        ({"dead_zone": -1}, "dead_zone must be 0 or more steps, not -1"),
        ({"dynamic": True, "activations": "bypass"}, "dynamic must be False"),
        ({"weight_limit": 120}, r"weight_limit must be an integer in 1\.\.119, not 120"),
        ({"samples": 0}, "samples must be an integer in"),
        ({"accumulator_bits": 33}, r"accumulator_bits must be an integer in 17\.\.32, not 33"),
        ({"input_range": (1, 0)}, "input_range must be"),
    ],
)
def test_bad_options_are_named(digits, options, message):
    with pytest.raises(GaltonError, match=message):
        quantize(make_model(), digits.train[:8], **options)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 1, 28, 27), r"The input has shape \(2, 1, 28, 27\), expected \(n, 1, 28, 28\)"),
        (torch.full((1, 1, 28, 28), float("inf")), "The input has inf at"),
        ([1, 2], "The input is list"),
    ],
)
def test_bad_inputs_are_named(quantized, inputs, message):
    with pytest.raises(CalibrationError, match=message):
        quantized(inputs)


def test_mistakes_come_before_any_work():
    with pytest.raises(CalibrationError, match="There is no calibration data"):
        quantize(make_model(), [])
    with pytest.raises(CalibrationError, match=r"0 takes \(n, 1, rows, columns\)"):
        quantize(make_model(), torch.zeros(4, 3, 28, 28))
    with pytest.raises(UnsupportedLayer, match="1: activation function"):
        quantize(nn.Sequential(nn.Linear(4, 4), nn.GELU()), torch.zeros(4, 4), engine="accelerator")


def test_a_silent_layer_is_no_trouble():
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    nn.init.zeros_(module[0].weight)
    nn.init.constant_(module[0].bias, -1.0)
    inputs = torch.rand(10, 4)
    with torch.no_grad():
        assert (quantize(module, inputs, skip_last_activation=False)(inputs) - module(inputs)).abs().max() < 0.02


def test_importing_galton_loads_neither_torch_nor_numpy():
    code = "import sys, galton; assert not {'torch', 'numpy'} & set(sys.modules); assert 'quantize' in dir(galton)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="module 'galton' has no attribute 'quantise'"):
        _ = galton.quantise


def test_units_of_dynamic_counts():
    """What a count is worth is the norm of the very input over the samples."""
    raw = np.random.default_rng(4).integers(0, 256, (6, 1, 1, 400))
    flow = replace(flow_of(torch.zeros(1), raw), scale=0.5)
    activation = Activation("monte_carlo", samples=300)
    counts, _ = streaming.counts(raw.reshape(6, -1), activation)
    reached = counts.sum(axis=1) * fitting.count_units(activation, flow)
    assert reached == pytest.approx(0.5 * raw.sum(axis=(1, 2, 3)), rel=0.01)
