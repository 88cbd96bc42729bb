"""One cell of the bench: a network, a method and its settings, and the row of numbers that it gives."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import galton
from galton import calibration, golden, reference
from galton.bench import subjects
from galton.config import Config, named
from galton.errors import GaltonError
from galton.network import Ints, Network
from galton.quantization import quantize
from galton.report.facts import Comparison
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

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """What is measured.

    network: a name of subjects.NAMES; method, settings: for galton.quantize. calibration: inputs to calibrate with. limit:
    inputs to measure the accuracy on, None for all. target: configuration of the image. golden: inputs on which the image is run
    by the golden model and compared with the network in torch. data: the data folder.
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
        """A name that only equal cells share, whatever the order of the settings and wherever the data folder is."""
        identity = {name: value for name, value in asdict(self).items() if name != "data"}
        text = json.dumps({**identity, "version": galton_version()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def setting(self) -> str:
        """The settings in words."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items()) or "default"


def galton_version() -> str:
    """The program's version: another one computes everything anew."""
    from importlib.metadata import version

    return version("galton")


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
    """What is measured of a cell."""
    subject = subjects.load(cell.network, Path(cell.data))
    start = time.perf_counter()
    quantized = quantize(
        subject.network,
        subject.calibration[: cell.calibration],
        method=cell.method,
        samples=cell.calibration,
        **{"engine": "auto", **cell.settings},
    )
    seconds = time.perf_counter() - start
    report = quantized.report()
    answers = subjects.right(quantized, subject.inputs[: cell.limit], subject.labels[: cell.limit])
    comparison = Comparison.of(float_right(cell.network, cell.data, cell.limit), answers)
    integers = getattr(quantized, "network", None)
    image = image_of(integers, cell, subject) if isinstance(integers, Network) else {"image_failure": "not for the accelerator"}
    return {
        "tested": comparison.count,
        "float_accuracy": comparison.float_accuracy,
        "accuracy": comparison.quantized_accuracy,
        "difference": comparison.difference,
        "standard_error": comparison.error,
        **{name: value for name, value in report.items() if name not in ("layers", "options")},
        **{name: sum(layer[name] for layer in report["layers"]) for name in ("weight_samples", "activation_samples", "clipped")},
        "seconds": round(seconds, 3),
        **image,
        "options": json.loads(json.dumps(report["options"], default=plain)),
        "layers": [dict(layer) for layer in report["layers"]],
        "histograms": histograms(quantized, subject),
    }


@cache
def warm(method: str) -> None:
    """Have what is compiled when it is first used compiled, once in a process, so that it does not count as the method's time."""
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    quantize(small, torch.rand(16, 1, 6, 6, generator=torch.Generator().manual_seed(0)), method=method)


@lru_cache(maxsize=8)
def float_right(name: str, data: str, limit: int | None) -> subjects.Bools:
    """Which inputs the float network gets right: the same for all cells of a process."""
    return subjects.load(name, Path(data)).right(limit)


def image_of(network: Network, cell: Cell, subject: subjects.Subject) -> Row:
    """Bytes that the image takes in the core's memories, and whether the golden model agrees with torch; or why there is none."""
    config = SPARSE if cell.target == SPARSE.name else named(cell.target)
    try:
        compiled = galton.compile(network, config)
    except GaltonError as error:
        return {"image_failure": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    row: Row = {"image_bytes": sum(memory["loaded"] for memory in memories(compiled.image))}
    if cell.golden:
        raw = raw_inputs(network, subject, cell.golden)
        found, expected = golden.run(compiled.image, raw), reference.run(network, raw)
        row["golden_tested"] = len(raw)
        row["golden_agrees"] = int((found == expected).reshape(len(raw), -1).all(axis=1).sum())
    return row


def histograms(quantized: Any, subject: subjects.Subject) -> Row:
    """How many weights, and activations of some inputs, have which magnitude: [zeros, ones, ...]."""
    network = getattr(quantized, "network", None)
    if not isinstance(network, Network):
        integers = getattr(quantized, "integers", {})
        return {"weights": {name: bins(values) for name, values in integers.items()}, "activations": {}}
    traces = reference.trace(network, raw_inputs(network, subject, TRACED))
    pairs = list(zip(network.layers, traces, strict=True))
    return {
        "weights": {layer.name: bins(layer.weights) for layer, _ in pairs},
        "activations": {layer.name: bins(trace.counts) for layer, trace in pairs},
    }


def raw_inputs(network: Network, subject: subjects.Subject, count: int) -> Ints:
    """The first inputs as the integer network takes them, (n, rows, columns, channels)."""
    rows, columns, channels = network.input_shape
    return network.raw_input(calibration.to_pixels(subject.inputs[:count].reshape(-1, channels, rows, columns)))


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


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
