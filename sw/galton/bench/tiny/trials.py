"""A network quantized with settings, scored, and kept in a file, so that nothing after it quantizes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from galton import reference, storage
from galton.bench import scoring
from galton.bench.scores import ANOMALY, Metric, Samples, anomaly_correlation
from galton.bench.scoring import Row, raw_inputs
from galton.errors import UnsupportedLayer
from galton.network import Ints, Network

METHOD = "galton"
KEPT = 50
"""Inputs that are kept with a network, with its outputs by direct convolution."""


@dataclass(frozen=True)
class Trial:
    """See galton.bench.cells.Cell; folder: where the network of the first fold is kept."""

    network: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    calibration: int = 500
    limit: int | None = None
    data: str = ""
    folder: str = ""
    method: str = METHOD

    @property
    def key(self) -> str:
        """A name that only equal trials of equal source share, wherever data and results are."""
        return scoring.key(
            self, {name: value for name, value in asdict(self).items() if name not in ("data", "folder")}, __name__
        )

    @property
    def files(self) -> tuple[Path, Path]:
        """The quantized network, and inputs with outputs."""
        return Path(self.folder) / f"{self.key}.galtonq", Path(self.folder) / f"{self.key}.npz"

    def load(self) -> tuple[Network, Ints, Ints]:
        """The network, raw inputs and outputs (n, rows, columns, channels)."""
        network, inputs = self.files
        kept = np.load(inputs)
        return storage.load(network)[0], kept["inputs"].astype(np.int64), kept["outputs"].astype(np.int64)


def measure(trial: Trial, threads: int = 1) -> Row:
    """The row of a trial, whose files are written first; where it cannot be measured, `failure` says why."""
    row = scoring.caught(trial.method, lambda: scoring.numbers(trial, partial(keep, trial)), threads)
    return {"key": trial.key, **asdict(trial), **row}


def keep(trial: Trial, quantized: Any, metric: Metric, tested: Samples, found: Tensor) -> Row:
    """Write the files of a trial; for its row the correlation of anomaly scores, None for other metrics."""
    if not isinstance(getattr(quantized, "network", None), Network):
        raise UnsupportedLayer(f"{trial.network} is quantized, but not for the accelerator")
    network, inputs = trial.files
    network.parent.mkdir(parents=True, exist_ok=True)
    raw = raw_inputs(quantized.network, tested.inputs[:KEPT])
    np.savez(inputs, inputs=raw.astype(np.int16), outputs=reference.run(quantized.network, raw).astype(np.int16))
    storage.save(quantized.network, network, quantized.report())
    return {"correlation": anomaly_correlation(tested, found) if metric is ANOMALY else None}
