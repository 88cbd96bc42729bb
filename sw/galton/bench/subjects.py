"""The networks that the bench quantizes, each with inputs to calibrate with, samples to measure on, and a metric.

`digits` comes with a package. The others need a data folder: classes in its models.py, state dicts in models/, inputs in sets/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galton.bench import inputs as data_sets
from galton.bench.scores import ACCURACY, AGREEMENT, ANOMALY, LIKELIHOOD, Metric
from galton.cli.models import call, load_weights
from galton.errors import GaltonError

VALUES = 1 << 20
"""Input values that run at a time, at most BATCH inputs."""
BATCH = 250
DATA = Path("../shared/data")
"""Where the data folder is looked for, seen from the working directory."""
FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """Inputs to calibrate with, and the places of the samples that the network is measured on then."""

    calibration: Tensor
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """A float network, inputs to calibrate with, and samples to measure on, as the network takes them.

    crossed: calibration inputs and samples are the same, (n, ...).
    """

    name: str
    network: nn.Module
    calibration: Tensor
    inputs: Tensor
    targets: Tensor
    metric: Metric = ACCURACY
    crossed: bool = False

    def folds(self, calibration: int, limit: int | None) -> list[Fold]:
        """How the first `limit` samples are measured, with at most `calibration` inputs to calibrate with.

        One fold where calibration inputs are apart. Crossed: up to a tenth of the samples, those calibrate and are left out.
        With more, every fifth sample is measured by a network that is calibrated on the others, five times.
        """
        everything = np.arange(len(self.inputs))
        if not self.crossed:
            return [Fold(self.calibration[:calibration], everything[:limit])]
        if calibration <= len(everything) // 10:
            return [Fold(self.calibration[:calibration], everything[calibration:][:limit])]
        measured = everything[:limit]
        return [
            Fold(self.calibration[everything % FOLDS != fold][:calibration], measured[measured % FOLDS == fold])
            for fold in range(FOLDS)
            if fold < len(measured)
        ]


@dataclass(frozen=True)
class Source:
    """Where a network of the data folder comes from: class and state dict, what reads its inputs, and how it is measured."""

    kind: str
    weights: str
    read: Callable[[Path, nn.Module], data_sets.Inputs]
    metric: Metric = ACCURACY
    crossed: bool = False


def outputs(network: Any, inputs: Tensor) -> Tensor:
    """A network's first outputs for all inputs, a few at a time."""
    size = max(1, min(BATCH, VALUES // max(1, inputs[:1].numel())))
    with torch.no_grad():
        found = [network(part) for part in inputs.split(size)]
    return torch.cat([part[0] if isinstance(part, tuple) else part for part in found]).cpu()


SOURCES = {
    "lenet300100": Source("LeNet300100", "mnist_lenet300100", data_sets.mnist),
    "lenet5": Source("LeNet5", "mnist_lenet5", data_sets.mnist),
    "vggsmall": Source("VggSmall", "cifar10jpeg_vggsmall", data_sets.cifar_jpeg),
    "resnet20": Source("CifarResNet", "cifar10jpeg_resnet20", data_sets.cifar_jpeg),
    "resnet20_lossless": Source("CifarResNet", "cifar10_resnet20", data_sets.cifar_standardized),
    "resnet8": Source("TinyResNet8", "mlperf_ic_resnet8", data_sets.cifar_lossless),
    "resnet8_training": Source("TinyResNet8", "mlperf_ic_resnet8", data_sets.cifar_training),
    "kws": Source("DSCNN", "mlperf_kws_dscnn", data_sets.keywords, crossed=True),
    "charlstm": Source("CharLSTM", "charlm_lstm_shakespeare", data_sets.characters, LIKELIHOOD),
    "vww": Source("MobileNetV1_025_96", "mlperf_vww_mobilenetv1_025_96", data_sets.upsampled_96, AGREEMENT),
    "toycar": Source("ToyCarAE", "mlperf_ad_toycar_fcae", data_sets.machine_sounds, ANOMALY),
    "efficientnet": Source("EfficientNetLite0", "imagenet_efficientnet_lite0", data_sets.upsampled_224, AGREEMENT),
}
"""The networks of the data folder."""

NAMES = ("digits", *SOURCES)
"""Every network of the bench."""


def available(data: Path) -> list[str]:
    """The networks that can be had here."""
    return [name for name in NAMES if name not in SOURCES or (data / "models" / f"{SOURCES[name].weights}.safetensors").is_file()]


def check(name: str, data: Path) -> None:
    """Raise GaltonError for a name that is not known, and for a data folder that does not hold the network."""
    if name not in NAMES:
        raise GaltonError(f"There is no network {name!r} on the bench; the known ones are {', '.join(NAMES)}")
    if name not in available(data):
        weights = data / "models" / f"{SOURCES[name].weights}.safetensors"
        raise GaltonError(f"The network {name!r} needs {weights}, which is not there; --data says where the data folder is")


@lru_cache(maxsize=2)
def load(name: str, data: Path) -> Subject:
    """The network called `name`; `data` is the data folder.

    Raises GaltonError as `check` does.
    """
    check(name, data)
    if name == "digits":
        return digits()
    source, floats = SOURCES[name], network(name, data)
    return Subject(name, floats, *source.read(data / "sets", floats), source.metric, source.crossed)


def network(name: str, data: Path) -> nn.Module:
    """The float network of the data folder that is called `name`, in eval mode."""
    source = SOURCES[name]
    found = call(data / "models.py", source.kind)
    load_weights(found, data / "models" / f"{source.weights}.safetensors")
    return found.eval()


@lru_cache(maxsize=4)
def float_outputs(name: str, data: Path, count: int) -> Tensor:
    """Outputs of the float network for its first inputs: the same for all cells of a process."""
    subject = load(name, data)
    return outputs(subject.network, subject.inputs[:count])


def digits() -> Subject:
    """The demonstration's network and images."""
    from galton.demo import training
    from galton.demo.digits import load as load_digits

    data = load_digits()
    network = training.trained(data, lambda _: None)
    train, test = torch.from_numpy(data.train), torch.from_numpy(data.test)
    return Subject("digits", network, train, test, torch.from_numpy(data.test_labels.astype(np.int64)))
