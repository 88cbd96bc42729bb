"""Quantization of any graph: layers as convolutions, networks that the accelerator cannot run."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import galton
from galton import graphs
from galton.calibration import Inputs
from galton.errors import AcceleratorWarning, CalibrationError, CalibrationWarning, GaltonError, UnsupportedLayer
from galton.graphs import sites
from galton.graphs.expansion import prepare
from galton.graphs.grid import Grid

quantize = partial(galton.quantize, engine="graph")

LAYERS = [
    (nn.Conv2d(4, 6, 3, stride=2, padding=1), (5, 4, 8, 7)),
    (nn.Conv2d(4, 6, (3, 2), padding="same", dilation=2), (5, 4, 8, 7)),
    (nn.Conv2d(6, 6, 3, groups=6, padding=1), (5, 6, 8, 7)),
    (nn.Conv2d(4, 6, 3, groups=2, padding=1, padding_mode="reflect"), (5, 4, 8, 7)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2), (5, 4, 11)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (5, 4, 6, 5)),
    (nn.ConvTranspose2d(4, 6, (3, 2), stride=(1, 3), groups=2, dilation=(2, 1)), (5, 4, 6, 5)),
    (nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, groups=2), (5, 4, 11)),
    (nn.Conv3d(4, 6, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 2), groups=2), (5, 4, 4, 5, 6)),
    (nn.ConvTranspose3d(4, 6, (2, 3, 1), stride=(2, 1, 1), output_padding=(1, 0, 0)), (5, 4, 3, 4, 2)),
    (nn.Linear(7, 6), (5, 3, 7)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value)[:40])
def test_rows_times_kernels_are_the_layer(layer, shape):
    torch.manual_seed(0)
    values = torch.randn(shape)
    rows = sites.rows(layer, values, 2 * values)
    kernels = sites.kernels(layer)
    groups = len(rows.quantized)
    parts = rows.quantized @ kernels.reshape(groups, len(kernels) // groups, -1).transpose(0, 2, 1)
    found = np.concatenate(list(parts), axis=1) + layer.bias.detach().numpy()
    expected = sites.channel_last(layer, layer(values)).detach().numpy()
    order = np.lexsort(np.round(expected, 4).T), np.lexsort(np.round(found, 4).T)
    assert np.allclose(expected[order[0]], found[order[1]], atol=1e-4)
    assert np.allclose(rows.real, 2 * rows.quantized)
    assert torch.equal(sites.stored(layer, kernels), layer.weight)


@pytest.mark.parametrize("mode", ["rounding", "monte_carlo", "bypass"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_the_grid_is_the_machines_quantizer(mode, dynamic):
    if mode == "bypass" and dynamic:
        return
    torch.manual_seed(1)
    values = torch.randn(6, 3, 5, 4).relu()
    options = {"activations": mode, "dynamic": dynamic, "dead_zone": 2.0, "k_activations": 4.0, "xi": 0.5}
    grid = Grid.choose(values, [values], -3, False, options)
    counts, cut = grid.counts(values)
    assert torch.equal(counts, counts.round())
    assert not cut.any()
    unit = values.mean() / 4
    found = grid(values)
    if mode == "bypass":
        assert (found - values).abs().max() <= values.max() / 255
        return
    assert torch.equal(found == 0, counts == 0)
    assert (found[values < 1.5 * unit] == 0).all()
    limit = 1.1 * unit if mode == "rounding" else 2.2 * unit
    kept = values >= 2.5 * unit
    assert (found - values)[kept].abs().max() < limit * (2 if dynamic else 1)


class Everything(nn.Module):
    """Residual, depthwise, concatenation, a shared layer, batch-norm that folds and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.shared = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.loose = nn.BatchNorm2d(16)
        self.last, self.idle = nn.Linear(16, 5), nn.Linear(3, 3)
        for norm in (self.norm, self.loose):
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)), inplace=True)
        y = x + self.shared(F.relu(self.depthwise(x)))
        y = torch.cat([y, self.shared(F.relu(y))], dim=1)
        return self.last(self.loose(y).mean((2, 3)))


