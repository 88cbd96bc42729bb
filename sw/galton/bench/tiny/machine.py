"""A kept network on a configuration: whether it fits, what it takes, and how many cycles its inputs need."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from galton import cycles, roofline
from galton.bench import sources
from galton.bench.scoring import Row
from galton.bench.tiny.trials import Trial
from galton.compiler import compile as compile_network
from galton.config import Config
from galton.errors import GaltonError
from galton.image import Image
from galton.summary import memories


@dataclass(frozen=True)
class Placed:
    """A trial's network on a configuration, with so many of its inputs."""

    trial: Trial
    config: Config
    inputs: int

    @property
    def key(self) -> str:
        """A name that only equal work of equal source shares."""
        values = {
            "trial": self.trial.key,
            "config": asdict(self.config),
            "inputs": self.inputs,
            "source": sources.digest((__name__,)),
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]

    def image(self) -> Image:
        """The compiled network, with counters. Raises FitError or AccumulatorOverflow where it does not fit."""
        return compile_network(self.trial.load()[0], self.config).image


def measure(placed: Placed, threads: int = 1) -> Row:
    """The row of a network on a configuration; where it does not fit, `failure` says why and what would.

    cycles: of the layers, mean; transfers: of input and output (cycles.transfers). layers: roofline.LayerCycles.
    agrees: inputs whose outputs by the golden model are those of the network by direct convolution.
    """
    row: Row = {"key": placed.key, "configuration": placed.config.name, "trial": placed.trial.key}
    try:
        image = placed.image()
    except GaltonError as error:
        return {**row, "failure": str(error), "kind": type(error).__name__}
    _, raw, expected = placed.trial.load()
    raw, expected = raw[: placed.inputs], expected[: placed.inputs]
    model = cycles.Model(image, raw)
    profiles = model.profiles()
    layers = roofline.measured(model, profiles)
    each = [sum(layer["cycles"] for layer in inference) for inference in profiles]
    bound = sum(layer.bound for layer in layers)
    return {
        **row,
        "image_bytes": sum(memory["loaded"] for memory in memories(image)),
        "file_bytes": len(image.to_bytes()),
        "memories": memories(image),
        "inputs": len(raw),
        "agrees": int((model.outputs() == expected).reshape(len(raw), -1).all(axis=1).sum()),
        "cycles": float(np.mean(each)),
        "fewest": min(each),
        "most": max(each),
        "transfers": cycles.transfers(image),
        "bound": bound,
        "utilisation": bound / float(np.mean(each)),
        "layers": [asdict(layer) for layer in layers],
        "advice": roofline.advice(layers, placed.config),
    }
