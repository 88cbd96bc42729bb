"""Which group computes which output channel, and what that does to the layer after.

A group owns equally many stored channels, so channels are padded with zeros to a multiple of the groups, and to one of four bytes
where a max-pool writes whole words. In dense configurations every channel costs the same and the order stays. In sparse ones
channels go to groups by longest processing time; the permutation is folded into the next layer's weights, after the last layer
into the image's channel order.

Tensors that meet in a sum share their stored channels, and so do input and output of an elementwise layer. One whose input cannot
be padded, since it is the network's own or that of a flattened map, becomes an ordinary convolution with zeros off the diagonal.

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
from galton.network import NONE, Ints, Layer, Network

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

    Raises ValueError for other shapes of `rates`, FitError where channels cannot be padded.
    """
    if rates is not None:
        found, due = [np.shape(rate) for rate in rates], [(layer.input_shape[2],) for layer in network.layers]
        if found != due:
            raise ValueError(f"rates have shapes {found}; the layers' input channels are {due}")
    kept = tuple(
        plain(layer) if layer.elementwise and not _joined(network, index) else layer for index, layer in enumerate(network.layers)
    )
    network = replace(network, layers=kept)
    classes = _classes(network)
    orders: dict[int, Ints] = {0: np.arange(network.input_shape[2])}
    for layer, name in zip(network.layers, classes[1:], strict=True):
        members = [tensor for tensor, other in enumerate(classes) if other == name]
        unit = _unit(network, members, config)
        if name not in orders:
            orders[name] = _assigned(_load(network, members, rates, config, reorder), len(layer.weights), unit, config)
        elif name == 0 and len(orders[0]) % unit:
            raise FitError(
                f"{layer.name} adds the network's input, whose {network.input_shape[2]} channels {config.name} cannot pad. "
                "A layer between them makes it fit"
            )
    layers: list[Layer] = []
    for index, layer in enumerate(network.layers):
        taken = network.inputs[index]
        shape, order = network.tensor_shape(taken), orders[classes[taken]]
        joined = layer.input_shape[2] == shape[2]
        inputs = order if joined else _flattened(shape, order)
        flat = (*layer.input_shape[:2], len(inputs)) if joined else (1, 1, len(inputs))
        layers.append(_stored(layer, flat, orders[classes[index + 1]], inputs))
    input_shape = (*network.input_shape[:2], len(orders[0]))
    return Stored(replace(network, input_shape=input_shape, layers=tuple(layers)), orders[classes[-1]])


def _joined(network: Network, index: int) -> bool:
    """Whether a layer takes the map of another one, which can be padded."""
    taken = network.inputs[index]
    return taken > 0 and network.layers[index].input_shape[2] == network.tensor_shape(taken)[2]


def _classes(network: Network) -> list[int]:
    """For each tensor the first of those with which it shares its channels: through elementwise layers and sums."""
    classes = list(range(len(network.layers) + 1))
    for index, (layer, taken, added) in enumerate(zip(network.layers, network.inputs, network.residuals, strict=True)):
        for other in [taken] * layer.elementwise + [added] * (added != NONE):
            first, second = sorted((classes[other], classes[index + 1]))
            classes = [first if name == second else name for name in classes]
    return classes


def _unit(network: Network, tensors: Sequence[int], config: Config) -> int:
    """What the stored channels of tensors that share them must be a multiple of."""
    pooled = any(tensor and network.layers[tensor - 1].pool != (1, 1) for tensor in tensors)
    return lcm(config.groups, WORD_BYTES) if pooled else config.groups


def _load(
    network: Network, tensors: Sequence[int], rates: Sequence[NDArray[np.float64]] | None, config: Config, reorder: bool
) -> NDArray[np.float64] | None:
    """Work of each channel that the tensors share; None where they must keep their order."""
    modes = {layer.activation.mode for layer, taken in zip(network.layers, network.inputs, strict=True) if taken in tensors}
    if not config.sparse or config.groups == 1 or ("monte_carlo" in modes and not reorder):
        return None
    load = np.zeros(len(network.layers[max(tensors) - 1].weights))
    for index in (tensor - 1 for tensor in tensors if tensor):
        layer = network.layers[index]
        if not layer.elementwise:
            layer_rates = np.ones(layer.input_shape[2]) if rates is None else rates[index]
            load += (layer.weights != 0).sum(axis=(1, 2)) @ layer_rates
    return load


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


def _assigned(load: NDArray[np.float64] | None, channels: int, unit: int, config: Config) -> Ints:
    """For each stored channel its real one: in order without `load`, else by longest processing time."""
    stored = -(-channels // unit) * unit
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
    weights = layer.weights[np.maximum(outputs, 0)]
    if not layer.elementwise:
        weights = weights[..., np.maximum(inputs, 0)]
        weights[..., inputs == PADDING] = 0
    weights[outputs == PADDING] = 0
    multiplier, bias = (
        np.where(outputs == PADDING, 0, values[np.maximum(outputs, 0)]) for values in (layer.multiplier, layer.bias)
    )
    return replace(layer, input_shape=input_shape, weights=weights, multiplier=multiplier, bias=bias)