@pytest.fixture(scope="module")
def everything():
    torch.manual_seed(0)
    return Everything().eval(), torch.randn(64, 2, 8, 8)


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def test_batch_norm_folds_where_it_follows(everything):
    module, inputs = everything
    plain = prepare(graphs.plain(module), Inputs.of(inputs[:2], ""))
    assert isinstance(plain.norm, nn.Identity)
    assert isinstance(plain.loose, nn.BatchNorm2d)
    assert torch.allclose(plain(inputs), module(inputs), atol=1e-5)
    assert isinstance(module.norm, nn.BatchNorm2d)


@pytest.mark.parametrize("method", ["galton", "gptq", "gpfq", "nearest", "nearest_mse", "aciq", "maly_saab", "mcq"])
def test_any_graph_is_quantized(everything, method):
    module, inputs = everything
    before = copy.deepcopy(module.state_dict())
    with pytest.warns(AcceleratorWarning, match=r"(?s)cat .*: concatenation.*engine='graph'"):
        quantized = galton.quantize(module, inputs, method=method)
    assert quantized.network is None
    assert list(quantized.integers) == ["first", "depthwise", "shared", "last"]
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
    assert distance(quantized(inputs), module(inputs).detach()) < 0.35
    report = quantized.report([(inputs, module(inputs).argmax(1))])
    assert [layer["name"] for layer in report["layers"]] == list(quantized.integers)
    assert [layer["multiplies"] for layer in report["layers"]] == [64 * 144, 64 * 72, 2 * 64 * 64, 80]
    assert 0 < report["effective"] < 1
    assert report["accuracy"] > 0.5
    with pytest.raises(UnsupportedLayer, match=r"not for the accelerator(.|\n)*depthwise"):
        galton.compile(quantized, "up5k")


def test_weights_are_integers_times_steps(everything):
    module, inputs = everything
    quantized = quantize(module, inputs, method="galton")
    for name, integers in quantized.integers.items():
        assert np.abs(integers).max() <= 7
        kernels = sites.kernels(quantized.module.get_submodule(name))
        assert np.allclose(kernels, integers * quantized.steps[name].numpy()[:, None, None, None], rtol=1e-6)
    again = pickle.loads(pickle.dumps(quantized))
    assert torch.equal(again(inputs), quantized(inputs))


def test_fine_settings_come_close(everything):
    module, inputs = everything
    quantized = quantize(
        module, inputs, method="nearest", activations="bypass", weight_limit=119, layers={"*": {"k_weights": 3.0}}
    )
    assert distance(quantized(inputs), module(inputs).detach()) < 0.02


def test_effective_work_counts_pairs_of_non_zeros():
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    inputs = torch.randn(16, 2, 6, 6).relu()
    quantized = quantize(nn.Sequential(layer), inputs, method="galton", engine="graph", extra={"price": 0.2})
    weights = torch.from_numpy((quantized.integers["0"] != 0).astype(np.float32))
    pairs = F.conv2d((inputs > inputs.max() / 510).float(), weights, padding=1).sum()
    assert quantized.report()["effective"] == pytest.approx(float(pairs) / (16 * 36 * 54), rel=1e-6)


def test_layers_are_skipped_and_overridden_by_pattern(everything):
    module, inputs = everything
    quantized = quantize(
        module, inputs, method="galton", skip=["first", "l*"], layers={"dep*": {"method": "nearest", "weight_limit": 1}}
    )
    assert list(quantized.integers) == ["depthwise", "shared"]
    assert np.abs(quantized.integers["depthwise"]).max() == 1
    assert torch.equal(quantized.module.last.weight, module.last.weight)
    with pytest.raises(GaltonError, match=r"There is no layer 'lost' with weights; the network has first, depthwise"):
        quantize(module, inputs, skip="lost")


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding, self.cell, self.last = nn.Embedding(20, 12), kind(12, 16, batch_first=True), nn.Linear(16, 20)

    def forward(self, ids: Tensor) -> tuple[Tensor, object]:
        outputs, state = self.cell(self.embedding(ids))
        return self.last(outputs), state


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("method", ["galton", "nearest"])
def test_recurrent_networks_of_token_ids(kind, method):
    torch.manual_seed(0)
    module, ids = Recurrent(kind).eval(), torch.randint(0, 20, (32, 15))
    quantized = quantize(module, ids, method=method)
    assert list(quantized.integers) == ["embedding", "cell.0.input", "cell.0.hidden", "last"]
    assert distance(quantized(ids)[0], module(ids)[0].detach()) < 0.25
    for part in (quantized.module.cell.get_submodule("0").input, quantized.module.cell.get_submodule("0").hidden):
        for row in part.weight[:4]:
            assert len(row.abs().unique()) <= 8


