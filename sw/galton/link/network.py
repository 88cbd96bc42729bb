"""The small network that a board runs to be checked: something of everything that a core computes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.bounds import accumulator_bounds
from galton.compiler import compile as compile_network
from galton.config import Config
from galton.image import Image
from galton.network import NONE, Activation, Layer, Network
from galton.rescale import dynamic_rescaling, rescaling

INPUTS = 3
HIGH = 255
STRENGTH = 8.0
"""Outputs reach the top of their range at this part of what the largest possible sum would give."""
AROUND = {"padding": (1, 1, 1, 1)}


@dataclass
class Maker:
    """Layers with weights at random, the same for the same configuration."""

    config: Config
    generator: np.random.Generator

    def layer(
        self, name: str, shape: tuple[int, int, int], weights: tuple[int, ...], activation: Activation, **more: Any
    ) -> Layer:
        """A layer with weights of shape `weights`; `more` as in Layer."""
        limit = min(7, self.config.wide_weight_limit)
        values = self.generator.integers(-limit, limit + 1, weights)
        bounds = accumulator_bounds(values, activation, 0, HIGH, self.config.count_limit)
        real, bias = STRENGTH * HIGH / bounds, self.generator.integers(-20, 100, len(values))
        if activation.dynamic:
            norm = prod(shape) * HIGH
            integers = dynamic_rescaling(real / norm, activation.samples, norm, bias, bounds)._asdict()
        else:
            residual = (0.5, HIGH) if more.pop("adds", False) else (0.0, 0)
            integers = rescaling(real, bias, bounds, residual=residual)._asdict()
        low, high = (-128, 127) if name == "head" else (0, HIGH)
        return Layer(name, shape, values, low=low, high=high, activation=activation, **integers, **more)


def built_in(config: Config) -> Image:
    """The network, compiled for a configuration: Monte Carlo and rounded counts, static and dynamic, a depthwise layer, a
    shortcut, a max-pool, a fully connected head."""
    make = Maker(config, np.random.default_rng(11)).layer
    carried, rounded, dynamic = Activation("monte_carlo", 9000), Activation("rounding", 7000), Activation("monte_carlo", 0, 6000)
    layers = (
        make("first", (8, 8, 2), (6, 3, 3, 2), carried, **AROUND),
        make("depthwise", (8, 8, 6), (6, 3, 3, 1), rounded, **AROUND, elementwise=True),
        make("shortcut", (8, 8, 6), (6, 1, 1, 6), carried, adds=True),
        make("pooled", (8, 8, 6), (8, 3, 3, 6), dynamic, **AROUND, pool=(2, 2)),
        make("head", (1, 1, 128), (10, 1, 1, 128), carried),
    )
    return compile_network(Network("selftest", (8, 8, 2), layers, residuals=(NONE, NONE, 1, NONE, NONE)), config).image


def inputs() -> NDArray[np.int64]:
    """Raw inputs for it."""
    return np.random.default_rng(12).integers(0, HIGH + 1, (INPUTS, 8, 8, 2))
