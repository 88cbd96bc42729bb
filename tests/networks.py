"""Random small networks that use everything the machine has, and fit the configuration they are made for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest

from galton import reference
from galton.bounds import accumulator_bounds
from galton.compiler import compile, pixels
from galton.config import CONFIGS, Config
from galton.errors import AccumulatorOverflow, FitError
from galton.network import NONE, Activation, Ints, Layer, Network
from galton.rescale import dynamic_rescaling, rescaling

SMALL: dict[str, Any] = {"accumulator_words": 64, "weight_words": 4096, "data_words": 2048, "rows": 32, "channels": 96}

ODD = {
    "three-by-five": Config("three-by-five", groups=3, lanes=5, weight_bits=3, count_bits=5, **SMALL),
    "scalar": Config("scalar", lanes=1, step_bits=1, table_words=4096, **{**SMALL, "accumulator_words": 512}),
    "two-sparse": Config("two-sparse", groups=2, lanes=3, step_bits=1, planes=1, weight_bits=5, table_words=4096, **SMALL),
    "wide-step": Config("wide-step", groups=4, lanes=2, step_bits=5, weight_bits=2, table_words=4096, count_bits=3, **SMALL),
    "one-plane": Config("one-plane", groups=2, lanes=4, planes=1, weight_bits=8, accumulator_bits=24, **SMALL),
    "four-at-once": Config(
        "four-at-once", groups=3, lanes=6, step_bits=2, table_words=4096, scan_width=4, drain_width=4, **SMALL
    ),
    "quads": Config("quads", groups=2, lanes=4, scan_width=4, count_bits=6, fifo_depth=4, **SMALL),
    "fours": Config("fours", groups=8, lanes=8, scan_width=4, drain_width=4, **SMALL),
    "fours-odd": Config("fours-odd", groups=3, lanes=5, weight_bits=3, drain_width=4, **SMALL),
    "fours-sparse": Config("fours-sparse", groups=4, lanes=2, step_bits=1, table_words=4096, drain_width=4, **SMALL),
    "broad": Config("broad", lanes=32, weight_bits=4, step_bits=3, table_words=2048, accumulator_bits=26, **SMALL),
}
"""Configurations unlike the named ones: odd sizes, entries of several words, few accumulators."""

EVERY = {**CONFIGS, **ODD}


def random_network(
    seed: int,
    config: Config,
    *,
    layers: int = 4,
    size: int = 9,
    channels: int = 20,
    kernel: int = 5,
    operations: int = 300_000,
) -> Network:
    """A network of 1..`layers` layers that compiles for `config` and whose weights matter, the same for the same arguments.

    size: most input rows and columns. channels: most output channels of a layer. kernel: most kernel rows and columns.
    operations: most multiply-accumulates of all layers together, which bounds the cycles of a simulation.
    """
    rng = np.random.default_rng([seed, *config.name.encode()])
    name, reaches = f"random-{seed}", (1 - attempt / 250 for attempt in range(200))
    drawn = (
        _drawn(rng, name, config, layers, max(1, int(size * reach)), max(1, int(channels * reach)), kernel) for reach in reaches
    )
    return _first((net for net in drawn if sum(layer.dense_operations for layer in net.layers) <= operations), seed, config)


def residual_network(seed: int, config: Config, *, layers: int = 5, size: int = 6, channels: int = 8) -> Network:
    """A network of 2..`layers` layers that all keep the shape of the network's input; most add one of the tensors before.

    It compiles for `config`, its weights matter, and it is the same for the same arguments.
    """
    rng = np.random.default_rng([seed, 77, *config.name.encode()])
    drawn = (_same_shaped(rng, f"residual-{seed}", config, layers, size, channels) for _ in range(200))
    return _first(drawn, seed, config)


def _first(drawn: Iterable[Network], seed: int, config: Config) -> Network:
    """The first network that compiles for `config`, and whose weights matter to what it makes of random_inputs(seed)."""
    for network in drawn:
        try:
            compile(network, config)
        except (FitError, AccumulatorOverflow):
            continue
        if weights_matter(network, random_inputs(seed, network), config):
            return network
    raise AssertionError(f"No network of seed {seed} fits {config.name}")


def weights_matter(network: Network, raw: Ints, config: Config) -> bool:
    """Whether the outputs for raw inputs (n, rows, columns, channels) are others where all weights are 0."""
    layers = tuple(replace(layer, weights=np.zeros_like(layer.weights)) for layer in network.layers)
    own, other = (reference.run(one, raw, count_bits=config.count_bits) for one in (network, replace(network, layers=layers)))
    return not np.array_equal(own, other)


def _same_shaped(rng: np.random.Generator, name: str, config: Config, layers: int, size: int, channels: int) -> Network:
    """Layers that keep the shape, each on one of the three tensors before it, with any tensor added."""
    signed = bool(rng.random() < 0.4)
    shape = (int(rng.integers(1, size + 1)), int(rng.integers(1, size + 1)), int(rng.integers(1, channels + 1)))
    ranges = [(-int(rng.integers(1, 129)), int(rng.integers(0, 128))) if signed else (0, int(rng.integers(1, 256)))]
    found: list[Layer] = []
    inputs: list[int] = []
    residuals: list[int] = []
    for index in range(int(rng.integers(2, layers + 1))):
        taken = index if rng.random() < 0.6 else int(rng.integers(max(0, index - 2), index + 1))
        added = int(rng.integers(0, index + 1)) if rng.random() < 0.8 else NONE
        layer = _keeping(rng, f"layer{index}", shape, ranges[taken], config, taken == index)
        if added != NONE:
            layer = replace(layer, residual_multiplier=int(rng.choice([1, (1 << 16) - 1, *rng.integers(1, 1 << 14, size=4)])))
        found.append(layer)
        inputs.append(taken)
        residuals.append(added)
        ranges.append((layer.low, layer.high))
    return Network(name, shape, tuple(found), 1 / 255, *ranges[0], {}, tuple(inputs), tuple(residuals))


def _keeping(
    rng: np.random.Generator, name: str, shape: tuple[int, int, int], limits: tuple[int, int], config: Config, normed: bool
) -> Layer:
    """A layer that keeps the shape, with a dynamic step only where its input is `normed`."""
    while True:
        taps = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        padding = (taps[0] - 1) // 2, taps[0] // 2, (taps[1] - 1) // 2, taps[1] // 2
        options = {"padding": padding, "elementwise": bool(rng.random() < 0.3)}
        try:
            layer = _numbers(rng, name, shape, limits, config, shape[2], taps, options)
        except AccumulatorOverflow:
            continue
        if normed or not layer.activation.dynamic:
            return layer


def prefer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the compiler take every number of pixels side by side for faster than a smaller one."""
    walked = pixels.walked

    def flattered(layer: Layer, count: int, config: Config) -> pixels.Walked:
        return replace(walked(layer, count, config), cycles=-count)

    monkeypatch.setattr(pixels, "walked", flattered)
    monkeypatch.setattr(pixels, "fills_lanes", lambda plain, count: True)


