"""What the bench runs where it is told no settings: each method's knob, and a comparison of all methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]

LADDERS: dict[str, list[Settings]] = {
    "mcq": [{"k_weights": k} for k in (1.0, 2.0, 3.0)],
    "gpfq": [{"k_weights": k} for k in (1.0, 2.0, 3.0)],
    "galton": [{"extra": {"price": price}} for price in (0.01, 0.06, 0.15)],
    "": [{"weight_limit": limit} for limit in (3,)],
}
"""Settings of a method besides its own; "" for methods not here."""

FINE: Settings = {"dead_zone": 0.0, "k_activations": 8.0}
"""Activations as good as raw."""
FINEST: Settings = {"extra": {"price": 0.001}, **FINE}
"""The dearest, most accurate end of the default method, with weights of 4 bits."""


def priced(*points: tuple[float, float]) -> list[Settings]:
    """Prices of a non-zero weight, with the dead zone of activations that goes with each."""
    return [{"extra": {"price": price}, "dead_zone": zone} for price, zone in points]


def limited(*points: tuple[int, float]) -> list[Settings]:
    """Largest weights, with dead zones."""
    return [{"weight_limit": limit, "dead_zone": zone} for limit, zone in points]


def sampled(*points: tuple[float, float]) -> list[Settings]:
    """Samples for each weight, with dead zones."""
    return [{"k_weights": k, "dead_zone": zone} for k, zone in points]


def monte_carlo(*points: tuple[float, float]) -> list[Settings]:
    """Samples for each weight and for each activation."""
    return [{"k_weights": weights, "k_activations": activations} for weights, activations in points]


ROUNDED = limited((7, 0), (7, 2), (3, 2), (3, 3))
FULL: dict[str, list[Settings]] = {
    "galton": [
        {},
        FINEST,
        *priced((0.003, 0.5), (0.01, 1), (0.02, 1.5), (0.03, 2), (0.06, 2), (0.1, 2.5), (0.15, 3), (0.25, 3)),
    ],
    "mcq": monte_carlo((1, 1), (1, 2), (1.5, 2), (2, 2), (3, 3), (5, 5)),
    "gpfq": sampled((0.75, 2), (1, 2), (1, 3), (2, 2), (2, 0)),
    "": ROUNDED,
}
FEW: dict[str, list[Settings]] = {
    "galton": [{}, *priced((0.001, 0), (0.02, 1), (0.1, 2.5), (0.2, 3))],
    "mcq": monte_carlo((1, 1), (1.5, 2), (3, 3)),
    "gpfq": sampled((0.75, 2), (1, 3), (2, 2)),
    "": limited((7, 1), (7, 3), (3, 3)),
}
"""For networks that take a minute each time."""


@dataclass(frozen=True)
class Entry:
    """How a network is compared: inputs to calibrate with, samples to measure on (None for all), settings by method."""

    network: str
    calibration: int
    limit: int | None
    ladders: dict[str, list[Settings]]


COMPARE = (
    Entry("lenet300100", 500, 2000, FULL),
    Entry("kws", 400, None, FULL),
    Entry("charlstm", 64, None, FULL),
    Entry("resnet8_training", 500, 1000, FULL),
    Entry("resnet20", 250, 1500, FULL),
    Entry("vggsmall", 250, 1500, FEW),
)
"""The networks of the comparison, those with the shortest time first."""


def ladder(ladders: dict[str, list[Settings]], method: str) -> Sequence[Settings]:
    """The settings of a method."""
    return ladders.get(method, ladders[""])
