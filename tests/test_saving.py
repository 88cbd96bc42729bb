"""Quantized modules survive their files: outputs, integers, reports; and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import galton
from galton import saving, storage
from galton.errors import GaltonError, ImageError


def chain():
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5), nn.LogSoftmax(1)]
    return nn.Sequential(*layers).eval()


class Everything(nn.Module):
    """Shared, tied, transposed and recurrent layers, batch-norm that folds and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.deep, self.up = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ConvTranspose2d(4, 6, 2, stride=2)
        self.last_norm, self.rows = nn.BatchNorm2d(6), nn.LSTM(6, 6, batch_first=True)
        self.shared = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.shared.weight

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        x = self.last_norm(self.up(x + self.deep(x)).relu()).mean(2).transpose(1, 2)
        x = self.rows(x)[0][:, -1]
        return self.tied(self.shared(self.shared(x).relu()))


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_network_of_the_accelerator(tmp_path, dynamic):
    torch.manual_seed(0)
    inputs = torch.rand(60, 2, 8, 8)
    quantized = galton.quantize(chain(), inputs, method="galton", dynamic=dynamic)
    galton.save(quantized, tmp_path / "made.galtonq")
    again = galton.load(tmp_path / "made.galtonq")
    assert torch.equal(again(inputs), quantized(inputs))
    assert dict(again.report()) == dict(quantized.report())
    network, report = storage.load(tmp_path / "made.galtonq")
    assert len(network.layers) == len(report["layers"])
    storage.save(quantized.network, tmp_path / "bare.galtonq")
    with pytest.raises(ImageError, match="without its torch module"):
        galton.load(tmp_path / "bare.galtonq")


@pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
@pytest.mark.parametrize("settings", [{}, {"dynamic": True}, {"skip": "deep"}, {"activations": "float"}, {"correct": False}])
def test_a_network_of_any_graph(tmp_path, settings):
    torch.manual_seed(0)
    inputs = torch.rand(60, 2, 6, 6)
    module = Everything().eval()
    quantized = galton.quantize(module, inputs, engine="graph", **settings)
    path = tmp_path / "made.safetensors"
    galton.save(quantized, path)
    again = galton.load(path, Everything())
    assert torch.equal(again(inputs), quantized(inputs))
    assert dict(again.report()) == dict(quantized.report())
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        assert "conv.weight" not in names
        assert np.array_equal(file.get_tensor("conv.integers"), quantized.integers["conv"])
        assert np.array_equal(file.get_tensor("conv.steps"), quantized.steps["conv"].numpy())


def test_what_does_not_fit(tmp_path):
    quantized = galton.quantize(nn.Linear(3, 2), torch.rand(40, 3), engine="graph")
    path = tmp_path / "made.safetensors"
    saving.save(quantized, path)
    inputs = torch.rand(4, 3)
    assert torch.equal(galton.load(path, nn.Linear(3, 2))(inputs), quantized(inputs))
    with pytest.raises(GaltonError, match="needs the float network's code"):
        galton.load(path)
    with pytest.raises(GaltonError, match="does not fit the network Linear"):
        galton.load(path, nn.Linear(4, 2))
    with pytest.raises(ImageError, match="another graph than the accelerator's"):
        storage.load(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(ImageError):
        galton.load(path, nn.Linear(3, 2))
