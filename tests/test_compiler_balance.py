"""Channels are padded and permuted without changing what the network computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network

from galton import golden, reference
from galton.compiler import compile
from galton.compiler.balance import PADDING, Stored, store
from galton.config import Config
from galton.network import Activation, Layer, Network

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
    network = replace(network, layers=network.layers[:1])
    compiled = compile(network, SPARSE)
    order = compiled.image.meta["output"]["order"]
    assert order != sorted(order)
    raw = np.random.default_rng(1).integers(0, 256, size=(2, 6, 6, 4))
    assert (golden.run(compiled.image, raw) == reference.run(network, raw)).all()
