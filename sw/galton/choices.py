"""What `galton.quantize` may be asked for: defaults by method, ranges, and settings by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from math import inf
from typing import Any

from galton import quantizers
from galton.config import CONFIGS
from galton.errors import GaltonError
from galton.quantizers.mcq import NORMS
from galton.quantizers.walk import ORDERS

LARGEST_WEIGHT = min(config.wide_weight_limit for config in CONFIGS.values())
"""What two planes hold in every named configuration."""
ACTIVATIONS = ("monte_carlo", "rounding", "bypass")
BY_LAYER = ("k_weights", "k_activations", "dead_zone", "method", "weight_limit")
"""Settings that `layers` may replace."""


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the method's own settings for those that are None.

    Raises GaltonError for an unknown method or an option out of range.
    """
    quantizers.named(options["method"])
    own = quantizers.DEFAULTS.get(options["method"], quantizers.DEFAULTS[""])
    result = {name: own.get(name) if value is None else value for name, value in options.items()}
    check(result)
    return result


def for_layer(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options of a layer that is called by one of `names`, the most general first.

    They are the general ones, replaced in turn by those of each pattern in `layers` that a name fits.
    """
    result = dict(options)
    for name in names:
        for pattern, own in options["layers"].items():
            if matches([name], [pattern]):
                result.update(own)
    return result


def matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether one of a layer's names is one of the patterns or fits it, shell-like."""
    return any(name == pattern or fnmatchcase(name, pattern) for name in names for pattern in patterns)


def check(options: Mapping[str, Any]) -> None:
    """Raise GaltonError for an option out of range."""
    _check_rates(options, "")
    for layer, own in options["layers"].items():
        unknown = set(own) - set(BY_LAYER)
        if unknown:
            raise GaltonError(f"layers[{layer!r}] has {', '.join(sorted(unknown))}; it takes {', '.join(BY_LAYER)}")
        _check_rates(own, f" of {layer}")
        if "method" in own:
            quantizers.named(own["method"])
    for key, allowed in (("order", ORDERS), ("norm", NORMS), ("activations", ACTIVATIONS)):
        if options[key] not in allowed:
            raise GaltonError(f"{key} must be one of {', '.join(allowed)}, not {options[key]!r}")
    if not 0 <= options["xi"] < 1:
        raise GaltonError(f"xi must be at least 0 and less than 1, not {options['xi']!r}")
    if options["dynamic"] and options["activations"] == "bypass":
        raise GaltonError("activations='bypass' takes no samples, so dynamic must be False")
    _check_integers((("samples", options["samples"], 1, 1 << 20), ("accumulator_bits", options["accumulator_bits"], 17, 32)))


def check_layers(patterns: Iterable[str], known: list[str]) -> None:
    """Raise GaltonError for patterns that no layer with weights fits."""
    for pattern in patterns:
        if not matches(known, [pattern]):
            raise GaltonError(f"There is no layer {pattern!r} with weights; the network has {', '.join(known) or 'none'}")


def _check_rates(options: Mapping[str, Any], suffix: str) -> None:
    for key in ("k_weights", "k_activations"):
        value = options.get(key, 1)
        if not (isinstance(value, int | float) and 0 < value < inf):
            raise GaltonError(f"{key}{suffix} must be a positive number, not {value!r}")
    zone = options.get("dead_zone", 0)
    if not (isinstance(zone, int | float) and 0 <= zone < inf):
        raise GaltonError(f"dead_zone{suffix} must be 0 or more steps, not {zone!r}")
    _check_integers(((f"weight_limit{suffix}", options.get("weight_limit", 7), 1, LARGEST_WEIGHT),))


def _check_integers(ranges: Iterable[tuple[str, Any, int, int]]) -> None:
    for key, value, low, high in ranges:
        if not (isinstance(value, int) and low <= value <= high):
            raise GaltonError(f"{key} must be an integer in {low}..{high}, not {value!r}")
