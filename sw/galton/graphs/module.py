"""The torch module that a quantized graph is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from galton import calibration as data
from galton.errors import CalibrationError
from galton.metrics import LayerMeasures, Report
from galton.network import Ints


class EmulatedModule(nn.Module):
    """A network with the real values of integer weights, and of counts in front of its convolutions and linear layers.

    module: what computes. integers: weights of each layer by name, (outputs, inputs of a group, rows, columns), or all matrices
    in a row. steps: the real value of one for each output. network: None. reason: why it is not for the accelerator.
    Nothing here can be trained.
    """

    network = None

    def __init__(
        self,
        module: nn.Module,
        integers: dict[str, Ints],
        steps: dict[str, Tensor],
        measures: list[LayerMeasures],
        options: dict[str, Any],
        reason: str,
    ) -> None:
        super().__init__()
        self.module, self.integers, self.steps, self.measures = module, integers, steps, measures
        self.options, self.reason = options, reason

    def forward(self, *inputs: Any) -> Any:
        """What the network returns, of inputs as it takes them."""
        with torch.no_grad():
            return self.module(*inputs)

    def report(self, loader: Iterable[tuple[Tensor, Tensor]] | None = None) -> Report:
        """The measures of the layers on the calibration data; with batches of (inputs, labels), the accuracy too."""
        weights = list(self.integers.values())
        return Report.of(self.measures, weights, self.options, None if loader is None else self.accuracy(loader))

    def accuracy(self, loader: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Share of inputs whose largest output is that of their label.

        Raises CalibrationError where there are none.
        """
        right = count = 0
        for inputs, labels in loader:
            values = data.check(inputs, "The input", maps=False)
            right += int((self(values).argmax(dim=1).cpu() == torch.as_tensor(labels).cpu()).sum())
            count += len(inputs)
        if count == 0:
            raise CalibrationError("There is nothing to measure the accuracy on: expected batches of (inputs, labels)")
        return right / count

    def train(self, mode: bool = True) -> EmulatedModule:
        """Always in eval mode."""
        del mode
        super().train(False)
        return self
