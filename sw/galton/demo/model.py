"""The demonstration's network, as a user would write it: nothing in it knows about Galton."""

from __future__ import annotations

from torch import nn


def make_model() -> nn.Module:
    """Two convolutions with batch-norm and max-pool, two linear layers: 1x28x28 grey levels in 0..1 to ten scores."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
