"""Every tensor is whole when it is read, whatever lies over what; and tensors take as little of the data memory as can be."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EVERY, random_network, residual_network

from galton.compiler.geometry import Geometry
from galton.compiler.place import Placement, fitted, gaps, lead, least, place, program_size
from galton.config import Config
from galton.format import PROFILE, WORD_BYTES
from galton.network import NONE, Layer, Network

CONFIG = Config("placing", data_words=1 << 14, accumulator_words=1 << 12)


def placed(network: Network, *, profile: bool = False, config: Config = CONFIG) -> Placement:
    """The placement of a network that needs no padding."""
    return place(network, [Geometry(layer, config) for layer in network.layers], profile=profile)


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


def words_of(size: int) -> int:
    return -(-size // WORD_BYTES)


def run(network: Network, placement: Placement) -> None:
    """Every word that a layer reads is the one that was written for it: layer by layer, output row by output row."""
    owner = {placement.tensors[0] + word: (0, word) for word in range(placement.words[0])}

    def whole(tensor: int, first: int = 0) -> bool:
        base = placement.tensors[tensor]
        return all(owner.get(base + word) == (tensor, word) for word in range(first, placement.words[tensor]))

    for index, layer in enumerate(network.layers):
        taken, added, given = network.inputs[index], network.residuals[index], index + 1
        assert whole(taken)
        assert added == NONE or whole(added)
        rows, pooled = layer.map_shape[0], layer.pool[0]
        for row in range(rows):
            # The last input row that the output row has a tap in, and all before it.
            scanned = min(layer.input_shape[0], max(0, row * layer.stride[0] - layer.padding[0] + layer.weights.shape[1]))
            size = prod(layer.output_shape[1:])
            end = placement.words[given] if row == rows - 1 else (row // pooled + 1) * size // WORD_BYTES
            for word in range(row // pooled * size // WORD_BYTES, end):
                assert added == NONE or owner.get(placement.tensors[added] + word) == (added, word)
                owner[placement.tensors[given] + word] = given, word
            assert whole(taken, words_of(scanned * prod(layer.input_shape[1:])))
    assert whole(len(network.layers))


def check(network: Network, *, profile: bool = False, config: Config = CONFIG) -> int:
    """A placement with which the network runs and that says what it needs; the words of the tensors."""
    placement = placed(network, profile=profile, config=config)
    run(network, placement)
    assert placement.fixed == program_size([Geometry(each, config) for each in network.layers]) + profile * PROFILE.words * len(
        network.layers
    )
    ends = [base + size for base, size in zip(placement.tensors, placement.words, strict=True)]
    assert min(placement.tensors) == placement.fixed
    assert placement.needed == max(ends)
    needed = placement.needed - placement.fixed
    assert least(network, placement.words) <= needed
    assert all(placement.taken(network, index) <= needed for index in range(len(network.layers)))
    return needed


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
def test_every_tensor_is_whole_when_it_is_read(network: Network, profile: bool) -> None:
    check(network, profile=profile)


@pytest.mark.parametrize("name", ["tiny", "two-sparse"])
def test_of_random_networks(name: str) -> None:
    for seed in range(15):
        config = EVERY[name]
        check(random_network(seed, config), config=config)


def test_of_random_residual_networks() -> None:
    found = [residual_network(seed, EVERY["up5k"]) for seed in range(10)]
    assert sum(tensor != NONE for network in found for tensor in network.residuals) > 10
    for network in found:
        check(network)


def layer(shape: tuple[int, int, int], outputs: int, kernel: int = 1, **options: object) -> Layer:
    weights, numbers = np.zeros((outputs, kernel, kernel, shape[2]), np.int64), np.zeros(outputs, np.int64)
    return Layer("conv", shape, weights, numbers, numbers, 12, 0, 255, **options)


SAME = {"kernel": 3, "padding": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("conv", "words"),
    [
        (layer((6, 6, 4), 4), 0),
        (layer((6, 6, 4), 4, **SAME), 6),  # a row behind; the last two rows need all
        (layer((6, 6, 4), 4, kernel=3), 6 * 3 - 4),  # 4 of 6 columns; the first output row needs three input rows
        (layer((6, 6, 4), 8), 5 * (6 - 12)),  # as much as five rows have grown
        (layer((6, 6, 8), 4), 12 - 6),  # the first row leaves half of what it has read
        (layer((6, 6, 4), 4, **SAME, pool=(2, 2)), 6 * 2 - 3),
        (layer((6, 6, 4), 4, stride=(2, 2)), 6 - 3),
        (layer((6, 6, 4), 4, padding=(2, 0, 0, 0)), -2 * 6),  # two rows of padding alone before anything is read
        (layer((3, 3, 1), 1), 2 - 1),  # words across rows
        (layer((3, 5, 1), 1, kernel=2), 10 // 4 + 1 - 1),
    ],
)
def test_how_far_an_output_may_lie_over_its_input(conv: Layer, words: int) -> None:
    """And one word further something is overwritten that is still to be read."""
    assert lead(Geometry(conv, CONFIG)) == words
    network = Network("one", conv.input_shape, (conv,))
    sizes = words_of(prod(conv.input_shape)), words_of(prod(conv.output_shape))
    run(network, Placement((100, 100 + words), sizes, 0, 0, 0))
    with pytest.raises(AssertionError):
        run(network, Placement((100, 100 + words + 1), sizes, 0, 0, 0))


def test_of_a_vector_all_is_read_before_anything_is_written() -> None:
    assert lead(Geometry(layer((1, 1, 24), 8), CONFIG)) == 6
    network = Network("one", (1, 1, 24), (layer((1, 1, 24), 40),))
    for more in range(-12, 12):
        run(network, Placement((100, 100 + more), (6, 10), 0, 0, 0))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8))
def test_a_fully_connected_chain_needs_its_largest_tensor(sizes: list[int]) -> None:
    assert check(graph(sizes, tuple(range(len(sizes) - 1)))) == max(sizes)


def test_a_sum_lies_over_what_it_adds() -> None:
    sizes, inputs = [6, 6, 2, 2, 6], (0, 1, 2, 3)
    assert check(graph(sizes, inputs)) == 6
    assert check(graph(sizes, inputs, (NONE, NONE, NONE, 1))) == 6 + 2
    # Not where it is added again.
    assert check(graph([*sizes, 6], (*inputs, 4), (NONE, NONE, NONE, 1, 1))) == 6 + 6


def test_a_residual_may_not_be_overwritten_ahead_of_its_reader() -> None:
    network = graph([6, 6, 2, 6], (0, 1, 2), (NONE, NONE, 1))
    run(network, Placement((0, 0, 6, 0), (6, 6, 2, 6), 0, 0, 0))
    with pytest.raises(AssertionError):
        run(network, Placement((0, 0, 8, 1), (6, 6, 2, 6), 0, 0, 0))


def test_a_residual_block_keeps_one_tensor_beside_the_one_in_work() -> None:
    """ResNet-8's first stage: three tensors of which one can lie over another."""
    shape = (8, 8, 16)
    layers = (layer((8, 8, 4), 16, **SAME), layer(shape, 16, **SAME), layer(shape, 16, **SAME, residual_multiplier=1))
    network = Network("block", (8, 8, 4), layers, inputs=(0, 1, 2), residuals=(NONE, NONE, 1))
    assert check(network) == 2 * 8 * 8 * 4


