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

    module: what computes. names: of the layers whose weights are integers, one of those that share them. network: None.
    reason: why it is not for the accelerator. left: names of weights that are in float though no one asked for it.
    The state dict holds integers, steps and grids. Nothing here can be trained.
    """

    network = None

    def __init__(
        self,
        module: nn.Module,
        names: list[str],
        measures: list[LayerMeasures],
        options: dict[str, Any],
        reason: str,
        left: list[str],
    ) -> None:
        super().__init__()
        self.module, self.names, self.measures = module, names, measures
        self.options, self.reason, self.left = options, reason, left
        self.eval()

    @property
    def integers(self) -> dict[str, Ints]:
        """Weights of each layer by name, (outputs, inputs of a group, rows, columns)."""
        return {name: self._buffer(name, "integers").long().numpy() for name in self.names}

    @property
    def steps(self) -> dict[str, Tensor]:
        """The real value of a weight of one, for each output of each layer."""
        return {name: self._buffer(name, "steps") for name in self.names}

    def _buffer(self, name: str, what: str) -> Tensor:
        return self.module.get_submodule(name).get_buffer(what).cpu()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the network returns, of inputs as it takes them."""
        with torch.no_grad():
            return self.module(*inputs, **named)

    def report(self, loader: Iterable[tuple[Any, Any]] | None = None) -> Report:
        """The measures of the layers on the calibration data; with batches of (inputs, labels), the accuracy too."""
        weights = list(self.integers.values())
        return Report.of(self.measures, weights, self.options, None if loader is None else self.accuracy(loader))

    def accuracy(self, loader: Iterable[tuple[Any, Any]]) -> float:
        """Share of inputs whose largest output is that of their label.

        Raises CalibrationError where there are none.
        """
        right = count = 0
        for batch, labels in loader:
            inputs = data.Inputs.of(batch, "The input")
            outputs = inputs.run(self)
            if not isinstance(outputs, Tensor):
                raise CalibrationError(f"The network returns {type(outputs).__name__}: accuracy needs a tensor (n, classes)")
            right += int((outputs.argmax(dim=1).cpu() == torch.as_tensor(labels).cpu()).sum())
            count += len(inputs)
        if count == 0:
            raise CalibrationError("There is nothing to measure the accuracy on: expected batches of (inputs, labels)")
        return right / count

    def train(self, mode: bool = True) -> EmulatedModule:
        """Always in eval mode."""
        del mode
        super().train(False)
        return self
