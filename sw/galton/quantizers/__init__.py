"""How weights become integers: one module for each method, found by name.

A quantizer takes float64 weights (output channels, input channels, kernel rows, kernel columns) and Options, and gives integers
of that shape and the real value of one step for each output channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.errors import GaltonError


@dataclass(frozen=True)
class Options:
    """What a quantizer may want to know.

    k, xi, order, norm: as in galton.quantizers.mcq.hits.
    inputs: what gives calibration activations of the layer, tensors (n, channels, rows, columns) in real units: "float" those
        of the float network, "quantized" those of the quantized one. A quantizer that needs no data does not call them.
    extra: whatever a method defines for itself.
    """

    k: float
    xi: float = 0.5
    order: str = "array"
    norm: str = "layer"
    inputs: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


Quantizer = Callable[[NDArray[np.float64], Options], tuple[NDArray[np.int64], NDArray[np.float64]]]

METHODS = {"mcq": "galton.quantizers.mcq:quantize"}
"""Where the function of each method is."""


def named(method: str) -> Quantizer:
    """The quantizer called `method`.

    Raises GaltonError naming the known ones.
    """
    if method not in METHODS:
        raise GaltonError(f"There is no method {method!r} of quantization; the known ones are {', '.join(METHODS)}")
    module, _, function = METHODS[method].partition(":")
    quantizer: Quantizer = getattr(import_module(module), function)
    return quantizer
