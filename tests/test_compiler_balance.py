"""Channels are padded and permuted without changing what the network computes."""

from __future__ import annotations

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network, residual_network

from galton import golden, reference
from galton.compiler import compile
from galton.compiler.balance import PADDING, Stored, store
from galton.config import Config
from galton.errors import FitError
from galton.network import NONE, Activation, Layer, Network

SPARSE = Config("sparse", groups=4, lanes=1, step_bits=2, table_words=4096)


def lopsided(following: Activation, channels: int = 16) -> Network:
    """Two layers; the first one's output channels have 1, 2, 3, ... weights."""
    weights = np.zeros((channels, 3, 3, 4), np.int64)
    for channel in range(channels):
        weights[channel].reshape(-1)[: 2 * channel + 1] = 1
    vector = np.ones(channels, np.int64)
    first = Layer("first", (6, 6, 4), weights, vector << 9, vector, 12, 0, 255)
    second = np.random.default_rng(0).integers(-7, 8, size=(3, 1, 1, 16 * channels))
    last = Layer("last", (1, 1, 16 * channels), second, np.full(3, 99), np.zeros(3, np.int64), 12, -128, 127, following)
    return Network("lopsided", (6, 6, 4), (first, last))


def loads(stored: Stored, config: Config) -> list[int]:
    """Weights of each group in the first layer."""
    weights = stored.network.layers[0].weights
    return (weights != 0).sum(axis=(1, 2, 3)).reshape(config.groups, -1).sum(axis=1).tolist()


def test_sparse_groups_are_balanced() -> None:
    network = lopsided(Activation())
    balanced = loads(store(network, SPARSE), SPARSE)
    assert sum(balanced) == 16 * 16
    assert max(balanced) == 64
    assert loads(store(network, Config("dense", groups=4)), Config("dense", groups=4))[3] == 25 + 27 + 29 + 31


def test_event_rates_count() -> None:
    network = lopsided(Activation())
    rates = [np.array([1.0, 0, 0, 0]), np.ones(256)]
    stored = store(network, SPARSE, rates)
    load = (stored.network.layers[0].weights != 0).sum(axis=(1, 2)) @ rates[0]
    groups = load.reshape(4, -1).sum(axis=1)
    assert groups.max() - groups.min() <= 1


def test_rates_of_other_channels_are_refused() -> None:
    network = lopsided(Activation())
    with pytest.raises(ValueError, match=r"rates have shapes \[\(5,\)\]; the layers' input channels are \[\(4,\), \(256,\)\]"):
        store(network, SPARSE, [np.ones(5)])


def test_a_monte_carlo_layer_keeps_the_walk_order_of_its_input() -> None:
    network = lopsided(Activation("monte_carlo", step=900))
    raw = np.random.default_rng(1).integers(0, 256, size=(3, 6, 6, 4))
    kept = compile(network, SPARSE)
    assert (kept.network.layers[0].weights == network.layers[0].weights).all()
    assert (golden.run(kept.image, raw) == reference.run(network, raw)).all()
    moved = compile(network, SPARSE, reorder=True)
    assert max(loads(store(network, SPARSE, reorder=True), SPARSE)) == 64
    places = moved.image.meta["output"]["order"]
    assert (golden.run(moved.image, raw) == reference.run(moved.network, raw)[..., places]).all()


@pytest.mark.parametrize("name", EVERY)
def test_stored_networks_compute_the_same(name: str) -> None:
    for seed in range(12):
        network, config = random_network(seed, EVERY[name], operations=60_000), EVERY[name]
        stored, raw = store(network, config), random_inputs(seed, network)
        expected = reference.run(network, raw, count_bits=config.count_bits)
        outputs = reference.run(stored.network, raw, count_bits=config.count_bits)
        assert (outputs[..., stored.places] == expected).all()
        assert not outputs[..., stored.order == PADDING].any()
        for layer in stored.network.layers:
            assert len(layer.weights) % config.groups == 0
            assert layer.pool == (1, 1) or len(layer.weights) % 4 == 0


def test_the_output_order_is_in_the_image() -> None:
    network = lopsided(Activation())
    network = Network("first", network.input_shape, network.layers[:1])
    compiled = compile(network, SPARSE)
    order = compiled.image.meta["output"]["order"]
    assert order != sorted(order)
    raw = np.random.default_rng(1).integers(0, 256, size=(2, 6, 6, 4))
    assert (golden.run(compiled.image, raw) == reference.run(network, raw)).all()


