"""One cell of the bench: a network, a method and its settings, and the row of numbers that it gives."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import galton
from galton import calibration, golden, reference
from galton.bench import sources, subjects
from galton.bench.scores import Difference, Floats, Metric, Samples, pack
from galton.config import Config, named
from galton.errors import GaltonError
from galton.network import Ints, Network
from galton.quantization import quantize
from galton.quantizers import METHODS
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
SUMS = ("weight_samples", "activation_samples", "clipped")
"""Measures of layers that are summed."""

Row = dict[str, Any]


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
        others = {own["method"] for own in self.settings.get("layers", {}).values() if "method" in own}
        modules = sorted({METHODS[name].partition(":")[0] for name in {self.method, *others} if name in METHODS})
        text = json.dumps({**identity, "source": sources.digest((__name__, *modules))}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

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
    row: Row = {"key": cell.key, **asdict(cell), "setting": cell.setting}
    with threads_of_torch(threads), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            warm(cell.method)
            said.clear()
            row |= numbers(cell)
        except (GaltonError, ValueError, ArithmeticError, RuntimeError) as error:
            row |= {"failure": f"{type(error).__name__}: {error}"}
    return row | {"warnings": list(dict.fromkeys(str(one.message) for one in said))}


def numbers(cell: Cell) -> Row:
    """What is measured of a cell: scores of all folds' samples, means over the folds, and the first fold's layers and image."""
    data = Path(cell.data)
    subject = subjects.load(cell.network, data)
    metric = subject.metric
    parts: list[tuple[Any, Floats, Floats, float, float]] = []
    rest: Row = {}
    reports: list[Row] = []
    seconds: list[float] = []
    for number, fold in enumerate(subject.folds(cell.calibration, cell.limit)):
        start = time.perf_counter()
        quantized = quantized_by(cell, subject, fold.calibration)
        seconds.append(time.perf_counter() - start)
        reports.append(quantized.report())
        where = torch.from_numpy(fold.places)
        floats = subjects.float_outputs(cell.network, data, int(fold.places.max()) + 1)[where]
        tested = Samples(subject.inputs[where], subject.targets[where], floats)
        found = subjects.outputs(quantized, tested.inputs)
        wrong, power = (float(values.double().square().sum()) for values in (found - floats, floats))
        parts.append((fold.places, metric.score(tested, floats), metric.score(tested, found), wrong, power))
        if number == 0:
            rest = first_fold(cell, quantized, tested, metric, found)
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


def quantized_by(cell: Cell, subject: subjects.Subject, inputs: Tensor) -> Any:
    """The network as the cell's method quantizes it; without any data where it is to be calibrated with no inputs."""
    settings = dict(cell.settings)
    if cell.calibration == 0:
        settings |= {"engine": "graph", "input_shape": tuple(subject.inputs.shape[1:])}
    return quantize(
        subject.network,
        inputs if cell.calibration else None,
        **{"method": cell.method, "samples": max(cell.calibration, 1), "engine": "auto", **settings},
    )


def averaged(reports: list[Row]) -> Row:
    """Means over the folds of the report's numbers, and of the sums over layers."""
    rows = [
        {name: value for name, value in report.items() if name not in ("layers", "options")}
        | {name: sum(layer[name] for layer in report["layers"]) for name in SUMS}
        for report in reports
    ]
    return {name: rows[0][name] if len(rows) == 1 else sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def first_fold(cell: Cell, quantized: Any, tested: Samples, metric: Metric, found: Tensor) -> Row:
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


@cache
def warm(method: str) -> None:
    """Have what is compiled when it is first used compiled, once in a process, so that it does not count as the method's time."""
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    quantize(small, torch.rand(16, 1, 6, 6, generator=torch.Generator().manual_seed(0)), method=method)


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


def raw_inputs(network: Network, inputs: Tensor) -> Ints:
    """Inputs as the integer network takes them, (n, rows, columns, channels)."""
    rows, columns, channels = network.input_shape
    return network.raw_input(calibration.to_pixels(inputs.reshape(-1, channels, rows, columns)))


def bins(values: Any) -> list[int]:
    """How often each magnitude occurs; the last bar holds LARGEST_BIN and everything beyond."""
    counted: list[int] = np.bincount(np.minimum(np.abs(np.asarray(values)).reshape(-1), LARGEST_BIN).astype(np.int64)).tolist()
    return counted


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