def test_a_chain_of_separable_layers_needs_its_largest_tensor() -> None:
    shapes = [(12, 12, 4), (12, 12, 8), (12, 12, 16), (6, 6, 16), (6, 6, 32), (3, 3, 32), (1, 1, 288)]
    layers = [layer(shapes[0], 8), layer(shapes[1], 16), layer(shapes[2], 16, 3, padding=(1, 0, 1, 0), stride=(2, 2))]
    layers += [layer(shapes[3], 32), layer(shapes[4], 32, 3, padding=(1, 0, 1, 0), stride=(2, 2)), layer(shapes[6], 4)]
    network = Network("separable", shapes[0], tuple(layers))
    assert check(network) == 12 * 12 * 16 // WORD_BYTES


def test_orders_matter_and_are_always_the_same() -> None:
    words = [2, 2, 3, 2, 1, 3, 4, 4]
    network = graph(words, (0, 1, 2, 1, 1, 5, 3))
    apart = gaps(network, [Geometry(each, CONFIG) for each in network.layers], words)
    in_order = fitted(words, apart, range(8))[1]
    assert check(network) < in_order
    assert placed(network) == placed(network)


def test_first_fit_by_hand() -> None:
    """The second may begin at 1 or lower over the first; the third lies apart from both."""
    assert fitted([4, 3, 2], {(0, 1): (1, 4), (0, 2): (-2, 4), (1, 2): (-2, 3)}, [0, 1, 2]) == ([0, 0, 4], 6)
    assert fitted([4, 3, 2], {(0, 1): (-1, 4), (0, 2): (-2, 4), (1, 2): (-2, 3)}, [1, 0, 2]) == ([1, 0, 5], 7)