def depthwise(name: str, shape: tuple[int, int, int], following: Activation | None = None, **options: object) -> Layer:
    """A 3x3 elementwise layer, all of whose channels differ."""
    channels = shape[2]
    weights = np.random.default_rng(channels).integers(-7, 8, size=(channels, 3, 3, 1))
    vector = np.arange(channels) + 3000
    options = {"padding": (1, 1, 1, 1), "elementwise": True, "activation": following or Activation(), **options}
    return Layer(name, shape, weights, vector, (vector - 3000) * 4096, 12, 0, 255, **options)


def chain(*layers: Layer) -> Network:
    """A pointwise layer of 1, 2, 3, ... weights in front of elementwise ones."""
    channels = layers[0].input_shape[2]
    weights = np.zeros((channels, 1, 1, channels), np.int64)
    for channel in range(channels):
        weights[channel, 0, 0, : channel + 1] = 1
    vector = np.ones(channels, np.int64)
    shape = layers[0].input_shape
    return Network("chain", shape, (Layer("first", shape, weights, vector << 8, vector, 12, 0, 255), *layers))


def agrees(network: Network, config: Config) -> None:
    """Packed and executed, it computes the network."""
    raw = np.random.default_rng(1).integers(0, 256, size=(2, *network.input_shape))
    expected = reference.run(network, raw, count_bits=config.count_bits)
    assert expected.any()
    assert (golden.run(compile(network, config).image, raw) == expected).all()


