"""Tensors that are alive together never overlap, and take as little of the data memory as can be."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EVERY, random_network, residual_network

from galton.compiler.place import alternating, fitted, place, program_size
from galton.config import Config
from galton.format import PROFILE
from galton.network import NONE, Layer, Network

CONFIG = Config("placing", data_words=1 << 14)


def graph(sizes: list[int], inputs: tuple[int, ...], residuals: tuple[int, ...] = ()) -> Network:
    """Fully connected layers whose tensors have as many words each."""
    layers = []
    for index, taken in enumerate(inputs):
        outputs = 4 * sizes[index + 1]
        numbers = np.zeros(outputs, np.int64)
        added = int(bool(residuals) and residuals[index] != NONE)
        weights = np.zeros((outputs, 1, 1, 4 * sizes[taken]), np.int64)
        shape = (1, 1, 4 * sizes[taken])
        layers.append(Layer(f"fc{index}", shape, weights, numbers, numbers, 12, 0, 255, residual_multiplier=added))
    return Network("graph", (1, 1, 4 * sizes[0]), tuple(layers), inputs=inputs, residuals=residuals)


def alive_at(network: Network, index: int) -> list[int]:
    """The tensors that must be kept while a layer runs."""
    needed = {index + 1}
    for later in range(index, len(network.layers)):
        needed |= {tensor for tensor in (network.inputs[later], network.residuals[later]) if NONE < tensor <= index}
    return sorted(needed)


def check(network: Network, config: Config, *, profile: bool = False) -> int:
    """Every placement within the memory and apart from what is alive with it; the words of the tensors."""
    placement = place(network, config, profile=profile)
    program = program_size(network, sum(len(layer.weights) for layer in network.layers))
    assert placement.fixed == program + profile * PROFILE.words * len(network.layers)
    extents = [(base, base + size) for base, size in zip(placement.tensors, placement.words, strict=True)]
    assert all(placement.fixed <= start < end <= config.data_words for start, end in extents)
    assert placement.needed <= config.data_words
    for index in range(len(network.layers)):
        alive = alive_at(network, index)
        assert placement.alive(network, index) == sum(placement.words[tensor] for tensor in alive)
        ordered = sorted(extents[tensor] for tensor in alive)
        assert all(before[1] <= after[0] for before, after in pairwise(ordered))
        assert placement.needed - placement.fixed >= placement.alive(network, index)
    return placement.needed - placement.fixed


@st.composite
def graphs(draw: st.DrawFn) -> Network:
    """Any graph of up to seven layers; sums where sizes agree."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=8))
    layers = range(len(sizes) - 1)
    inputs = tuple(draw(st.integers(0, index)) for index in layers)
    residuals = []
    for index in layers:
        equal = [tensor for tensor in range(index + 1) if sizes[tensor] == sizes[index + 1]]
        residuals.append(draw(st.sampled_from([NONE, *equal])))
    return graph(sizes, inputs, tuple(residuals))


@settings(deadline=None, max_examples=150)
@given(graphs(), st.booleans())
def test_tensors_that_are_alive_together_do_not_overlap(network: Network, profile: bool) -> None:
    check(network, CONFIG, profile=profile)


@pytest.mark.parametrize("name", ["tiny", "two-sparse"])
def test_of_random_networks(name: str) -> None:
    for seed in range(15):
        check(random_network(seed, EVERY[name]), EVERY[name], profile=True)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8))
def test_a_chain_needs_its_largest_neighbours(sizes: list[int]) -> None:
    network = graph(sizes, tuple(range(len(sizes) - 1)))
    assert check(network, CONFIG) == max(a + b for a, b in pairwise(sizes))


def test_a_chain_fits_a_memory_without_a_word_to_spare() -> None:
    network = graph([3, 5, 2, 7, 1], (0, 1, 2, 3))
    needed = place(network, CONFIG, profile=False).needed
    assert check(network, Config("exact", data_words=needed)) == 9


def test_a_residual_is_kept_until_it_is_added() -> None:
    sizes, inputs = [1, 6, 2, 2, 6], (0, 1, 2, 3)
    assert check(graph(sizes, inputs), CONFIG) == 8
    assert check(graph(sizes, inputs, (NONE, NONE, NONE, 1)), CONFIG) == 14


def test_largest_first_alone_is_worse() -> None:
    """The two large tensors, never alive together, both lie at the bottom; then the last small one has to lie above the other."""
    words, lives = [2, 1, 1, 2], [(-1, 0), (0, 1), (1, 3), (2, 3)]
    assert fitted(words, lives, [0, 3, 1, 2]) == ([0, 2, 3, 0], 4)
    assert min(fitted(words, lives, order)[1] for order in permutations(range(4))) == 3
    assert check(graph(words, (0, 1, 2), (NONE, NONE, NONE)), CONFIG) == 3


def test_random_orders_are_tried_and_always_the_same() -> None:
    """Neither the order of arrival nor that of size packs these as tightly."""
    words = [2, 2, 3, 2, 1, 3, 4, 4]
    network = graph(words, (0, 1, 2, 1, 1, 5, 3))
    lives = [(tensor - 1, max(network.last_use(tensor), tensor - 1)) for tensor in range(len(words))]
    plain = [fitted(words, lives, order)[1] for order in (range(8), sorted(range(8), key=lambda tensor: -words[tensor]))]
    assert plain == [11, 11]
    assert check(network, CONFIG) == 9
    assert place(network, CONFIG, profile=False) == place(network, CONFIG, profile=False)


def test_what_is_no_chain_is_not_laid_out_as_one() -> None:
    assert alternating([1, 1, 1], [(-1, 0), (0, 1), (1, 2)], 9) == ([0, 8, 0], 2)
    assert alternating([1, 1, 1], [(-1, 1), (0, 1), (1, 2)], 9) is None


def test_of_random_residual_networks() -> None:
    found = [residual_network(seed, EVERY["up5k"]) for seed in range(10)]
    assert sum(tensor != NONE for network in found for tensor in network.residuals) > 10
    for network in found:
        check(network, EVERY["up5k"])
