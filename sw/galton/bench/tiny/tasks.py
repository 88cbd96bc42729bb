"""The networks, and the settings at which both their accuracy and their latency are quoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from galton.bench.settings import of as chosen

Settings = Mapping[str, Any]

CONFIGURATIONS = ("up5k", "ecp5-25", "ecp5-25-ternary", "ecp5-85")
"""Those that tables are for unless told."""
PUBLISHED: Settings = {"activations": "monte_carlo", "dynamic": True, "dead_zone": 0.0}
"""Activations as in the paper (arXiv 1905.12253): the remainder is carried, the step follows from the norm of the very input."""
QUOTED, MONTE_CARLO = "quoted", "Monte Carlo activations"
"""Variants of a network: at its own settings, and with PUBLISHED in their place."""


@dataclass(frozen=True)
class Task:
    """A network of the bench (galton.bench.subjects) and how it is quantized.

    name: of the benchmark's task, "" for networks of no task. calibration: inputs to calibrate with; limit: samples to measure
    on, None for all. settings: for galton.quantize, besides those of galton.bench.settings, by configuration, "" for the others.
    samples: k_activations of MONTE_CARLO.
    """

    name: str
    network: str
    title: str
    calibration: int
    limit: int | None = None
    settings: Mapping[str, Settings] = field(default_factory=dict)
    samples: float = 4.0

    def setting(self, configuration: str, variant: str) -> dict[str, Any]:
        """Settings for galton.quantize of a variant on a configuration."""
        own = {**chosen(self.network), **self.settings.get(configuration, self.settings.get("", {}))}
        return own | dict(PUBLISHED) | {"k_activations": self.samples} if variant == MONTE_CARLO else own


TASKS = (
    Task("ic", "resnet8", "ResNet-8", 500),
    Task("kws", "kws", "DS-CNN", 400),
    Task("vww", "vww", "MobileNetV1 0.25", 250),
    Task("ad", "toycar", "FC autoencoder", 500, settings={"ecp5-25-ternary": {"weight_limit": 1, "wide_last": False}}),
    Task("", "resnet20", "ResNet-20", 250, 1500),
    Task("", "vggsmall", "VggSmall", 250, 1500),
    Task("", "lenet5", "LeNet-5", 500, 2000),
    Task("", "lenet300100", "LeNet-300-100", 500, 2000),
)
