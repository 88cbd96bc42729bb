"""One cell of the bench: a network, a method and its settings, and the row of numbers that it gives."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import galton
from galton import golden, reference
from galton.bench import scoring, subjects
from galton.bench.scores import Metric, Samples
from galton.bench.scoring import Row, plain, raw_inputs
from galton.config import Config, named
from galton.errors import GaltonError
from galton.network import Ints, Network
from galton.quantization import quantize
from galton.summary import memories

TRACED = 32
"""Inputs in the histograms of counts."""
LARGEST_BIN = 32
"""Counts from here on share a bar."""
SPARSE = Config(
    "sparse",
    lanes=2,
    step_bits=2,
    accumulator_words=1 << 12,
    weight_words=1 << 20,
    table_words=1 << 20,
    data_words=1 << 20,
    rows=512,
    channels=1 << 14,
)
"""A core as large as the format allows, where zeros take no room: for image bytes."""
FIXED = ("module", "calibration", "method", "samples")
"""Parameters of `quantize` that are no settings."""


@dataclass(frozen=True)
class Cell:
    """What is measured.

    network: a name of subjects.NAMES; method, settings: for galton.quantize. calibration: inputs to calibrate with, 0 for no data
    at all. limit: samples to measure on, None for all. target: configuration of the image. golden: inputs on which the image is
    run by the golden model and compared with the network in torch. data: the data folder.
    """

    network: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    calibration: int = 500
    limit: int | None = None
    target: str = SPARSE.name
    golden: int = 0
    data: str = str(subjects.DATA)

    @property
    def key(self) -> str:
        """A name that only equal cells of equal source share, whatever the order of the settings and wherever the data is."""
        identity = {name: value for name, value in asdict(self).items() if name != "data"}
        return scoring.key(self, identity, __name__)

    @property
    def setting(self) -> str:
        """The settings in words."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items()) or "default"


def check(target: str, settings: Iterable[Mapping[str, Any]]) -> None:
    """Raise GaltonError for a setting that galton.quantize does not take, ValueError for an unknown target."""
    if target != SPARSE.name:
        named(target)
    known = [name for name in inspect.signature(quantize).parameters if name not in FIXED]
    for name in {name: None for chosen in settings for name in chosen}:
        if name not in known:
            raise GaltonError(f"galton.quantize has no setting {name!r}; it takes {', '.join(known)}")


def measure(cell: Cell, threads: int = 1) -> Row:
    """The row of a cell; where it cannot be measured, `failure` says why and the numbers are missing.

    What the quantizer warns of is in `warnings`, rather than said.
    """
    row = scoring.caught(cell.method, lambda: scoring.numbers(cell, partial(first_fold, cell)), threads)
    return {"key": cell.key, **asdict(cell), "setting": cell.setting, **row}


def first_fold(cell: Cell, quantized: Any, metric: Metric, tested: Samples, found: Tensor) -> Row:
    """What is not averaged over folds."""
    report = quantized.report()
    network = getattr(quantized, "network", None)
    image: Row = {"image_failure": "not for the accelerator"}
    if isinstance(network, Network):
        image = image_of(network, cell, tested, metric, found)
    return {
        **image,
        "options": json.loads(json.dumps(report["options"], default=plain)),
        "layers": [dict(layer) for layer in report["layers"]],
        "histograms": histograms(quantized, tested.inputs),
    }


def image_of(network: Network, cell: Cell, tested: Samples, metric: Metric, found: Tensor) -> Row:
    """Bytes that the image takes in the core's memories, and what the golden model makes of it; or why there is none.

    found: what the quantized network makes of the samples in torch. The golden model agrees where all outputs are equal.
    """
    config = SPARSE if cell.target == SPARSE.name else named(cell.target)
    try:
        compiled = galton.compile(network, config)
    except GaltonError as error:
        return {"image_failure": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    row: Row = {"image_bytes": sum(memory["loaded"] for memory in memories(compiled.image))}
    if cell.golden:
        few = Samples(*(part[: cell.golden] for part in (tested.inputs, tested.targets, tested.floats)))
        raw = raw_inputs(network, few.inputs)
        reached, expected = golden.run(compiled.image, raw), reference.run(network, raw)
        row["golden_tested"] = len(raw)
        row["golden_agrees"] = int((reached == expected).reshape(len(raw), -1).all(axis=1).sum())
        row["golden_score"] = float(metric.score(few, scaled(reached, network, found)).mean())
        row["golden_torch_score"] = float(metric.score(few, found[: cell.golden]).mean())
    return row


def scaled(raw: Ints, network: Network, like: Tensor) -> Tensor:
    """The machine's outputs (n, rows, columns, channels) as real ones of the shape that the network gives in torch."""
    channels_first = torch.from_numpy(raw * network.output_scale).float().permute(0, 3, 1, 2)
    return channels_first.reshape(-1, *like.shape[1:])


def histograms(quantized: Any, inputs: Tensor) -> Row:
    """How many weights, and activations of some inputs, have which magnitude: [zeros, ones, ...]."""
    network = getattr(quantized, "network", None)
    if not isinstance(network, Network):
        integers = getattr(quantized, "integers", {})
        return {"weights": {name: bins(values) for name, values in integers.items()}, "activations": {}}
    traces = reference.trace(network, raw_inputs(network, inputs[:TRACED]))
    pairs = list(zip(network.layers, traces, strict=True))
    return {
        "weights": {layer.name: bins(layer.weights) for layer, _ in pairs},
        "activations": {layer.name: bins(trace.counts) for layer, trace in pairs},
    }


def bins(values: Any) -> list[int]:
    """How often each magnitude occurs; the last bar holds LARGEST_BIN and everything beyond."""
    counted: list[int] = np.bincount(np.minimum(np.abs(np.asarray(values)).reshape(-1), LARGEST_BIN).astype(np.int64)).tolist()
    return counted
