"""Inputs of the bench's networks, from the sets of the data folder: to calibrate with, to measure on, and targets."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Uints = NDArray[np.uint8]
Inputs = tuple[Tensor, Tensor, Tensor]
"""Calibration inputs, inputs to measure on, and a target for each of these."""

CIFAR_MEAN, CIFAR_STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
CHANNELS_FIRST = (0, 3, 1, 2)
APART = 2000
"""Of the training images the first are for calibration, those from here on are to measure on."""
TIME = 256
"""Characters of a sequence."""
SEQUENCES = 128
"""To calibrate with."""
SMALL, LARGE = (96, 250, 250), (224, 16, 100)
"""Side of images that are made larger, and how many calibrate and are measured on: every layer's inputs are kept at once."""
FRAMES, BANDS = 5, 128
CLIPS = 1000
TYPICAL = -20.0
"""Decibels of flat frames whose reconstruction is the typical spectrum."""
LEVEL, PEAK, NOISE, PEAKS, WIDTH = 2.0, 4.0, 2.0, 4, 3.0
"""Decibels of the spread between clips, of the highest peak and of the noise; peaks in a clip, and their width in bands."""


def mnist(folder: Path, _: nn.Module) -> Inputs:
    """Grey levels in 0..1, (n, 1, 28, 28)."""
    train, test = np.load(folder / "mnist_train_10000.npz"), np.load(folder / "mnist_test_5000.npz")
    return _grey(train["x"]), _grey(test["x"]), _labels(test["y"])


def cifar_jpeg(folder: Path, _: nn.Module) -> Inputs:
    """Standardized colours, lossless training images to calibrate with, JPEG test images."""
    test = np.load(folder / "cifar10_test_jpegq75_5000.npz")
    images = _decoded(test["jpeg"], test["offsets"])
    return _standardized(_training(folder)), _standardized(images), _labels(test["y"])


def cifar_lossless(folder: Path, _: nn.Module) -> Inputs:
    """Colours in 0..255, the 200 lossless test images."""
    test = np.load(folder / "mlperf_ic01_200.npz")
    return _colours(_training(folder)), _colours(test["x"]), _labels(test["y"])


def cifar_training(folder: Path, _: nn.Module) -> Inputs:
    """Colours in 0..255 of lossless *training* images, the last half to measure on: no claim of accuracy, but small errors."""
    found = np.load(folder / "cifar10_train4k_lossless.npz")
    images = _colours(found["x"])
    return images[:APART], images[APART:], _labels(found["y"][APART:])


def cifar_standardized(folder: Path, _: nn.Module) -> Inputs:
    """Standardized colours, the 200 lossless test images."""
    test = np.load(folder / "mlperf_ic01_200.npz")
    return _standardized(_training(folder)), _standardized(test["x"]), _labels(test["y"])


def keywords(folder: Path, _: nn.Module) -> Inputs:
    """MFCC features (n, 1, 49, 10); the same samples calibrate and are measured on, so that they need folds."""
    found = np.load(folder / "mlperf_kws01_500.npz")
    features = (torch.from_numpy(found["x"]).float() - int(found["zero_point"])) * float(found["scale"])
    return features[:, None], features[:, None], _labels(found["y"])


def characters(folder: Path, _: nn.Module) -> Inputs:
    """Sequences of character numbers (n, time), and the characters that follow."""
    found = np.load(folder / "tinyshakespeare.npz")
    train, test = (_sequences(found[name]) for name in ("train", "test"))
    step = max(1, len(train) // SEQUENCES)
    return train[::step][:SEQUENCES, :-1], test[:, :-1], test[:, 1:]


def upsampled_96(folder: Path, _: nn.Module) -> Inputs:
    """CIFAR-10 images in 0..1 at 96 by 96: no people to find, but pictures. Targets are not known, thus 0."""
    return _upsampled(_colours(_training(folder)) / 255, *SMALL)


def upsampled_224(folder: Path, _: nn.Module) -> Inputs:
    """CIFAR-10 images in -1..1 at 224 by 224. Targets are not known, thus 0."""
    return _upsampled((_colours(_training(folder)) - 127) / 128, *LARGE)


def machine_sounds(_: Path, network: nn.Module) -> Inputs:
    """Made log-mel frames (n, 640), in decibels: five frames of 128 bands of a machine that hums steadily.

    The typical spectrum is what the autoencoder makes of flat frames at TYPICAL, averaged over frames; a clip adds a level, a
    few peaks at random bands, the same in all its frames, and noise. The float network rebuilds them as it does its own data,
    with a mean square of about 10. Targets are not known, thus 0.
    """
    with torch.no_grad():
        typical = network(torch.full((1, FRAMES * BANDS), TYPICAL)).reshape(FRAMES, BANDS).mean(dim=0)
    generator = torch.Generator().manual_seed(0)
    clips = typical + LEVEL * torch.randn(CLIPS, 1, 1, generator=generator)
    for _peak in range(PEAKS):
        centre, height = (torch.rand(CLIPS, 1, 1, generator=generator) for _each in range(2))
        clips = clips + PEAK * height * torch.exp(-(((torch.arange(BANDS) - BANDS * centre) / WIDTH) ** 2))
    frames = (clips + NOISE * torch.randn(CLIPS, FRAMES, BANDS, generator=generator)).reshape(CLIPS, -1)
    half = CLIPS // 2
    return frames[:half], frames[half:], torch.zeros(half, dtype=torch.long)


def _training(folder: Path) -> Uints:
    """Lossless CIFAR-10 training images (n, 32, 32, 3)."""
    images: Uints = np.load(folder / "cifar10_train4k_lossless.npz")["x"]
    return images


def _labels(found: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(found.astype(np.int64))


def _grey(pixels: Uints) -> Tensor:
    """Bytes (n, rows, columns) as grey levels in 0..1 with a channel."""
    return torch.from_numpy(pixels)[:, None].float() / 255


def _colours(pixels: Uints) -> Tensor:
    """Bytes (n, rows, columns, 3) as they are, channels first."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(CHANNELS_FIRST))).float()


def _standardized(pixels: Uints) -> Tensor:
    """Bytes (n, rows, columns, 3) less the mean, by the standard deviation, channels first."""
    values = (pixels.astype(np.float32) / 255 - CIFAR_MEAN) / CIFAR_STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(CHANNELS_FIRST)))


def _upsampled(images: Tensor, size: int, calibrating: int, measured: int) -> Inputs:
    """The first to calibrate with, those from APART on to measure on."""
    larger = [
        torch.nn.functional.interpolate(part, (size, size), mode="bilinear", align_corners=False)
        for part in (images[:calibrating], images[APART : APART + measured])
    ]
    return larger[0], larger[1], torch.zeros(measured, dtype=torch.long)


def _decoded(jpeg: Uints, offsets: NDArray[np.int64]) -> Uints:
    """The images of concatenated JPEG files, (n, rows, columns, 3)."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg[start:end].tobytes()))) for start, end in pairwise(offsets)])


def _sequences(ids: NDArray[np.integer]) -> Tensor:
    """Characters (n, TIME + 1), one after the other; the last of a sequence is only to be guessed."""
    count = len(ids) // (TIME + 1)
    return torch.from_numpy(ids[: count * (TIME + 1)].astype(np.int64)).reshape(count, TIME + 1)
