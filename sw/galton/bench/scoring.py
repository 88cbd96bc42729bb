"""Networks quantized by a method and scored sample by sample: the part of the bench that needs no core."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from galton import calibration
from galton.bench import sources, subjects
from galton.bench.scores import Difference, Floats, Metric, Samples, pack
from galton.errors import GaltonError
from galton.network import Ints, Network
from galton.quantization import quantize
from galton.quantizers import METHODS

SUMS = ("weight_samples", "activation_samples", "clipped")
"""Measures of layers that are summed."""

Row = dict[str, Any]


class Trial(Protocol):
    """A network, a method and its settings for galton.quantize, and what they are measured on; see galton.bench.cells.Cell."""

    @property
    def network(self) -> str:
        """A name of subjects.NAMES."""

    @property
    def method(self) -> str:
        """A name of quantizers.METHODS."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of galton.quantize."""

    @property
    def calibration(self) -> int:
        """Inputs to calibrate with, 0 for no data at all."""

    @property
    def limit(self) -> int | None:
        """Samples to measure on, None for all."""

    @property
    def data(self) -> str:
        """The data folder."""


First = Callable[[Any, Metric, Samples, Tensor], Row]
"""What is added to the row, from the first fold's quantized network, its metric and samples, and its outputs for them."""


def key(trial: Trial, identity: Mapping[str, Any], root: str) -> str:
    """A name that only equal trials of equal source share, whatever the order of the settings.

    identity: what tells trials apart. root: the module that measures; its source and the method's count, with all they import.
    """
    others = {own["method"] for own in trial.settings.get("layers", {}).values() if "method" in own}
    modules = sorted({METHODS[name].partition(":")[0] for name in {trial.method, *others} if name in METHODS})
    text = json.dumps({**identity, "source": sources.digest((root, *modules))}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def caught(method: str, numbers: Callable[[], Row], threads: int) -> Row:
    """The row that `numbers` gives, with so many threads in torch; where it cannot be had, `failure` says why.

    What the quantizer warns of is in `warnings`, rather than said.
    """
    row: Row = {}
    with threads_of_torch(threads), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            warm(method)
            said.clear()
            row |= numbers()
        except (GaltonError, ValueError, ArithmeticError, RuntimeError) as error:
            row |= {"failure": f"{type(error).__name__}: {error}"}
    return row | {"warnings": list(dict.fromkeys(str(one.message) for one in said))}


def numbers(trial: Trial, first: First) -> Row:
    """What is measured of a trial: scores of all folds' samples, means over the folds, and what `first` says."""
    data = Path(trial.data)
    subject = subjects.load(trial.network, data)
    metric = subject.metric
    parts: list[tuple[Any, Floats, Floats, float, float]] = []
    rest: Row = {}
    reports: list[Row] = []
    seconds: list[float] = []
    for number, fold in enumerate(subject.folds(trial.calibration, trial.limit)):
        start = time.perf_counter()
        quantized = quantized_by(trial, subject, fold.calibration)
        seconds.append(time.perf_counter() - start)
        reports.append(quantized.report())
        where = torch.from_numpy(fold.places)
        floats = subjects.float_outputs(trial.network, data, int(fold.places.max()) + 1)[where]
        tested = Samples(subject.inputs[where], subject.targets[where], floats)
        found = subjects.outputs(quantized, tested.inputs)
        wrong, power = (float(values.double().square().sum()) for values in (found - floats, floats))
        parts.append((fold.places, metric.score(tested, floats), metric.score(tested, found), wrong, power))
        if number == 0:
            rest = first(quantized, metric, tested, found)
    order = np.argsort(np.concatenate([part[0] for part in parts]))
    before, after = (np.concatenate([part[index] for part in parts])[order] for index in (1, 2))
    difference = Difference.of(after - before)
    wrong, power = sum(part[3] for part in parts), sum(part[4] for part in parts)
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "tested": len(after),
        "folds": len(parts),
        "float_score": float(before.mean()),
        "score": float(after.mean()),
        "difference": difference.mean,
        "standard_error": difference.error,
        "output_error": (wrong / max(power, 1e-30)) ** 0.5,
        **averaged(reports),
        "seconds": round(sum(seconds) / len(seconds), 3),
        **rest,
        "float_scores": pack(before),
        "scores": pack(after),
    }


def quantized_by(trial: Trial, subject: subjects.Subject, inputs: Tensor) -> Any:
    """The network as the trial's method quantizes it; without any data where it is to be calibrated with no inputs."""
    settings = dict(trial.settings)
    if trial.calibration == 0:
        settings |= {"engine": "graph", "input_shape": tuple(subject.inputs.shape[1:])}
    return quantize(
        subject.network,
        inputs if trial.calibration else None,
        **{"method": trial.method, "samples": max(trial.calibration, 1), "engine": "auto", **settings},
    )


def averaged(reports: list[Row]) -> Row:
    """Means over the folds of the report's numbers, and of the sums over layers."""
    rows = [
        {name: value for name, value in report.items() if name not in ("layers", "options")}
        | {name: sum(layer[name] for layer in report["layers"]) for name in SUMS}
        for report in reports
    ]
    return {name: rows[0][name] if len(rows) == 1 else sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def raw_inputs(network: Network, inputs: Tensor) -> Ints:
    """Inputs as the integer network takes them, (n, rows, columns, channels)."""
    rows, columns, channels = network.input_shape
    return network.raw_input(calibration.to_pixels(inputs.reshape(-1, channels, rows, columns)))


@cache
def warm(method: str) -> None:
    """Have what is compiled when it is first used compiled, once in a process, so that it does not count as the method's time."""
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    quantize(small, torch.rand(16, 1, 6, 6, generator=torch.Generator().manual_seed(0)), method=method)


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """So many threads in torch while it lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def plain(value: Any) -> Any:
    """Arrays and scalars of NumPy, and anything else that JSON does not know, as JSON values."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
