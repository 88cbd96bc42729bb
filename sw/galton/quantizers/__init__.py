"""How weights become integers: one module for each method, found by name.

A quantizer takes float64 weights (output channels, input channels, kernel rows, kernel columns) and Options, and gives integers
of that shape and the real value of one step for each output channel. Of a layer with groups, input channels are those of one
group, and output channels come group after group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError

if TYPE_CHECKING:
    from galton.quantizers.moments import Moments, Rows


@dataclass(frozen=True)
class Options:
    """What a quantizer may want to know.

    k, xi, order, norm: as in galton.quantizers.mcq.hits.
    limit: largest magnitude of an integer that the layer may hold; a method that does not look is cut to it afterwards.
    rows: gives what the layer's weights are multiplied with on calibration data, or its moments where there is no data but a
        prior; a method that needs no data does not call it.
        None where nothing is known: calibrated methods then take inputs of one variance, uncorrelated.
    work: the layer's multiply-accumulates over those of the mean layer.
    corrected: scale and bias of each output are fitted afterwards.
    name: the layer's, for messages.
    extra: whatever a method defines for itself.
    """

    k: float
    xi: float = 0.5
    order: str = "array"
    norm: str = "layer"
    limit: int = 7
    rows: Callable[[], Rows | Moments] | None = None
    work: float = 1.0
    corrected: bool = True
    name: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


Quantizer = Callable[[NDArray[np.float64], Options], tuple[NDArray[np.int64], NDArray[np.float64]]]

METHODS = {
    "mcq": "galton.quantizers.sampling:quantize",
    "galton": "galton.quantizers.galton:quantize",
    "nearest": "galton.quantizers.nearest:channel",
    "nearest_tensor": "galton.quantizers.nearest:tensor",
    "nearest_mse": "galton.quantizers.nearest:mse",
    "aciq": "galton.quantizers.aciq:quantize",
    "maly_saab": "galton.quantizers.maly_saab:quantize",
    "gpfq": "galton.quantizers.gpfq:quantize",
    "squant": "galton.quantizers.squant:quantize",
    "gptq": "galton.quantizers.gptq:quantize",
}
"""Where the function of each method is."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "mcq": {"k_weights": 1.5, "k_activations": 2.0, "activations": "monte_carlo", "dead_zone": 0.0, "wide_last": True},
    "": {"k_weights": 2.0, "k_activations": 4.0, "activations": "rounding", "dead_zone": 2.0, "wide_last": False},
}
"""Settings of galton.quantize for a method that are not given; "" for those that are not here."""


EXTRA: dict[str, dict[str, str]] = {
    "mcq": {
        "clip": "magnitudes beyond so many means before sampling; true: as little as makes no count pass the weight limit",
        "dead_zone": "weights below so many steps are not sampled",
        "offsets": "how many offsets are tried; that of the least output error stays, in each norm group",
        "regress": "sample the regression to the float network's outputs",
        "follow": "carry the error in data space along each neuron, on the grid of the samples, rather than along the walk",
        "descend": "passes of coordinate descent from the samples on",
        "match": "a step for each channel without data, 'least_squares' or 'power' under the prior",
        "moments": "what judges these: 'data' where there is some, or 'prior'",
    },
    "galton": {
        "price": "of a non-zero weight, the one knob between work and accuracy, 0.03",
        "gamma": "power of the layer's work in the price, 0.7",
        "damping": "of H and of the regression, share of the mean diagonal, 0.05",
        "passes": "of coordinate descent, 10",
        "kicks": "of each neuron: a few weights set at random, and descent again; undone unless it ends lower, 64",
    },
    "aciq": {
        "bits": "of a weight, those of weight_limit unless told",
        "distribution": "'laplace' (unless told), 'gauss', or 'fit' for the likelier",
        "allocate": "bits differ by channel, where they are fewer than 5",
        "norm": "restore each channel's norm, true unless told",
    },
    "maly_saab": {
        "rank": "directions of the data that are kept exactly, 24 at most unless told",
        "alphabet": "'grid' (unless told), or 'binary' for -c and c",
        "centred": "moments about the means, true unless told",
    },
    "gpfq": {"centred": "moments about the means", "order": "'array' (unless told), or 'power' for strong inputs first"},
    "gptq": {"damping": "of H, share of the mean diagonal, 0.01", "regress": "start from the regression to the float outputs"},
}
"""What each method takes as `extra`, and what it means; one that is not here takes nothing."""


def check_extra(method: str, extra: Mapping[str, Any]) -> None:
    """Raise GaltonError for options that the method does not take."""
    known = EXTRA.get(method, {})
    unknown = ", ".join(repr(name) for name in extra if name not in known)
    if unknown:
        takes = "".join(f"\n  {name}: {meaning}" for name, meaning in known.items()) or " nothing"
        raise GaltonError(f"extra: method {method!r} has no {unknown}; it takes{takes}")


def named(method: str | Quantizer) -> Quantizer:
    """The quantizer called `method`, or a quantizer itself.

    Raises GaltonError naming the known ones.
    """
    if callable(method):
        return method
    if method not in METHODS:
        raise GaltonError(f"There is no method {method!r} of quantization; the known ones are {', '.join(METHODS)}")
    module, _, function = METHODS[method].partition(":")
    quantizer: Quantizer = getattr(import_module(module), function)
    return quantizer