@pytest.mark.parametrize(
    "config", [Config("six", groups=6, lanes=2), Config("five", groups=5, lanes=4), Config("one", groups=1, lanes=8)]
)
def test_chains_share_their_channels(config: Config) -> None:
    network = chain(depthwise("middle", (6, 6, 7)), depthwise("pooled", (6, 6, 7), pool=(2, 2)), depthwise("last", (3, 3, 7)))
    stored = store(network, config).network
    unit = np.lcm(config.groups, 4)
    assert {len(layer.weights) for layer in stored.layers} == {-(-7 // unit) * unit}
    assert [layer.elementwise for layer in stored.layers] == [False, True, True, True]
    without = chain(depthwise("middle", (6, 6, 7)), depthwise("last", (6, 6, 7)))
    assert {len(layer.weights) for layer in store(without, config).network.layers} == {-(-7 // config.groups) * config.groups}
    agrees(network, config)


def test_permutations_go_through_a_chain() -> None:
    network = chain(depthwise("middle", (5, 5, 8)), depthwise("last", (5, 5, 8)))
    stored = store(network, SPARSE)
    order = stored.order.tolist()
    assert sorted(order) == list(range(8))
    assert order != list(range(8))
    for layer, given in zip(stored.network.layers[1:], network.layers[1:], strict=True):
        assert (layer.weights == given.weights[order]).all()
        assert (layer.bias == given.bias[order]).all()
    agrees(network, SPARSE)


@pytest.mark.parametrize("behind", [1, 2])
def test_a_monte_carlo_layer_behind_elementwise_ones_keeps_its_order(behind: int) -> None:
    monte_carlo = Activation("monte_carlo", step=900)
    layers = [depthwise(f"layer{index}", (5, 5, 8)) for index in range(behind)]
    network = chain(*layers, depthwise("carried", (5, 5, 8), monte_carlo))
    assert store(network, SPARSE).order.tolist() == list(range(8))
    assert store(network, SPARSE, reorder=True).order.tolist() != list(range(8))
    agrees(network, SPARSE)


def test_elementwise_layers_without_a_layer_before_become_ordinary() -> None:
    """On the network's input and on a flattened map nobody can store channels of zeros."""
    vector = np.ones(75, np.int64)
    numbers = {"low": 0, "high": 255, "elementwise": True, "activation": Activation("rounding", step=900, residue=1 << 15)}
    flat = Layer("flat", (1, 1, 75), vector[:, None, None, None], vector << 10, vector * 0, 12, **numbers)
    first = depthwise("first", (5, 5, 3))
    network = Network("n", (5, 5, 3), (first, depthwise("second", (5, 5, 3)), flat))
    stored = store(network, Config("four", groups=4)).network
    assert [layer.elementwise for layer in stored.layers] == [False, True, False]
    found = stored.layers[0].weights
    assert found.shape == (4, 3, 3, 3)
    for place in np.ndindex(3, 3, 3, 3):
        assert found[place] == (first.weights[(*place[:3], 0)] if place[0] == place[3] else 0)
    agrees(network, Config("four", groups=4))


def pointwise(name: str, shape: tuple[int, int, int], counts: list[int], **options: object) -> Layer:
    """A 1x1 layer whose output channels have so many weights."""
    weights = np.zeros((len(counts), 1, 1, shape[2]), np.int64)
    for channel, count in enumerate(counts):
        weights[channel, 0, 0, :count] = 1 + channel % 3
    vector = np.arange(len(counts)) + 900
    return Layer(name, shape, weights, vector, vector << 6, 12, 0, 255, **options)


TWO = Config("two", groups=2, lanes=1, step_bits=2, table_words=4096)


def test_tensors_that_meet_in_a_sum_share_their_order() -> None:
    """Balanced by the work of both; the permutation is in everything that touches either of them."""
    shape, up, down = (4, 4, 8), [1, 2, 3, 4, 5, 6, 7, 8], [8, 1, 1, 8, 1, 8, 1, 8]
    layers = (
        pointwise("one", shape, up),
        pointwise("two", shape, down),
        pointwise("other", shape, up[::-1]),
        pointwise("sum", shape, up, residual_multiplier=700),
        pointwise("last", shape, [8, 8, 8]),
    )
    network = Network("sum", shape, layers, inputs=(0, 1, 1, 3, 4), residuals=(NONE, NONE, NONE, 2, NONE))
    found = store(network, TWO)
    stored = found.network
    by_work = np.array([np.flatnonzero(stored.layers[1].multiplier == value).item() for value in layers[1].multiplier])
    order = np.argsort(by_work)
    assert order.tolist() != list(range(8))
    for index in (1, 3):
        assert (stored.layers[index].multiplier == layers[index].multiplier[order]).all()
    load = np.array(up) + np.array(down)
    halves = load[order].reshape(2, -1).sum(axis=1)
    assert abs(halves[0] - halves[1]) <= 2 < abs(load[:4].sum() - load[4:].sum())
    assert (stored.layers[4].weights[found.places] == layers[4].weights[..., order]).all()
    agrees(network, TWO)


def test_a_monte_carlo_layer_keeps_the_order_of_all_that_meets_what_it_takes() -> None:
    shape, up = (4, 4, 8), [1, 2, 3, 4, 5, 6, 7, 8]
    carried = pointwise("last", shape, [8, 8], activation=Activation("monte_carlo", step=900))
    layers = (pointwise("one", shape, up), pointwise("two", shape, up, residual_multiplier=700), carried)
    network = Network("sum", shape, layers, residuals=(NONE, 1, NONE))
    assert (store(network, TWO).network.layers[0].multiplier == layers[0].multiplier).all()
    assert (store(network, TWO, reorder=True).network.layers[0].multiplier != layers[0].multiplier).any()
    agrees(network, TWO)


def test_one_that_is_pooled_pads_all_that_share_its_channels() -> None:
    shape, config = (4, 4, 7), Config("six", groups=6, lanes=2)
    counts = [1, 2, 3, 4, 5, 6, 7]
    pooled = depthwise("pooled", (4, 4, 7), pool=(2, 2))
    layers = (pointwise("one", shape, counts), pointwise("two", shape, counts, residual_multiplier=9), pooled)
    network = Network("sum", shape, layers, residuals=(NONE, 1, NONE))
    assert [len(layer.weights) for layer in store(network, config).network.layers] == [12, 12, 12]
    without = Network("sum", shape, layers[:2], residuals=(NONE, 1))
    assert [len(layer.weights) for layer in store(without, Config("four", groups=4)).network.layers] == [8, 8]
    agrees(network, config)


def test_adding_the_network_s_input() -> None:
    """It has the channels that it has: they must be whole for the groups."""
    layers = (pointwise("one", (4, 4, 6), [6] * 6), pointwise("two", (4, 4, 6), [1] * 6, residual_multiplier=700))
    network = Network("sum", (4, 4, 6), layers, residuals=(NONE, 0))
    agrees(network, TWO)
    assert store(network, TWO).order.tolist() == list(range(6))
    with pytest.raises(FitError, match="two adds the network's input, whose 6 channels four cannot pad"):
        compile(network, Config("four", groups=4))


@pytest.mark.parametrize("name", ["tiny", "two-sparse", "three-by-five", "wide-step"])
def test_stored_residual_networks_compute_the_same(name: str) -> None:
    for seed in range(12):
        network, config = residual_network(seed, EVERY[name]), EVERY[name]
        raw = random_inputs(seed, network)
        expected = reference.run(network, raw, count_bits=config.count_bits)
        stored = store(network, config)
        outputs = reference.run(stored.network, raw, count_bits=config.count_bits)
        assert (outputs[..., stored.places] == expected).all()
        for layer, added in zip(stored.network.layers, stored.network.residuals, strict=True):
            assert added == NONE or stored.network.tensor_shape(added) == layer.output_shape
