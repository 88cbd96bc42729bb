"""Float layers from torch modules, however they are written, against the modules themselves."""

from __future__ import annotations

import copy
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import galton
from galton import golden, importer, lowering, reference
from galton.calibration import as_maps
from galton.layers import AveragePool, Clamp, Convolution, Flatten, Linear, MaxPool
from galton.network import NONE


def randomized(module: nn.Module) -> nn.Module:
    """Batch-norm as if it had been trained, with weights of both signs."""
    generator = torch.Generator().manual_seed(11)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            if layer.affine:
                nn.init.normal_(layer.weight, generator=generator)
                nn.init.normal_(layer.bias, generator=generator)
    return module


def float_stages(module: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """What the lowered stages compute, in float64, and their kinds."""
    imported = importer.load(module, inputs)
    lowered = lowering.lower(imported.layers, imported.input_shape)
    tensors = [as_maps(inputs.double())]
    for stage in lowered.stages:
        taken = tensors[stage.source]
        assert prod(stage.input_shape) == taken[0].numel()
        assert stage.input_shape[2] in (taken.shape[1], taken[0].numel())
        residual = None if stage.residual == NONE else tensors[stage.residual]
        tensors.append(stage.finish(stage.sums(taken), residual))
        assert (*tensors[-1].shape[2:], tensors[-1].shape[1]) == stage.output_shape
    values = lowered.run(inputs.double())
    assert torch.equal(values, tensors[-1])
    values = values.permute(0, 2, 3, 1).reshape(-1, *lowered.output_map).permute(0, 3, 1, 2)
    values = values.reshape(len(inputs), *imported.output_shape)
    return imported.head(values) if imported.head else values, [stage.kind for stage in lowered.stages]


class Functional(nn.Module):
    """Everything as a function call, weights as bare parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.matrix = nn.Parameter(torch.randn(5, 16))
        self.register_buffer("mean", torch.tensor([0.1, -0.2]).view(2, 1, 1))

    def forward(self, x):
        x = (x - self.mean) / 0.25
        x = F.conv2d(F.pad(x, (1, 0, 2, 1)), self.kernel, stride=(2, 1))
        x = F.max_pool2d(torch.relu(x), kernel_size=(1, 2))
        x = F.adaptive_avg_pool2d(x, 2).clamp(min=0, max=2)
        return F.log_softmax(F.linear(x.view(x.size(0), -1), self.matrix), dim=1)


class Spatial(nn.Module):
    def forward(self, x):
        return F.relu(x).mean((2, 3))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


class InPlace(nn.Module):
    """The result of an in-place call is not used, the tensor is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.fc(x)
        self.act(x)
        return x


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        return self.fc(F.relu(self.fc(x)))


class Line(nn.Module):
    """Maps in rows of other lengths, some of them added."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.flat, self.fc = nn.Conv1d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x):
        x = self.line(x).relu()
        y = self.flat(x.reshape(-1, 4, 2, 4)).relu().flatten(2) + x
        return self.fc(F.avg_pool1d(y, 8).squeeze(2))


class Axes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.conv(x).mean(3).sum(-1))


class Largest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 2), nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.conv(x).amax((2, 3)))


class Differences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.fc = nn.Conv2d(2, 3, 2), nn.Conv2d(2, 3, 2), nn.Linear(48, 3)

    def forward(self, x):
        return self.fc(torch.sub(-self.one(x), self.other(x), alpha=0.5).relu().flatten(1))


CASES = {
    "functional": (Functional, (2, 6, 6), ["identity", "convolution", "average", "linear"]),
    "spatial mean": (Spatial, (3, 5, 4), ["identity", "average"]),
    "in place": (InPlace, (6,), ["linear"]),
    "shared": (Shared, (6,), ["linear", "linear"]),
    "batch-norm folds": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU6()), (2, 5, 5), ["convolution"]),
    "batch-norm without weights": (lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, affine=False)), (6,), ["linear"]),
    "batch-norm on the input": (lambda: nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()), (2, 4, 4), ["identity"]),
    "batch-norm behind relu": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 2)),
        (2, 5, 5),
        ["convolution", "identity", "convolution"],
    ),
    "batch-norm behind max-pool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3)),
        (2, 6, 6),
        ["convolution", "identity"],
    ),
    "batch-norm on vectors of maps": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4)),
        (2, 4, 4),
        ["convolution", "identity", "linear"],
    ),
    "ends in a vector of a map": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12)),
        (2, 4, 4),
        ["convolution", "identity"],
    ),
    "max-pool first": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(2, 3, 2)),
        (2, 7, 6),
        ["identity", "convolution"],
    ),
    "two max-pools": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)),
        (2, 8, 8),
        ["convolution", "identity"],
    ),
    "max-pool over padding": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.MaxPool2d(2)),
        (2, 4, 4),
        ["convolution", "identity"],
    ),
    "padding at the end": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d((0, 1, 2, 0))),
        (2, 4, 4),
        ["convolution", "identity"],
    ),
    "batch-norm on padding": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.BatchNorm2d(3)),
        (2, 4, 4),
        ["convolution", "identity"],
    ),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(3, 3, (3, 2), stride=(2, 1), padding=1, groups=3), nn.BatchNorm2d(3), nn.ReLU6()),
        (3, 6, 5),
        ["depthwise"],
    ),
    "one channel is no depthwise": (lambda: nn.Conv2d(1, 1, 3, groups=1), (1, 5, 5), ["convolution"]),
    "separable": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding="same", groups=4), nn.Conv2d(4, 3, 1)),
        (2, 5, 5),
        ["convolution", "depthwise", "convolution"],
    ),
    "same padding": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 5, 5), ["convolution"]),
    "average with a remainder": (lambda: nn.AvgPool2d(2), (2, 5, 3), ["average"]),
    "average of one large window": (lambda: nn.AvgPool2d(6), (2, 9, 6), ["average"]),
    "average over its padding": (lambda: nn.AvgPool2d(3, stride=2, padding=1), (2, 6, 6), ["average"]),
    "average with a divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), (2, 4, 4), ["average"]),
    "dropout and identity": (
        lambda: nn.Sequential(nn.Dropout(), nn.Identity(), nn.Linear(6, 2), nn.Dropout(), nn.Softmax(1)),
        (6,),
        ["linear"],
    ),
    "hardtanh": (lambda: nn.Sequential(nn.Linear(6, 2), nn.Hardtanh(-0.5, 0.25), nn.Sigmoid()), (6,), ["linear"]),
    "weight norm": (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 2))), (6,), ["linear"]),
    "convolution in one dimension": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 5, stride=2, padding=2), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.ReLU()),
        (2, 17),
        ["convolution"],
    ),
    "separable in one dimension": (
        lambda: nn.Sequential(nn.Conv1d(2, 2, 4, padding="same", groups=2), nn.ReLU6(), nn.Dropout1d(), nn.Conv1d(2, 3, 1)),
        (2, 9),
        ["depthwise", "convolution"],
    ),
    "pools in one dimension": (
        lambda: nn.Sequential(nn.AvgPool1d(3, stride=2, padding=1), nn.AdaptiveMaxPool1d(4), nn.AdaptiveAvgPool1d(2)),
        (2, 15),
        ["average", "average"],
    ),
    "padding and classes in one dimension": (
        lambda: nn.Sequential(nn.ConstantPad1d((3, 0), 0.0), nn.Conv1d(2, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(21, 5)),
        (2, 7),
        ["convolution", "linear"],
    ),
    "one dimension becomes two": (Line, (3, 8), ["convolution", "convolution", "identity", "average", "linear"]),
    "windows side by side": (lambda: nn.AvgPool2d((3, 5)), (2, 6, 10), ["average", "average"]),
    "windows of rows of any stride": (lambda: nn.AvgPool2d((7, 2)), (2, 15, 5), ["average"]),
    "wide windows side by side": (lambda: nn.AvgPool2d((1, 6)), (2, 2, 12), ["average"]),
    "average of a long row": (lambda: nn.AdaptiveAvgPool1d(1), (2, 131), ["identity", "average"]),
    "average of a high map": (Mean, (2, 70, 2), ["identity", "average"]),
    "average of 128 pixels": (Mean, (2, 2, 64), ["average"]),
    "means by axis": (Axes, (3, 4, 6), ["convolution", "average", "average", "linear"]),
    "largest values": (Largest, (2, 6, 5), ["convolution", "linear"]),
    "max-pool over the border": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU6(), nn.AvgPool2d(2, stride=1), nn.MaxPool2d(3, padding=1)),
        (2, 10, 8),
        ["convolution", "average", "identity"],
    ),
    "max-pool that is rounded up": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        (2, 8, 7),
        ["convolution", "identity"],
    ),
    "max-pool that leaves out": (lambda: nn.MaxPool2d(1, stride=2), (2, 5, 6), ["identity"]),
    "differences": (Differences, (2, 5, 5), ["convolution", "convolution", "linear"]),
    "double precision": (lambda: nn.Linear(6, 2).double(), (6,), ["linear"]),
}


@pytest.mark.parametrize("case", CASES)
def test_stages_compute_what_the_module_does(case):
    make, shape, kinds = CASES[case]
    torch.manual_seed(3)
    module = randomized(make())
    inputs = torch.randn(3, *shape)
    found, found_kinds = float_stages(module, inputs)
    with torch.no_grad():
        expected = copy.deepcopy(module).float().eval()(inputs)
    assert found_kinds == kinds
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4


ELEMENTWISE = {
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding=1, groups=4), nn.ReLU()), (6, 5)),
    "average": (lambda: nn.AvgPool2d((2, 3), stride=(2, 1), padding=(1, 0)), (6, 5)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((3, 1)), (6, 5)),
    "global 25x5": (lambda: nn.AdaptiveAvgPool2d(1), (25, 5)),
    "global 14x14": (lambda: nn.AvgPool2d(14), (14, 14)),
    "global 64x1": (Mean, (64, 1)),
    "batch-norm": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(4)), (6, 5)),
}


@pytest.mark.filterwarnings("ignore:.*its inputs spread:galton.errors.CalibrationWarning")
@pytest.mark.parametrize("case", ELEMENTWISE)
def test_elementwise_layers_run(case):
    """Close to the float module; packed bytes, integer network and torch module exactly alike."""
    make, size = ELEMENTWISE[case]
    torch.manual_seed(5)
    module = randomized(nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), make()))
    inputs = torch.rand(12, 2, *size)
    quantized = galton.quantize(module, inputs, k_weights=16, k_activations=16)
    layer = quantized.network.layers[1]
    assert layer.elementwise
    assert layer.weights.shape[3] == 1
    for target in ("up5k", "ecp5-25"):
        compiled = galton.compile(quantized, target)
        assert compiled.network.layers[1].elementwise
        assert torch.equal(torch.as_tensor(compiled.run(inputs)).float().reshape(-1), quantized(inputs).reshape(-1))
    raw = quantized.network.raw_input(inputs.permute(0, 2, 3, 1).numpy().astype(float))
    assert (golden.run(compiled.image, raw) == reference.run(quantized.network, raw)).all()
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(inputs)
    assert (quantized(inputs) - expected).norm() < 0.1 * expected.norm()


def test_layers_carry_module_paths():
    module = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU()), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten()
    )
    module.append(nn.Linear(8, 3))
    layers = importer.load(module, torch.zeros(1, 1, 10, 10)).layers
    kinds = [(type(layer), layer.name) for layer in layers]
    assert kinds == [(Convolution, "0.0"), (Clamp, "0.1"), (MaxPool, "1"), (AveragePool, "2"), (Flatten, "3"), (Linear, "4")]
    assert layers[0].bias is None
    names = [layer.name for layer in importer.load(Shared(), torch.zeros(1, 6)).layers]
    assert names == ["fc", "relu", "fc#2"]
    assert importer.load(Functional(), torch.zeros(1, 2, 6, 6)).layers[3].name == "kernel"


def test_the_module_is_not_touched():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    before = copy.deepcopy(module.state_dict())
    importer.load(module, torch.randn(4, 1, 5, 5))
    assert all(layer.training for layer in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
