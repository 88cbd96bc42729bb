"""The networks that the bench quantizes, each with inputs to calibrate and to measure with.

`digits` comes with a package. The others need a data folder: classes in its models.py, state dicts in models/, inputs in sets/.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galton.cli.models import call, load_weights
from galton.errors import GaltonError

BATCH = 250
DATA = Path("../shared/data")
"""Where the data folder is looked for, seen from the working directory."""
CIFAR_MEAN, CIFAR_STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
CHANNELS_FIRST = (0, 3, 1, 2)

Bools = NDArray[np.bool_]
Uints = NDArray[np.uint8]
Inputs = tuple[Tensor, Tensor, NDArray[np.int64]]


@dataclass(frozen=True)
class Subject:
    """A float network, inputs to calibrate with, and labelled ones that it is not calibrated on, as the network takes them."""

    name: str
    network: nn.Module
    calibration: Tensor
    inputs: Tensor
    labels: NDArray[np.int64]

    def right(self, limit: int | None) -> Bools:
        """Which of the first `limit` inputs the float network gets right."""
        return right(self.network, self.inputs[:limit], self.labels[:limit])


@dataclass(frozen=True)
class Source:
    """Where a network of the data folder comes from: class and state dict, and what reads its inputs from the folder of sets."""

    kind: str
    weights: str
    read: Callable[[Path], Inputs]


def right(network: nn.Module, inputs: Tensor, labels: NDArray[np.int64]) -> Bools:
    """Which inputs get their label as the largest output, (n,)."""
    with torch.no_grad():
        found = [network(part).argmax(dim=1).cpu() for part in inputs.split(BATCH)]
    answers: Bools = torch.cat(found).numpy() == labels
    return answers


def mnist(folder: Path) -> Inputs:
    """Grey levels in 0..1, (n, 1, 28, 28)."""
    train, test = np.load(folder / "mnist_train_10000.npz"), np.load(folder / "mnist_test_5000.npz")
    return grey(train["x"]), grey(test["x"]), test["y"].astype(np.int64)


def grey(pixels: Uints) -> Tensor:
    """Bytes (n, rows, columns) as grey levels in 0..1 with a channel."""
    return torch.from_numpy(pixels)[:, None].float() / 255


def cifar_jpeg(folder: Path) -> Inputs:
    """Standardized colours, lossless training images to calibrate with, JPEG test images."""
    test = np.load(folder / "cifar10_test_jpegq75_5000.npz")
    images = decoded(test["jpeg"], test["offsets"])
    return standardized(training_images(folder)), standardized(images), test["y"].astype(np.int64)


def cifar_lossless(folder: Path) -> Inputs:
    """Colours in 0..255, lossless images."""
    test = np.load(folder / "mlperf_ic01_200.npz")
    train, images = (torch.from_numpy(x.transpose(CHANNELS_FIRST)).float() for x in (training_images(folder), test["x"]))
    return train, images, test["y"].astype(np.int64)


def keywords(folder: Path) -> Inputs:
    """MFCC features (n, 1, 49, 10); the first tenth of the set calibrates and is left out."""
    found = np.load(folder / "mlperf_kws01_500.npz")
    features = (torch.from_numpy(found["x"]).float() - int(found["zero_point"])) * float(found["scale"])
    first = len(features) // 10
    return features[:first, None], features[first:, None], found["y"][first:].astype(np.int64)


def training_images(folder: Path) -> Uints:
    """Lossless CIFAR-10 training images (n, 32, 32, 3)."""
    images: Uints = np.load(folder / "cifar10_train4k_lossless.npz")["x"]
    return images


def decoded(jpeg: Uints, offsets: NDArray[np.int64]) -> Uints:
    """The images of concatenated JPEG files, (n, rows, columns, 3)."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg[start:end].tobytes()))) for start, end in pairwise(offsets)])


def standardized(pixels: Uints) -> Tensor:
    """Bytes (n, rows, columns, 3) less the mean, by the standard deviation, channels first."""
    values = (pixels.astype(np.float32) / 255 - CIFAR_MEAN) / CIFAR_STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(CHANNELS_FIRST)))


SOURCES = {
    "lenet300100": Source("LeNet300100", "mnist_lenet300100", mnist),
    "lenet5": Source("LeNet5", "mnist_lenet5", mnist),
    "vggsmall": Source("VggSmall", "cifar10jpeg_vggsmall", cifar_jpeg),
    "resnet20": Source("CifarResNet", "cifar10jpeg_resnet20", cifar_jpeg),
    "resnet8": Source("TinyResNet8", "mlperf_ic_resnet8", cifar_lossless),
    "kws": Source("DSCNN", "mlperf_kws_dscnn", keywords),
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
    source = SOURCES[name]
    network = call(data / "models.py", source.kind)
    load_weights(network, data / "models" / f"{source.weights}.safetensors")
    return Subject(name, network.eval(), *source.read(data / "sets"))


def digits() -> Subject:
    """The demonstration's network and images."""
    from galton.demo import training
    from galton.demo.digits import load as load_digits

    data = load_digits()
    network = training.trained(data, lambda _: None)
    return Subject("digits", network, torch.from_numpy(data.train), torch.from_numpy(data.test), data.test_labels)
