"""Which group computes which output channel, and what that does to the layer after.

A group owns equally many stored channels, so channels are padded with zeros to a multiple of the groups, and to one of four bytes
where a max-pool writes whole words. In dense configurations every channel costs the same and the order stays. In sparse ones
channels go to groups by longest processing time; the permutation is folded into the next layer's weights, after the last layer
into the image's channel order.

An elementwise layer keeps the stored channels of its input. One whose input cannot be padded, since it is the network's own or
that of a flattened map, becomes an ordinary convolution with zeros off the diagonal.

A permutation changes the walk order of the next layer's input, hence the counts of a carried residue. So a layer in front of a
Monte Carlo layer keeps its order unless `reorder` says that the caller takes the stored network for the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np
from numpy.typing import NDArray

from galton.config import Config
from galton.errors import FitError
from galton.format import MAXIMUM_KERNEL, WORD_BYTES
from galton.network import Ints, Layer, Network

PADDING = -1
"""In an order: a stored channel that no real one stands behind."""


@dataclass(frozen=True)
class Stored:
    """A network as the machine stores it: channels padded and permuted.

    order: for each stored output channel its real one, or PADDING.
    """

    network: Network
    order: Ints

    @property
    def places(self) -> list[int]:
        """The stored channel of each real output channel."""
        real = np.flatnonzero(self.order != PADDING)
        return [int(place) for place in real[np.argsort(self.order[real])]]


def store(
    network: Network, config: Config, rates: Sequence[NDArray[np.float64]] | None = None, *, reorder: bool = False
) -> Stored:
    """The network with stored channels.

    `rates`, for each layer, are events per input channel (real order) and inference; all alike where they are not given.
    """
    layers: list[Layer] = []
    shape, order = network.input_shape, np.arange(network.input_shape[2])
    chains = _chains(network)
    for index, (given, chain) in enumerate(zip(network.layers, chains, strict=True)):
        joined = index > 0 and len(chains[index - 1]) > 1
        layer = plain(given) if given.elementwise and not joined else given
        following = [after.activation.mode for after in (*chain[1:], *network.layers[index + len(chain) :][:1])]
        movable = config.sparse and config.groups > 1 and (reorder or "monte_carlo" not in following)
        inputs = order if layer.input_shape == shape else _flattened(shape, order)
        layer_rates = np.ones(layer.input_shape[2]) if rates is None else rates[index]
        if layer.elementwise:
            outputs = order
        else:
            load = (layer.weights != 0).sum(axis=(1, 2)) @ layer_rates
            outputs = _assigned(load if movable else None, len(layer.weights), stored_channels(chain, config), config)
        stored_shape = layers[-1].output_shape if layers else network.input_shape
        flat = (*layer.input_shape[:2], len(inputs)) if layer.input_shape == shape else (1, 1, len(inputs))
        assert layer.input_shape != shape or stored_shape == flat
        layers.append(_stored(layer, flat, outputs, inputs))
        shape, order = layer.output_shape, outputs
    return Stored(replace(network, layers=tuple(layers)), order)


def _chains(network: Network) -> list[list[Layer]]:
    """For each layer itself and the elementwise layers that follow it and share its channels."""
    chains: list[list[Layer]] = []
    for layer, after in zip(network.layers[::-1], (None, *network.layers[:0:-1]), strict=True):
        joined = after is not None and after.elementwise and after.input_shape == layer.output_shape
        chains.append([layer, *(chains[-1] if joined else [])])
    return chains[::-1]


def stored_channels(chain: Sequence[Layer], config: Config) -> int:
    """Output channels with padding of layers that share them."""
    unit = config.groups if all(layer.pool == (1, 1) for layer in chain) else lcm(config.groups, WORD_BYTES)
    return -(-len(chain[0].weights) // unit) * unit


def plain(layer: Layer) -> Layer:
    """An elementwise layer as an ordinary one.

    Raises FitError for a window that no ordinary layer can have.
    """
    if max(layer.weights.shape[1:3]) > MAXIMUM_KERNEL:
        raise FitError(
            f"{layer.name}: a window of {layer.weights.shape[1:3]} on the network's input or a vector is larger than "
            f"{MAXIMUM_KERNEL}. Smaller windows fit, one after another"
        )
    channels = np.arange(len(layer.weights))
    weights = np.zeros((*layer.weights.shape[:3], len(channels)), np.int64)
    weights[channels, :, :, channels] = layer.weights[..., 0]
    return replace(layer, weights=weights, elementwise=False)


def _assigned(load: NDArray[np.float64] | None, channels: int, stored: int, config: Config) -> Ints:
    """For each stored channel its real one: in order without `load`, else by longest processing time."""
    order = np.full(stored, PADDING)
    if load is None:
        order[:channels] = np.arange(channels)
        return order
    room = stored // config.groups
    groups: list[list[int]] = [[] for _ in range(config.groups)]
    loads = [0.0] * config.groups
    for channel in np.argsort(-load, kind="stable").tolist():
        group = min((g for g in range(config.groups) if len(groups[g]) < room), key=lambda g: loads[g])
        groups[group].append(channel)
        loads[group] += float(load[channel])
    for group, owned in enumerate(groups):
        order[group * room : group * room + len(owned)] = sorted(owned)
    return order


def _flattened(shape: tuple[int, int, int], order: Ints) -> Ints:
    """The order of a map's stored channels as that of one pixel with all of them."""
    pixels = np.arange(shape[0] * shape[1])[:, None] * shape[2]
    flat: Ints = np.where(order == PADDING, PADDING, pixels + order).reshape(-1)
    return flat


def _stored(layer: Layer, input_shape: tuple[int, int, int], outputs: Ints, inputs: Ints) -> Layer:
    """The layer with zero weights, multiplier and bias in padded channels."""
    weights = layer.weights[np.maximum(outputs, 0)].astype(np.int64)
    if not layer.elementwise:
        weights = weights[..., np.maximum(inputs, 0)]
        weights[..., inputs == PADDING] = 0
    weights[outputs == PADDING] = 0
    multiplier, bias = (
        np.where(outputs == PADDING, 0, values[np.maximum(outputs, 0)]) for values in (layer.multiplier, layer.bias)
    )
    return replace(layer, input_shape=input_shape, weights=weights, multiplier=multiplier, bias=bias)
