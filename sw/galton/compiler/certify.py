"""Proof that no accumulator and no total can overflow, for any input: one certificate per layer, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from galton.arith import stored_bias
from galton.bounds import accumulator_bounds, largest_count
from galton.config import Config
from galton.errors import AccumulatorOverflow
from galton.format import MULTIPLIER_BITS, NORM_BITS, SHIFTS, TOTAL_BITS
from galton.network import NONE, Ints, Layer, Network


@dataclass(frozen=True)
class Certificate:
    """What a layer's sums can reach, whatever the input.

    bound: largest |acc|; width: accumulator bits; margin: bits of the accumulator that stay unused.
    count: largest count; total: largest |acc * multiplier + bias + residual|; total_margin: unused bits of its 32.
    """

    layer: str
    bound: int
    width: int
    margin: int
    count: int
    total: int
    total_margin: int

    def __str__(self) -> str:
        return (
            f"{self.layer}: |acc| <= {self.bound:,} in {self.width} bits, {self.margin} to spare; "
            f"|total| <= {self.total:,} in {TOTAL_BITS} bits, {self.total_margin} to spare"
        )


def signed_bits(magnitude: int) -> int:
    """Bits of a two's complement number that holds -magnitude..magnitude."""
    return magnitude.bit_length() + 1


def certify(network: Network, config: Config) -> tuple[Certificate, ...]:
    """The certificates of a network's layers.

    Raises AccumulatorOverflow with layer, bound, width and the nearest setting that fits.
    """
    certificates, values = [], [prod(network.input_shape)]
    for index, layer in enumerate(network.layers):
        taken, added = network.inputs[index], network.residuals[index]
        low, high = network.tensor_range(taken)
        most = max(map(abs, network.tensor_range(added))) * layer.residual_multiplier if added != NONE else 0
        certificates.append(_certificate(layer, low, high, values[taken], most, config))
        values.append(prod(layer.output_shape[:2]) * _live_channels(layer))
    return tuple(certificates)


def _live_channels(layer: Layer) -> int:
    """Output channels that can be other than 0: those that pad a tensor cannot."""
    weighted = layer.weights.reshape(len(layer.weights), -1).any(axis=1) & (layer.multiplier != 0)
    return int((weighted | (layer.bias != 0)).sum())


def _certificate(layer: Layer, low: int, high: int, values: int, residual: int, config: Config) -> Certificate:
    """The certificate of a layer with `values` raw inputs that can be other than 0, in low..high; it adds up to `residual`."""
    magnitude = max(-low, high)
    count = largest_count(layer.activation, magnitude, config.count_limit)
    bounds = accumulator_bounds(layer.weights, layer.activation, low, high, config.count_limit)
    bound, width = int(bounds.max()), config.accumulator_bits
    if signed_bits(bound) > width:
        raise AccumulatorOverflow(_accumulator_message(layer, low, high, int(bounds.argmax()), bounds, count, config))
    multiplier = _multipliers(layer, values * magnitude)
    stored = np.array([abs(stored_bias(int(value), layer.shift)) for value in layer.bias], dtype=np.int64)
    totals = bounds * multiplier + stored + residual
    total = int(totals.max())
    if signed_bits(total) > TOTAL_BITS:
        raise AccumulatorOverflow(_total_message(layer, int(totals.argmax()), bounds, multiplier, residual))
    return Certificate(layer.name, bound, width, width - signed_bits(bound), count, total, TOTAL_BITS - signed_bits(total))


def _multipliers(layer: Layer, norm: int) -> Ints:
    """The largest multiplier that the drain can use in each channel; `norm` is the largest of any input."""
    multiplier = layer.multiplier
    limit = (1 << MULTIPLIER_BITS) - 1
    if int(multiplier.max()) > limit or int(multiplier.min()) < 0:
        found = f"{int(multiplier.min())}..{int(multiplier.max())}"
        raise AccumulatorOverflow(f"{layer.name}: multipliers must be in 0..{limit}, not in {found}")
    if not layer.activation.dynamic:
        return multiplier
    norm = max(norm, layer.activation.samples + 1)
    short = norm >> layer.norm_shift
    if norm.bit_length() > NORM_BITS:
        raise AccumulatorOverflow(
            f"{layer.name}: the norm of its input can reach {norm:,}, more than {NORM_BITS} bits hold. "
            "A static step fits, or an input of fewer values"
        )
    if short > limit:
        raise AccumulatorOverflow(
            f"{layer.name}: the norm of its input can reach {norm:,}, which a norm_shift of {layer.norm_shift} does not bring to "
            f"{MULTIPLIER_BITS} bits; {norm.bit_length() - MULTIPLIER_BITS} does (rescale.dynamic_rescaling chooses it)"
        )
    result: Ints = (multiplier * short) >> SHIFTS[layer.multiplier_shift]
    if int(result.max()) > limit:
        fitting = [shift for shift in SHIFTS if (int(multiplier.max()) * short) >> shift <= limit]
        raise AccumulatorOverflow(
            f"{layer.name}: multiplier times norm can reach {int(result.max()):,}, more than {MULTIPLIER_BITS} bits hold; "
            f"a multiplier_shift of {fitting[0]} bits fits (rescale.dynamic_rescaling chooses it)"
        )
    return result


def _accumulator_message(layer: Layer, low: int, high: int, channel: int, bounds: Ints, count: int, config: Config) -> str:
    """Layer, bound, width, and the largest count that would fit."""
    bound, width = int(bounds[channel]), config.accumulator_bits
    fitting = [bits for bits in range(1, config.count_bits) if _fits_with(layer, low, high, (1 << bits) - 1, width)]
    ways = [f"a configuration with accumulator_bits={signed_bits(bound)}"]
    if fitting:
        ways.insert(
            0, f"counts of at most {(1 << fitting[-1]) - 1} (a smaller K for its activations, or count_bits={fitting[-1]})"
        )
    return (
        f"{layer.name}: channel {channel} can reach {bound:,} with counts up to {count}, which takes {signed_bits(bound)} bits; "
        f"the accumulators of {config.name} have {width}. What would fit: {' or '.join(ways)}"
    )


def _fits_with(layer: Layer, low: int, high: int, limit: int, width: int) -> bool:
    """Whether the layer fits with counts cut to `limit`."""
    return signed_bits(int(accumulator_bounds(layer.weights, layer.activation, low, high, limit).max())) <= width


def _total_message(layer: Layer, channel: int, bounds: Ints, multiplier: Ints, residual: int) -> str:
    """Layer, total, width, and the largest shift that would fit with the same real scale."""
    total = int(bounds[channel]) * int(multiplier[channel]) + abs(stored_bias(int(layer.bias[channel]), layer.shift)) + residual
    smaller = [shift for shift in SHIFTS if shift < layer.shift and signed_bits(total >> (layer.shift - shift)) <= TOTAL_BITS]
    way = f"a shift of {smaller[-1]} with multipliers and biases to match" if smaller else "a coarser output scale"
    rest = "bias and residual" if residual else "bias"
    return (
        f"{layer.name}: channel {channel} can total {total:,} (accumulator {int(bounds[channel]):,} times multiplier "
        f"{int(multiplier[channel])} plus {rest}), which takes {signed_bits(total)} bits of {TOTAL_BITS}. What would fit: {way}"
    )


def widest(certificates: Sequence[Certificate]) -> Certificate:
    """The certificate with the least margin."""
    return min(certificates, key=lambda certificate: certificate.margin)
