"""Settings of the default method for networks that need others than its own, chosen on calibration inputs alone.

Each is what keeps the outputs of calibration inputs that were left out of the fit closest to float, among prices, dead zones and
steps of activations tried on half of the calibration inputs.
"""

from __future__ import annotations

from typing import Any

CHOSEN: dict[str, dict[str, Any]] = {
    "vww": {"extra": {"price": 0.01}, "dead_zone": 0.5, "k_activations": 8.0, "samples": 250},
    "toycar": {"extra": {"price": 0.03}, "dead_zone": 0.0, "k_activations": 64.0, "samples": 500},
}
"""By names of galton.bench.subjects."""


def of(network: str) -> dict[str, Any]:
    """Arguments of galton.quantize for a network of the bench; none where the method's own will do."""
    return CHOSEN.get(network, {})
