"""What `galton.quantize` may be asked for: defaults by method, ranges, and settings by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from math import inf
from typing import Any
from zlib import crc32

import numpy as np

from galton import quantizers
from galton.clipping import CLIPPINGS
from galton.config import LARGEST_WEIGHT
from galton.errors import GaltonError
from galton.quantizers.mcq import NORMS
from galton.quantizers.walk import ORDERS

ACTIVATIONS = ("monte_carlo", "rounding", "bypass", "aciq", "float")
CORRECTIONS = (True, False, "mean")
BY_LAYER = (
    "k_weights",
    "k_activations",
    "dead_zone",
    "method",
    "weight_limit",
    "activation_bits",
    "activation_clipping",
    "extra",
)
"""Settings that `layers` may replace; `extra` belongs to its method, and a new method takes none of the old."""


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the method's own settings for those that are None.

    Raises GaltonError for an unknown method or an option out of range.
    """
    quantizers.named(options["method"])
    own = quantizers.DEFAULTS.get(options["method"], quantizers.DEFAULTS[""])
    if options["activations"] == "aciq":
        own = {**own, "dead_zone": 0.0}
    result = {name: own.get(name) if value is None else value for name, value in options.items()}
    check(result)
    return result


def for_layer(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The options of a layer.

    They are the general ones, replaced in turn by those of each pattern in `layers` that a module around the layer fits, the
    outermost first, and then by those of each that it fits itself. With a seed, xi is drawn for the layer.
    """
    result = dict(options)
    for path in paths(name):
        for pattern, own in options["layers"].items():
            if _fits(path, pattern):
                changed = own.get("method", result["method"]) != result["method"]
                result.update({"extra": {}, **own} if changed else own)
    if result["seed"] is not None:
        result["xi"] = float(np.random.default_rng([result["seed"], crc32(name.encode())]).random())
    return result


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a layer, or a module that it is a part of, is called as one of the patterns says, shell-like."""
    return any(_fits(path, pattern) for path in paths(name) for pattern in patterns)


def paths(name: str) -> list[str]:
    """The names of the modules around a layer, the outermost first, and its own."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def check(options: Mapping[str, Any]) -> None:
    """Raise GaltonError for an option out of range."""
    _check_rates(options, "")
    quantizers.check_extra(options["method"], options["extra"])
    for layer, own in options["layers"].items():
        unknown = set(own) - set(BY_LAYER)
        if unknown:
            raise GaltonError(f"layers[{layer!r}] has {', '.join(sorted(unknown))}; it takes {', '.join(BY_LAYER)}")
        _check_rates(own, f" of {layer}")
        if "method" in own:
            quantizers.named(own["method"])
        quantizers.check_extra(own.get("method", options["method"]), own.get("extra", {}))
    for key, allowed in (("order", ORDERS), ("norm", NORMS), ("activations", ACTIVATIONS), ("correct", CORRECTIONS)):
        if options[key] not in allowed:
            raise GaltonError(f"{key} must be one of {', '.join(map(str, allowed))}, not {options[key]!r}")
    if not 0 <= options["xi"] < 1:
        raise GaltonError(f"xi must be at least 0 and less than 1, not {options['xi']!r}")
    seed = options["seed"]
    if not (seed is None or (isinstance(seed, int) and seed >= 0)):
        raise GaltonError(f"seed must be an integer of 0 or more, or None, not {seed!r}")
    if options["dynamic"] and options["activations"] in ("bypass", "aciq", "float"):
        raise GaltonError(f"activations={options['activations']!r} takes no samples, so dynamic must be False")
    _check_integers((("samples", options["samples"], 1, 1 << 20), ("accumulator_bits", options["accumulator_bits"], 17, 32)))


def check_layers(patterns: Iterable[str], known: list[str], others: Iterable[str] = ()) -> None:
    """Raise GaltonError for patterns that no layer with weights fits, nor anything else that may be meant."""
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in [*known, *others]):
            raise GaltonError(f"There is no layer {pattern!r} with weights; the network has {', '.join(known) or 'none'}")


def _check_rates(options: Mapping[str, Any], suffix: str) -> None:
    for key in ("k_weights", "k_activations"):
        value = options.get(key, 1)
        if not (isinstance(value, int | float) and 0 < value < inf):
            raise GaltonError(f"{key}{suffix} must be a positive number, not {value!r}")
    zone = options.get("dead_zone", 0)
    if not (isinstance(zone, int | float) and 0 <= zone < inf):
        raise GaltonError(f"dead_zone{suffix} must be 0 or more steps, not {zone!r}")
    clipping = options.get("activation_clipping", "max")
    if clipping not in CLIPPINGS:
        raise GaltonError(f"activation_clipping{suffix} must be one of {', '.join(CLIPPINGS)}, not {clipping!r}")
    weight_limit, bits = options.get("weight_limit", 7), options.get("activation_bits", 4)
    _check_integers(
        ((f"weight_limit{suffix}", weight_limit, 1, LARGEST_WEIGHT), (f"activation_bits{suffix}", bits, 2, 8)),
    )


def _check_integers(ranges: Iterable[tuple[str, Any, int, int]]) -> None:
    for key, value, low, high in ranges:
        if not (isinstance(value, int) and low <= value <= high):
            raise GaltonError(f"{key} must be an integer in {low}..{high}, not {value!r}")