def random_inputs(seed: int, network: Network, n: int = 2) -> Ints:
    """Raw inputs (n, rows, columns, channels): noise, blobs of zeros, extremes; the first may be all zeros."""
    rng = np.random.default_rng([seed, 1])
    low, high = network.input_low, network.input_high
    raw = rng.integers(low, high + 1, size=(n, *network.input_shape))
    raw = np.where(rng.random(raw.shape) < rng.choice([0, 0.3, 0.8]), 0, raw)
    raw = np.where(rng.random(raw.shape) < rng.choice([0, 0.1]), rng.choice([low, high], size=raw.shape), raw)
    if rng.random() < 0.1:
        raw[0] = 0
    return raw


def _drawn(rng: np.random.Generator, name: str, config: Config, layers: int, size: int, channels: int, kernel: int) -> Network:
    """A network whose layers take any of the tensors before them."""
    signed = bool(rng.random() < 0.4)
    low, high = (-int(rng.integers(1, 129)), int(rng.integers(0, 128))) if signed else (0, int(rng.integers(1, 256)))
    shape = tuple(int(value) for value in (*rng.integers(1 + size // 4, size + 1, size=2), rng.integers(1, 5)))
    network_shape = (shape[0], shape[1], shape[2])
    found: list[Layer] = []
    inputs: list[int] = []
    residuals: list[int] = []
    shapes, ranges = [network_shape], [(low, high)]
    for index in range(int(rng.integers(1, layers + 1))):
        taken = index if rng.random() < 0.8 else int(rng.integers(0, index + 1))
        layer = _tried(rng, f"layer{index}", shapes[taken], ranges[taken], config, channels, kernel)
        if taken != index and layer.activation.dynamic:
            taken, layer = index, _tried(rng, f"layer{index}", shapes[index], ranges[index], config, channels, kernel)
        added = NONE
        fitting = [tensor for tensor in range(index + 1) if tensor and shapes[tensor] == layer.output_shape]
        if fitting and layer.pool == (1, 1) and rng.random() < 0.7:
            added = int(rng.choice(fitting))
            layer = replace(layer, residual_multiplier=int(rng.choice([1, rng.integers(1, 1 << 16)])))
        found.append(layer)
        inputs.append(taken)
        residuals.append(added)
        shapes.append(layer.output_shape)
        ranges.append((layer.low, layer.high))
        if layer.output_shape[:2] == (1, 1) and rng.random() < 0.5:
            break
    return Network(name, network_shape, tuple(found), 1 / 255, low, high, {}, tuple(inputs), tuple(residuals))


def _tried(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int, int],
    limits: tuple[int, int],
    config: Config,
    channels: int,
    kernel: int,
) -> Layer:
    """The first layer drawn that leaves an output and can be rescaled."""
    while True:
        try:
            return _layer(rng, name, shape, limits, config, channels, kernel)
        except (ValueError, AccumulatorOverflow):
            continue


def _layer(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int, int],
    limits: tuple[int, int],
    config: Config,
    channels: int,
    kernel: int,
) -> Layer:
    """A layer for an input of `shape` and raw range `limits`; ValueError where it leaves nothing."""
    options: dict[str, Any] = {}
    outputs = shape[2] if rng.random() < 0.3 else int(rng.integers(1, channels + 1))
    if rng.random() < 0.2:
        shape, taps = (1, 1, prod(shape)), (1, 1)
    else:
        taps = (int(rng.integers(1, kernel + 1)), int(rng.integers(1, kernel + 1)))
        options["elementwise"] = bool(rng.random() < (0.1 if name == "layer0" else 0.4))
        options["stride"] = tuple(int(rng.choice([1, 1, 1, 2, 3, 4])) for _ in range(2))
        options["padding"] = _padding(rng, taps)
        options["pool"] = tuple(int(rng.choice([1, 1, 1, 2, 3])) for _ in range(2))
    return _numbers(rng, name, shape, limits, config, outputs, taps, options)


def _numbers(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int, int],
    limits: tuple[int, int],
    config: Config,
    outputs: int,
    taps: tuple[int, int],
    options: dict[str, Any],
) -> Layer:
    """A layer of that shape with weights, activation and rescaling at random."""
    outputs, seen = (shape[2], 1) if options.get("elementwise") else (outputs, shape[2])
    weights = _weights(rng, (outputs, *taps, seen), config)
    activation = _activation(rng, prod(shape))
    low, high = (-int(rng.integers(1, 129)), int(rng.integers(0, 128))) if rng.random() < 0.3 else (0, int(rng.integers(1, 256)))
    bounds = accumulator_bounds(weights, activation, *limits, config.count_limit)
    real = max(-low, high) / np.maximum(bounds, 1) * rng.uniform(1, 12, size=outputs)
    bias = rng.uniform(-1, 1, size=outputs) * max(-low, high) / 2
    if activation.dynamic:
        norm_max = prod(shape) * max(-limits[0], limits[1])
        reals = real / max(norm_max, activation.samples + 1) * rng.uniform(1, 5)
        integers = dynamic_rescaling(reals, activation.samples, norm_max, bias, bounds)._asdict()
    else:
        integers = rescaling(real, bias, bounds)._asdict()
    return Layer(name, shape, weights, low=low, high=high, activation=activation, **integers, **options)


