"""What is said about networks that the accelerator cannot run, and about inputs that a network does not take."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from galton import importer, lowering
from galton.errors import CalibrationError, UnsupportedLayer


class Join(nn.Module):
    def __init__(self, join) -> None:
        super().__init__()
        self.conv, self.join = nn.Conv2d(2, 2, 1), join

    def forward(self, x):
        return self.join(x, self.conv(x))


class Batch(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 16)


class Applied(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.fc, self.function = nn.Linear(4, 4), function

    def forward(self, x):
        return self.function(self.fc, x)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.fc1(x), self.fc2(x)


class Decision(nn.Module):
    def forward(self, x):
        return x.relu() if x.sum() > 0 else -x


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x):
        return self.lstm(x[:, None])[0][:, 0]


MAPS = [
    (
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        "grouped convolution (groups=2 of 4 channels to 4); use Conv2d with groups=1, or depthwise with as many",
    ),
    (nn.Conv2d(4, 4, 3, padding=2, dilation=2), "dilated convolution (dilation=(2, 2)); use Conv2d with dilation=1"),
    (nn.Conv2d(4, 4, 17, padding=8), "convolution with kernel (17, 17) and stride (1, 1); use kernels up to 16x16"),
    (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding with anything but zeros; use ZeroPad2d"),
    (nn.ConvTranspose2d(4, 4, 1), "transposed convolution; use Conv2d"),
    (nn.MaxPool2d(3, stride=1, padding=1), "max-pool windows of (3, 3) at stride (1, 1); use MaxPool2d with stride equal"),
    (nn.MaxPool2d(2, padding=1), "max-pool with padding of values below 0; use a ReLU before it, or MaxPool2d with neither"),
    (nn.AdaptiveAvgPool2d(7), "adaptive pooling of (26, 26) to (7, 7), which does not divide it"),
    (nn.MaxPool2d(2, ceil_mode=True), "max-pool with ceil_mode where windows pass the border of values below 0; use a ReLU"),
    (nn.Upsample(scale_factor=10), "upsampling; use strides that keep the resolution"),
    (
        nn.AvgPool2d((5, 6), stride=5),
        "average-pool windows of (5, 6) at stride (5, 5); use windows up to 64x64, at strides up to 4 or side by side",
    ),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False), "average-pool with count_include_pad=False"),
    (nn.AvgPool2d(2, ceil_mode=True), "average-pool with ceil_mode where windows pass the border"),
    (nn.Upsample(scale_factor=6), "upsampling"),
    (nn.Conv2d(4, 4, 2, stride=5), "convolution with kernel (2, 2) and stride (5, 5)"),
    (nn.Upsample(scale_factor=7), "upsampling"),
    (nn.ZeroPad2d(-1), "padding by [-1, -1, -1, -1]; use padding of rows, columns and channels by 0 or more"),
    (nn.MaxPool2d(17), "a max-pool window of (17, 17); use windows up to 16x16"),
]
VECTORS = [
    (nn.GELU(), "activation function; use ReLU or ReLU6"),
    (nn.Hardtanh(0.5, 1), "a clamp to 0.5..1.0, which has no zero in it"),
    (nn.Softmax(1), "Softmax before the end"),
    (nn.LayerNorm(4), "normalization by the input's own statistics; use BatchNorm2d"),
    (nn.BatchNorm1d(4, track_running_stats=False), "batch-norm without running statistics"),
    (nn.Threshold(0.1, 20), "operator threshold.default; use one of the supported layers"),
    (nn.Unflatten(1, (1, 2, 2)), "a change of shape from (2, 4) to (2, 1, 2, 2)"),
    (nn.Linear(2, 3), "Linear on an input of shape (2, 1, 2, 2); use Flatten before it"),
]


@pytest.mark.parametrize(("layers", "shape"), [(MAPS, (4, 50, 50)), (VECTORS, (4,))])
def test_every_problem_is_listed_at_once(layers, shape):
    module = nn.Sequential(*(layer for layer, _ in layers))
    with pytest.raises(UnsupportedLayer) as caught:
        importer.load(module, torch.rand(1, *shape))
    lines = str(caught.value).splitlines()
    assert lines[-1].startswith("Supported are Conv1d, Conv2d")
    assert len(lines) == len(layers) + 2
    for index, (line, (_, message)) in enumerate(zip(lines[1:-1], layers, strict=True)):
        assert line.startswith(f"  {index}: {message}")


REFUSED = {
    "depth multiplier": (
        nn.Conv2d(2, 4, 3, groups=2),
        (2, 4, 4),
        "grouped convolution (groups=2 of 2 channels to 4); use Conv2d",
    ),
    "window of 65": (
        nn.AvgPool2d((65, 1), stride=1),
        (1, 66, 2),
        "average-pool windows of (65, 1) at stride (1, 1); use windows up to 64x64",
    ),
    "a map of 4160": (nn.AdaptiveAvgPool2d(1), (1, 64, 65), "average-pool windows of (64, 65) at stride"),
    "mean over 4225": (Applied(lambda fc, x: x.mean((2, 3))), (1, 65, 65), "average-pool windows of (65, 65) at stride"),
    "max-pool with dilation": (nn.MaxPool2d(2, dilation=2), (1, 8, 8), "max-pool with dilation; use MaxPool2d with dilation=1"),
    "a batch in the graph": (Batch(), (2, 4, 4), "a change of shape from (2, 2, 4, 4) to (4, 16), which mixes inputs of a batch"),
    "concatenation": (Join(lambda a, b: torch.cat([a, b], 1)), (2, 4, 4), "concatenation"),
    "gate": (Join(torch.mul), (2, 4, 4), "product of two activations"),
    "square": (Join(lambda a, b: b * b), (2, 4, 4), "arithmetic that uses an activation twice"),
    "two outputs": (Branch(), (4,), "a network with several outputs; use one output"),
    "recurrent": (Recurrent(), (4,), "lstm: recurrent layer; use convolutions over time"),
    "a number of inputs": (Applied(lambda fc, x: fc(x) * x.shape[0]), (4,), "depends on the number or the values of the other"),
    "chance": (Applied(lambda fc, x: fc(x) + torch.randn(4)), (4,), "or on chance. The accelerator takes inputs one by one"),
    "one input": (
        Applied(lambda fc, x: fc(x.reshape(1, -1))),
        (4,),
        "The network takes inputs one by one only: 2 of shape (4) give",
    ),
    "classes over the batch": (
        nn.Sequential(nn.Linear(4, 2), nn.Softmax(0)),
        (4,),
        "1: Softmax over the batch; use Softmax over",
    ),
    "mean over the batch": (Applied(lambda fc, x: fc(x - x.mean(0, keepdim=True))), (4,), "mean over dimensions [0]; use rows"),
    "weights of the input": (
        Applied(lambda fc, x: F.linear(x, fc.weight * x.mean(1, keepdim=True).mean(0))),
        (4,),
        "a weight that depends on the input; use weights that are parameters or constants",
    ),
    "constant map": (Join(lambda a, b: b + torch.ones(4, 4)), (2, 4, 4), "a constant that is not one number for each channel"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_joins_otherwise_is_refused(case):
    module, shape, message = REFUSED[case]
    with pytest.raises(UnsupportedLayer) as caught:
        importer.load(module, torch.rand(1, *shape))
    assert message in str(caught.value)


def test_functions_are_shown_as_they_are_written():
    with pytest.raises(UnsupportedLayer, match=r"`return self.join\(x, self.conv\(x\)\)`"):
        importer.load(Join(torch.maximum), torch.zeros(1, 2, 4, 4))


def test_control_flow_on_data_is_refused():
    with pytest.raises(UnsupportedLayer, match=r"torch\.export cannot trace the network"):
        importer.load(Decision(), torch.zeros(1, 4))


def test_nothing_to_run_is_refused():
    imported = importer.load(nn.Sequential(nn.Identity(), nn.Dropout()), torch.zeros(1, 4))
    with pytest.raises(UnsupportedLayer, match="The network has no layers"):
        lowering.lower(imported.layers, imported.input_shape)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)),
            (1, 8, 8),
            r"does not take inputs of shape \(n, 1, 8, 8\).*0 takes \(n, 3, rows, columns\)",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 4)), (1, 2, 2), r"does not take inputs of shape.*1 takes \(n, 9\)"),
    ],
)
def test_inputs_that_the_network_does_not_take(module, shape, message):
    with pytest.raises(CalibrationError, match=message):
        importer.load(module, torch.zeros(1, *shape))