def test_attention_and_other_kinds():
    torch.manual_seed(0)
    inputs = torch.randn(128, 6, 16)
    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0).eval()
    quantized = quantize(encoder, inputs, method="galton")
    assert list(quantized.integers) == [
        *(f"self_attn.{part}" for part in ("query", "key", "value", "out_proj")),
        "linear1",
        "linear2",
    ]
    assert distance(quantized(inputs), encoder(inputs).detach()) < 0.3
    upwards = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2)).eval()
    quantized = quantize(upwards, inputs.reshape(64, 3, 8, 8), method="galton")
    assert distance(quantized(inputs.reshape(64, 3, 8, 8)), upwards(inputs.reshape(64, 3, 8, 8)).detach()) < 0.25
    waves = nn.Sequential(nn.Conv1d(6, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten(), nn.Linear(112, 4)).eval()
    quantized = quantize(waves, inputs, method="galton")
    assert distance(quantized(inputs), waves(inputs).detach()) < 0.3


def test_silent_layers_and_constant_inputs(everything):
    module, inputs = copy.deepcopy(everything[0]), everything[1]
    nn.init.zeros_(module.depthwise.weight)
    quantized = quantize(module, inputs, method="galton")
    assert not quantized.integers["depthwise"].any()
    assert torch.isfinite(quantized(inputs)).all()
    for constant in (0.0, 1.0):
        same = torch.full_like(inputs, constant)
        with pytest.warns(CalibrationWarning, match="norm: its inputs spread"):
            quantized = quantize(module, same, method="galton")
        assert distance(quantized(same), module(same).detach()) < 0.1


def test_mistakes_are_named(everything):
    module, inputs = copy.deepcopy(everything[0]), everything[1]
    with pytest.raises(CalibrationError, match=r"does not take inputs of shape \(n, 3, 8, 8\)"):
        quantize(module, torch.zeros(2, 3, 8, 8), engine="graph")
    with pytest.raises(GaltonError, match="k_weights must be a positive number, not 0"):
        quantize(module, inputs, k_weights=0)
    with pytest.raises(GaltonError, match="engine must be one of"):
        quantize(module, inputs, engine="analog")
    with pytest.raises(UnsupportedLayer, match="no layer with weights"):
        quantize(nn.Sequential(nn.ReLU()), inputs, engine="graph")
    module.shared.weight.data[1, 2] = float("nan")
    for engine in ("auto", "graph"):
        with pytest.raises(GaltonError, match=r"shared: the weight at \[1, 2, 0, 0\] is nan"):
            quantize(module, inputs, engine=engine)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3)).eval()
    plain[0].bias.data[1] = float("inf")
    with pytest.raises(GaltonError, match=r"0: the bias at \[1\] is inf"):
        quantize(plain, inputs)


def test_layers_that_only_the_float_network_calls():
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return y if hasattr(self.first, "integers") else self.other(y)

    torch.manual_seed(0)
    module, inputs = Fickle().eval(), torch.randn(32, 4)
    quantized = quantize(module, inputs, method="galton")
    other = quantized.module.other
    assert list(quantized.integers) == ["first", "other"]
    assert distance(other(module.first(inputs)), module.other(module.first(inputs)).detach()) < 0.2


def test_a_skip_is_refused_by_the_accelerator_and_warned_of():
    layer, inputs = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), torch.randn(32, 4)
    with pytest.raises(UnsupportedLayer, match="use engine='graph', or no skip"):
        galton.quantize(layer, inputs, skip="0", engine="accelerator")
    with pytest.warns(AcceleratorWarning, match=r"skip leaves 0 in float\n(.|\n)*engine='accelerator' refuses"):
        quantized = galton.quantize(layer, inputs, skip="0", method="nearest")
    assert list(quantized.integers) == ["1"]
