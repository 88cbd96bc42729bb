"""Layers called again, weights shared, several arguments, and what is said of inputs and weights that are not right."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import galton
from galton.errors import AcceleratorWarning, CalibrationError, CalibrationWarning, GaltonError, UnquantizedWarning

quantize = partial(galton.quantize, engine="graph", method="galton", extra={"price": 0.0})


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).detach().norm() / other.detach().norm())


class Tied(nn.Module):
    """The table that words come from is the one that they are told by."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.middle, self.out = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, 12)
        self.out.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.middle(self.table(ids)).tanh())


def test_tied_weights_have_one_set_of_integers():
    torch.manual_seed(0)
    module, ids = Tied(), torch.randint(0, 12, (64, 10))
    quantized = quantize(module, ids)
    assert list(quantized.integers) == ["out", "middle"]
    assert quantized.module.out.weight is quantized.module.table.weight
    assert distance(quantized(ids), module(ids)) < 0.2
    assert list(quantize(module, ids, skip="out").integers) == ["table", "middle"]


class Looped(nn.Module):
    """Modules of a list in odd order, one of them in every round."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        found = []
        for place in (2, 0, 2, 1, 2):
            x = self.parts[place](x).tanh()
            found.append(x)
        return {"states": found}


def test_a_layer_is_fitted_to_all_of_its_calls():
    torch.manual_seed(0)
    module, inputs = Looped(), torch.randn(400, 8)
    quantized = quantize(module, inputs, weight_limit=2)
    assert list(quantized.integers) == ["parts.2", "parts.0", "parts.1"]
    assert quantized.report()["layers"][0]["multiplies"] == 3 * 64
    part = quantized.module.parts[2]
    taken, wanted = [], []
    for network, kept in ((quantized.module, taken), (module, wanted)):
        with torch.no_grad():
            handle = network.parts[2].register_forward_hook(lambda layer, given, made, kept=kept: kept.append((given[0], made)))
            network(inputs)
            handle.remove()
    sums = torch.cat([made for _, made in taken]) - part.bias
    target = torch.cat([made for _, made in wanted])
    # The closing scale and bias are the least-squares fit over the three calls as they really are.
    scale = ((sums - sums.mean(0)) * (target - target.mean(0))).sum(0) / (sums - sums.mean(0)).square().sum(0)
    assert torch.allclose(scale, torch.ones(8), atol=0.02)
    assert torch.allclose((sums + part.bias).mean(0), target.mean(0), atol=0.01)


def test_a_pass_for_each_layer_that_is_called_again():
    runs = []

    class Counted(Looped):
        def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
            runs.append(len(x))
            return super().forward(x)

    torch.manual_seed(0)
    module = Counted()
    quantize(module, torch.randn(40, 8))
    # The float network once; then one pass that ends with the layer of three calls, and one for the two behind it.
    assert runs.count(40) == 1 + 2


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.last = nn.Linear(5, 8), nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, values: Tensor, ids: Tensor, scale: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        mixed = (self.first(values) + self.other(ids)).relu() * scale
        return self.last(mixed), {"mixed": mixed}


def test_networks_of_several_arguments():
    torch.manual_seed(0)
    module, values, ids = Two(), torch.randn(64, 5), torch.randint(0, 9, (64,))
    wanted = module(values, ids)[0]
    one = quantize(module, [((values, ids), ids)])
    other = quantize(module, [{"ids": ids[:30], "values": values[:30]}, {"ids": ids[30:], "values": values[30:]}])
    assert torch.equal(one(values, ids)[0], other(ids=ids, values=values)[0])
    assert distance(one(values, ids=ids)[0], wanted) < 0.2
    with pytest.raises(
        CalibrationError, match=r"does not take inputs of shape \(n, 5\)(.|\n)*several arguments are \(\(one, other\),\)"
    ):
        quantize(module, [(values, ids)])
    with pytest.warns(AcceleratorWarning, match="takes one input, this network 2"):
        galton.quantize(module, [((values, ids),)], method="nearest")
    with pytest.raises(CalibrationError, match="The network returns tuple: accuracy needs a tensor"):
        one.report([((values, ids), ids)])


def test_accuracy_of_several_arguments():
    torch.manual_seed(0)
    module, ids = Tied(), torch.randint(0, 12, (64, 1))

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, ids: Tensor, shift: Tensor) -> Tensor:
            return self.inner(ids)[:, 0] + shift

    flat, shift = Flat(), torch.zeros(64, 12)
    labels = flat(ids, shift).argmax(1)
    batches = [((ids, shift), labels)]
    assert quantize(flat, batches, method="nearest", extra={}, weight_limit=119).report(batches)["accuracy"] > 0.8


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.idle = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(6, 5))
        self.norm, self.last = nn.LayerNorm((2, 6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(F.linear(x, self.weight)))


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.form, self.last = nn.Bilinear(2, 3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.form(x[:, :2], x[:, 2:]))


def test_weights_that_stay_in_float_are_named():
    torch.manual_seed(0)
    module, inputs = Functional(), torch.randn(64, 2, 5)
    with pytest.warns(UnquantizedWarning, match=r"stay in float:\n  weight\nUse nn.Linear"):
        quantized = quantize(module, inputs)
    assert quantized.left == ["weight"]
    assert list(quantized.integers) == ["last"]
    with pytest.warns(UnquantizedWarning, match="form.weight"):
        quantize(Product(), inputs[:, 0])
    assert quantize(Product(), inputs[:, 0], skip="form").left == []


def test_states_are_loaded():
    torch.manual_seed(0)
    inputs = torch.randn(64, 5)
    one, other = (quantize(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 3)), inputs) for _ in range(2))
    assert not torch.equal(one(inputs), other(inputs))
    state = one.state_dict()
    assert {name.rpartition(".")[2] for name in state} == {"weight", "bias", "integers", "steps", "_extra_state"}
    assert all(isinstance(values, Tensor) for values in state.values())
    other.load_state_dict(state)
    assert torch.equal(one(inputs), other(inputs))
    assert all(np.array_equal(one.integers[name], integers) for name, integers in other.integers.items())
    assert torch.equal(copy.deepcopy(other)(inputs), one(inputs))


@pytest.mark.parametrize("mode", ["monte_carlo", "bypass", "aciq", "float"])
def test_states_hold_every_kind_of_grid(mode):
    torch.manual_seed(0)
    inputs, layers = torch.randn(64, 5), {"*": {"method": "nearest", "extra": {}}}
    one, other = (
        quantize(nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3), nn.Linear(3, 3)), inputs, activations=mode, layers=layers)
        for _ in range(2)
    )
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(inputs), other(inputs))


def trained() -> nn.Sequential:
    """A convolution and a batch-norm that saw inputs of variance 1."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    for _ in range(80):
        module(torch.rand(16, 2, 8, 8))
    return module.eval()