def _padding(rng: np.random.Generator, taps: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding that keeps the size, or any, sometimes more than the kernel has."""
    if rng.random() < 0.4:
        return (taps[0] - 1) // 2, taps[0] // 2, (taps[1] - 1) // 2, taps[1] // 2
    reach = max(taps) + 2 if rng.random() < 0.3 else 2
    top, bottom, left, right = (int(value) for value in rng.integers(0, reach + 1, size=4))
    return top, bottom, left, right


def _weights(rng: np.random.Generator, shape: tuple[int, ...], config: Config) -> Ints:
    """Weights of one or two planes, with single zeros, zero vectors, and sometimes a whole input channel of zeros."""
    limit = config.wide_weight_limit if rng.random() < 0.3 else config.weight_limit
    weights = rng.integers(-limit, limit + 1, size=shape)
    weights = np.where(rng.random(shape) < rng.choice([0, 0.5, 0.9]), 0, weights)
    weights = np.where(rng.random((1, *shape[1:])) < rng.choice([0, 0.3, 0.8]), 0, weights)
    return weights.astype(np.int64)


def _activation(rng: np.random.Generator, size: int) -> Activation:
    """Any mode, static or dynamic, with and without a dead zone."""
    mode = str(rng.choice(["monte_carlo", "rounding", "bypass"]))
    dead_zone = int(rng.choice([0, 0, rng.integers(1, 60)]))
    if mode == "bypass":
        return Activation(mode, dead_zone=dead_zone)
    residue = int(rng.integers(0, 1 << 16)) if mode == "monte_carlo" else 1 << 15
    if rng.random() < 0.4:
        return Activation(mode, 0, max(1, int(size * rng.uniform(0.1, 3))), residue, dead_zone)
    step = int(rng.choice([rng.integers(1, 1 << 16), rng.integers(1 << 8, 1 << 12), (1 << 16) - 1]))
    return Activation(mode, step, 0, residue, dead_zone)
