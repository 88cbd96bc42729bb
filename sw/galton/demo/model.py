"""The demonstration's network, as a user would write it: nothing in it knows about Galton."""

from __future__ import annotations

from torch import Tensor, nn


class Digits(nn.Module):
    """Grey levels in 0..1 (n, 1, 28, 28) to ten scores (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(16)
        self.hidden = nn.Linear(16 * 7 * 7, 64)
        self.scores = nn.Linear(64, 10)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        values = self.pool(self.norm1(self.conv1(images)).relu())
        values = self.pool(self.norm2(self.conv2(values)).relu())
        scores: Tensor = self.scores(self.hidden(values.flatten(1)).relu())
        return scores


def make_model() -> nn.Module:
    """Two convolutions with batch-norm and max-pool, two linear layers, not yet trained."""
    return Digits()