@pytest.mark.parametrize("engine", ["accelerator", "graph"])
@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_calibration_on_another_scale_is_warned_of(engine, factor):
    module, inputs = trained(), torch.rand(64, 2, 8, 8)
    assert galton.quantize(module, inputs, engine=engine, method="nearest").measures
    with pytest.warns(CalibrationWarning, match="1: its inputs spread .* as in training"):
        galton.quantize(module, inputs * factor, engine=engine, method="nearest")


@pytest.mark.parametrize("engine", ["accelerator", "graph"])
def test_input_ranges(engine):
    module, inputs = trained(), torch.rand(64, 2, 8, 8)
    make = partial(galton.quantize, module, inputs, engine=engine, method="nearest")
    with pytest.warns(CalibrationWarning, match=r"5\d\.\d% of the calibration inputs lie outside input_range \(0, 0.5\)"):
        clipped = make(input_range=(0, 0.5))
    with pytest.warns(CalibrationWarning, match=r"a small part of input_range \(0, 255\): most of the 8 bits"):
        coarse = make(input_range=(0, 255))
    assert torch.equal(clipped(inputs), clipped(inputs.clamp(0, 0.5)))
    assert torch.equal(coarse(inputs), coarse((inputs + 0.5).floor()))
    with pytest.raises(GaltonError, match="input_range must be"):
        make(input_range=(1, 0))


@pytest.mark.parametrize("method", ["galton", "gptq", "nearest", "mcq", "maly_saab", "gpfq", "aciq"])
@pytest.mark.parametrize("engine", ["accelerator", "graph"])
def test_silent_layers_and_few_inputs(engine, method):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(module[2].weight)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        quantized = galton.quantize(module, torch.randn(4, 20), engine=engine, method=method)
    calibrated = method in ("galton", "gptq", "gpfq", "maly_saab")
    assert any("4 calibration rows for neurons of 20 weights" in str(one.message) for one in said) == calibrated
    assert torch.isfinite(quantized(torch.randn(5, 20))).all()
    constant = galton.quantize(module, torch.ones(40, 20), engine=engine, method=method)(torch.ones(2, 20))
    assert distance(constant, module(torch.ones(2, 20))) < 0.1


def test_both_engines_agree():
    """The first layer's integers are the same; behind it the accelerator's 8-bit outputs differ a little from float ones."""
    module, inputs = trained(), torch.rand(200, 2, 8, 8)
    layers = {"0": {"weight_limit": 3}, "4": {"method": "gptq", "extra": {}}}
    exact, emulated = (quantize(module, inputs, layers=layers, engine=engine) for engine in ("accelerator", "graph"))
    first, last = ([layer.weights.transpose(0, 3, 1, 2) for layer in exact.network.layers if layer.name == name] for name in "04")
    assert np.array_equal(first[0], emulated.integers["0"])
    assert np.abs(first[0]).max() == 3
    assert last[0].size == emulated.integers["4"].size
    assert distance(exact(inputs), emulated(inputs)) < 0.03
    pairs = zip(exact.report()["layers"], emulated.report()["layers"], strict=True)
    for one, other in pairs:
        assert one["multiplies"] == other["multiplies"]
        assert one["effective"] == pytest.approx(other["effective"], abs=0.02)
        assert one["weight_bits"] == other["weight_bits"]
