"""What a network is measured by: a score for each sample, higher being better, so that differences are paired."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Packed = Mapping[str, Any]


@dataclass(frozen=True)
class Samples:
    """Samples to measure on: inputs, targets (labels, or what the metric takes instead) and outputs of the float network."""

    inputs: Tensor
    targets: Tensor
    floats: Tensor


@dataclass(frozen=True)
class Metric:
    """score: the score of each sample, (n,), higher being better, in `unit`, from samples and a network's outputs (n, ...)."""

    name: str
    unit: str
    score: Callable[[Samples, Tensor], Floats]

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}"


def right(tested: Samples, outputs: Tensor) -> Floats:
    """100 where the largest output is that of the label."""
    return _percent(outputs.argmax(dim=1) == tested.targets)


def agreeing(tested: Samples, outputs: Tensor) -> Floats:
    """100 where the largest output is that of the float network."""
    return _percent(outputs.argmax(dim=1) == tested.floats.argmax(dim=1))


def log_likelihood(tested: Samples, outputs: Tensor) -> Floats:
    """Mean log probability of the targets (n, time), from logits (n, time, characters)."""
    lost = torch.nn.functional.cross_entropy(outputs.double().transpose(1, 2), tested.targets, reduction="none")
    found: Floats = -lost.mean(dim=1).numpy()
    return found


def anomaly_kept(tested: Samples, outputs: Tensor) -> Floats:
    """Minus the change of the anomaly score, percent of the float network's."""
    before, after = (anomaly(tested, found) for found in (tested.floats, outputs))
    change: Floats = -100 * abs(after - before) / before
    return change


def anomaly(tested: Samples, outputs: Tensor) -> Floats:
    """The anomaly score of each sample: the mean square of what is not rebuilt."""
    found: Floats = (outputs.double() - tested.inputs).square().mean(dim=1).numpy()
    return found


def anomaly_correlation(tested: Samples, outputs: Tensor) -> float:
    """Pearson's correlation of the anomaly scores with those of the float network."""
    return float(np.corrcoef(anomaly(tested, tested.floats), anomaly(tested, outputs))[0, 1])


ACCURACY = Metric("accuracy", "%", right)
AGREEMENT = Metric("agreement with float", "%", agreeing)
LIKELIHOOD = Metric("log likelihood", "nats per character", log_likelihood)
ANOMALY = Metric("minus change of anomaly score", "%", anomaly_kept)


def _percent(answers: Tensor) -> Floats:
    return 100.0 * answers.double().numpy()


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences and its standard error; both 0 for fewer than two samples that differ in nothing."""

    mean: float
    error: float

    @staticmethod
    def of(gains: Floats) -> Difference:
        """From the difference of each sample, (n,) with n at least 1."""
        error = float(gains.std(ddof=1)) / sqrt(len(gains)) if len(gains) > 1 else 0.0
        return Difference(float(gains.mean()), error)


def pack(scores: Floats) -> Packed:
    """Scores as JSON values: a bit each where there are but two values, otherwise float32."""
    values = np.unique(scores)
    if len(values) <= 2:
        bits = np.packbits(scores == values[-1])
        return {"count": len(scores), "values": values.tolist(), "bits": base64.b64encode(bits.tobytes()).decode()}
    return {"count": len(scores), "floats": base64.b64encode(scores.astype("<f4").tobytes()).decode()}


def unpack(packed: Packed) -> Floats:
    """What `pack` was given, to float32."""
    if "floats" in packed:
        return np.frombuffer(base64.b64decode(packed["floats"]), "<f4").astype(np.float64)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed["bits"]), np.uint8), count=packed["count"])
    low, high = packed["values"][0], packed["values"][-1]
    found: Floats = np.where(bits, high, low).astype(np.float64)
    return found


def shown(value: float, unit: str, *, sign: bool = False) -> str:
    """A score or difference with the decimals that its unit deserves."""
    places = 2 if unit == "%" else 4
    return f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
