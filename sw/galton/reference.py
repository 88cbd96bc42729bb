"""Integer networks by direct convolution: exact, batched, in NumPy; independent of packing, permutations and the machine.

The streaming quantizer is shared with the golden model (galton.streaming); the rest is the contract of galton.arith written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from galton import streaming
from galton.errors import AccumulatorOverflow
from galton.format import MULTIPLIER_BITS, SHIFTS, TOTAL_BITS
from galton.network import NONE, Ints, Layer, Network

CHUNK = 1 << 18
"""Numbers in the largest matrix of patches that is held at a time: it stays in the cache."""
SINGLE_BITS = 24
"""Sums of integers below 2^24 are exact in float32, in any order; those of 32-bit accumulators in float64."""


@dataclass(frozen=True)
class Sums:
    """What one layer adds up for n inputs.

    counts: signed, (n, rows, columns, channels) of the layer's input. cut: which of them were cut to the count width.
    sums: accumulators before pooling, (n, *map_shape, output channels).
    """

    counts: Ints
    cut: NDArray[np.bool_]
    sums: Ints


@dataclass(frozen=True)
class LayerTrace(Sums):
    """What one layer did with n inputs.

    norms: T of the layer's input under its dead zone, (n,). output: raw, (n, *output_shape).
    """

    norms: Ints
    output: Ints


def run(network: Network, raw: Ints, *, count_bits: int = 8) -> Ints:
    """Raw outputs (n, rows, columns, channels) of raw inputs (n, rows, columns, channels).

    Raises ValueError for a wrong shape or integers outside the input's range, AccumulatorOverflow where a total passes 32 bits.
    """
    tensors = _Tensors(network, raw)
    for index in range(len(network.layers)):
        tensors.step(index, count_bits)
    return tensors.held[-1]


def trace(network: Network, raw: Ints, *, count_bits: int = 8) -> list[LayerTrace]:
    """What every layer did, in order; raises like `run`."""
    tensors = _Tensors(network, raw)
    return [tensors.step(index, count_bits) for index in range(len(network.layers))]


class _Tensors:
    """The tensors of a network that are still needed, by number."""

    def __init__(self, network: Network, raw: Ints) -> None:
        self.network, self.held = network, [_checked(network, raw)]

    def step(self, index: int, count_bits: int) -> LayerTrace:
        """Run layer `index`."""
        network, held = self.network, self.held
        layer, added = network.layers[index], network.residuals[index]
        found = layer_trace(layer, held[network.inputs[index]], held[added] if added != NONE else None, count_bits=count_bits)
        held.append(found.output)
        for tensor in range(index + 1):
            if network.last_use(tensor) <= index:
                held[tensor] = held[tensor][:0]
        return found


def layer_trace(layer: Layer, raw: Ints, residual: Ints | None = None, *, count_bits: int = 8) -> LayerTrace:
    """What `layer` does with raw inputs (n, ...), reshaped to its input shape, and raw integers to add (n, *output_shape)."""
    flat = raw.reshape(len(raw), prod(layer.input_shape))
    found = accumulated(layer, raw, count_bits)
    norms, output = streaming.norms(flat, layer.activation.dead_zone), drain(layer, flat, found.sums, residual)
    return LayerTrace(found.counts, found.cut, found.sums, norms, output)


def accumulated(layer: Layer, raw: Ints, count_bits: int = 8) -> Sums:
    """What `layer` adds up for raw inputs (n, ...), reshaped to its input shape."""
    counts, cut = streaming.counts(raw.reshape(len(raw), prod(layer.input_shape)), layer.activation, count_bits)
    counts = counts.reshape(len(raw), *layer.input_shape)
    return Sums(counts, cut.reshape(counts.shape), convolve(counts, layer))


def drain(layer: Layer, flat: Ints, sums: Ints, residual: Ints | None = None) -> Ints:
    """Raw outputs (n, *output_shape) from accumulators; `flat` is the layer's raw input, (n, size), for its norm.

    residual: raw integers to add, (n, *output_shape).
    """
    total = sums * _multipliers(layer, flat)
    total += layer.bias + (1 << (layer.shift - 1))
    if residual is not None:
        total += residual * layer.residual_multiplier
    if total.size and not -(1 << (TOTAL_BITS - 1)) <= total.min() <= total.max() < 1 << (TOTAL_BITS - 1):
        raise AccumulatorOverflow(f"{layer.name}: a total of {total.min()}..{total.max()} does not fit {TOTAL_BITS} bits")
    total >>= layer.shift
    output: Ints = np.clip(total, layer.low, layer.high, out=total)
    if layer.pool == (1, 1):
        return output
    (rows, columns, channels), (pool_y, pool_x) = layer.output_shape, layer.pool
    pooled: Ints = output.reshape(len(sums), rows, pool_y, columns, pool_x, channels).max(axis=(2, 4))
    return pooled


def convolve(counts: Ints, layer: Layer) -> Ints:
    """acc[y, x, k] = sum over taps of count * weight: (n, *layer.map_shape, output channels)."""
    rows, columns = layer.map_shape
    outputs, kernel_y, kernel_x, _ = layer.weights.shape
    matrix = layer.weights.reshape(outputs, -1).T
    largest = int(np.abs(matrix).sum(axis=0).max()) * int(np.abs(counts).max(initial=0))
    kind = np.dtype(np.float32 if largest < 1 << SINGLE_BITS else np.float64)
    top, bottom, left, right = layer.padding
    padded = np.pad(counts.astype(kind), ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel_y, kernel_x), axis=(1, 2))
    windows = windows[:, :: layer.stride[0], :: layer.stride[1]][:, :rows, :columns].transpose(0, 1, 2, 4, 5, 3)
    sums = np.empty((len(counts), rows, columns, outputs), np.int64)
    if layer.elementwise:
        taps = layer.weights[..., 0].transpose(1, 2, 0).astype(kind)
        sums[:] = sum(windows[:, :, :, y, x] * taps[y, x] for y, x in np.ndindex(kernel_y, kernel_x))
        return sums
    step = max(1, CHUNK // (rows * columns * len(matrix)))
    for start in range(0, len(counts), step):
        patches = windows[start : start + step].reshape(-1, len(matrix))
        sums[start : start + step] = (patches @ matrix.astype(kind)).reshape(-1, rows, columns, outputs)
    return sums


def _checked(network: Network, raw: Ints) -> Ints:
    """The raw input, if its shape and range are the network's."""
    if raw.shape[1:] != network.input_shape:
        shape = ", ".join(map(str, network.input_shape))
        raise ValueError(f"{network.name} takes raw inputs of shape (n, {shape}), not {raw.shape}")
    if raw.size and not network.input_low <= raw.min() <= raw.max() <= network.input_high:
        raise ValueError(f"Raw inputs must lie in {network.input_low}..{network.input_high}, not {raw.min()}..{raw.max()}")
    return raw.astype(np.int64)


def _multipliers(layer: Layer, flat: Ints) -> Ints:
    """M_k, in dynamic mode with the norm of each input in it: broadcasts to (n, 1, 1, output channels)."""
    if not layer.activation.dynamic:
        return layer.multiplier
    short = streaming.effective_norms(flat, layer.activation) >> layer.norm_shift
    result = (layer.multiplier * short[:, None, None, None]) >> SHIFTS[layer.multiplier_shift]
    if result.size and not max(short.max(), result.max()) < 1 << MULTIPLIER_BITS:
        raise AccumulatorOverflow(f"{layer.name}: a multiplier of {result.max()} or its norm does not fit {MULTIPLIER_BITS} bits")
    return result
