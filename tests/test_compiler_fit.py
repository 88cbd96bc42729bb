"""What does not fit is refused by memory, amount and layer, with what was tried and fits."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from networks import EVERY

from galton.compiler import compile, dry_run
from galton.compiler.advice import Case, fewer_weights
from galton.config import CONFIGS, Config
from galton.errors import FitError
from galton.format import LAYER, NETWORK
from galton.network import Layer, Network

UP5K = CONFIGS["up5k"]


def convolutions(*channels: int, shape: tuple[int, int, int] = (6, 6, 4), weight: int = 1, kernel: int = 3) -> Network:
    """Layers without padding."""
    layers: list[Layer] = []
    for index, outputs in enumerate(channels):
        inputs = layers[-1].output_shape if layers else shape
        weights = np.full((outputs, kernel, kernel, inputs[2]), weight, np.int64)
        vector = np.zeros(outputs, np.int64)
        layers.append(Layer(f"conv{index}", inputs, weights, vector, vector, 12, 0, 255))
    return Network("convolutions", shape, tuple(layers))


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        (
            convolutions(8, 64),
            {"weight_words": 2048},
            r"does not fit small: the weights memory holds 2048 entries, the network needs 612, ",
        ),
        (
            convolutions(8, 40),
            {"channels": 32},
            r"channels memory holds 32 channels, the network needs 40, 8 too many; conv1 takes 40",
        ),
        (convolutions(8, 8), {"rows": 6}, r"rows memory holds 6 rows, the network needs 7, 1 too many; conv0 takes 7"),
        (
            convolutions(40),
            {"accumulator_words": 64},
            r"accumulators memory holds 64 words, .* conv0 takes 120.*fewer output channels",
        ),
        (
            convolutions(8, 8),
            {"data_words": 112},
            r"data memory holds 112 words, .* with the tensors that are alive then, \d+ go to the program",
        ),
    ],
)
def test_each_memory(network: Network, change: dict[str, int], message: str) -> None:
    small = replace(UP5K, name="small", **change)
    if "weight_words" in change:
        assert compile(network, small).memory[0].used == 36 + 72 * 8
        network, message = (
            convolutions(8, 64, 64, shape=(9, 9, 4)),
            r"weights memory holds 2048 entries, the network needs 5220, 3172",
        )
    with pytest.raises(FitError, match=message) as caught:
        compile(network, small)
    assert "Tried, and it fits with configuration" in str(caught.value)
    assert "configuration up5k" in str(caught.value)


def test_the_segment_table() -> None:
    small = replace(EVERY["tiny"], table_words=16)
    message = r"table memory holds 16 segments, the network needs 20, 4 too many; conv0 takes 12.*smaller kernels"
    with pytest.raises(FitError, match=message):
        compile(convolutions(4, 4, 4, kernel=1, shape=(6, 6, 12), weight=0), small)


def test_narrower_weights_are_tried() -> None:
    small = replace(UP5K, weight_words=2048)
    network = convolutions(16, 64, weight=9, shape=(7, 7, 8))
    with pytest.raises(FitError, match=r"Tried, and it fits with weights within -7\.\.7 in conv1, or with configuration up5k"):
        compile(network, small)
    one = convolutions(64, weight=9, shape=(7, 7, 24))
    assert dry_run(one, small).ways[0] == "weights within -7..7 in every layer"


def test_weights_are_narrowed_in_as_few_layers_as_will_do() -> None:
    network = convolutions(24, 24, 24, 24, 24, weight=9, shape=(12, 12, 4))
    needed = [2 * 9 * 4 * 3, *[2 * 9 * 24 * 3] * 4]
    for narrow, names in ((1, "conv1"), (2, "conv1, conv2"), (4, "the 4 layers with most weights")):
        config = replace(UP5K, weight_words=sum(needed) - narrow * needed[1] // 2)
        assert dry_run(network, config).ways[0] == f"weights within -7..7 in {names}"
    too_large = replace(UP5K, weight_words=sum(needed) // 2 - 1)
    assert not any("weights within" in way for way in dry_run(network, too_large).ways)


def test_weights_that_no_plane_holds_are_clipped() -> None:
    network = convolutions(4, 4, weight=120, kernel=1)
    assert dry_run(network, UP5K).ways == ("weights within -119..119 in every layer",)
    one_plane = replace(EVERY["one-plane"], weight_bits=4)
    assert dry_run(network, one_plane).ways == ("weights within -7..7 in every layer",)


def random_weights(network: Network) -> Network:
    rng = np.random.default_rng(0)
    layers = tuple(replace(layer, weights=rng.integers(-7, 8, size=layer.weights.shape)) for layer in network.layers)
    return replace(network, layers=layers)


def test_fewer_weights_are_tried_where_empty_entries_are_left_out() -> None:
    network, small = random_weights(convolutions(16, 32, shape=(6, 6, 4))), replace(EVERY["tiny"], weight_words=2048)
    assert next(use.used for use in dry_run(network, EVERY["tiny"]).memory if use.name == "weights") > 2048
    way = r"\d+ % of the non-zero weights left out, the smallest first \(a smaller K, a higher price\)"
    assert re.fullmatch(way, dry_run(network, small).ways[0])
    with pytest.raises(FitError, match=f"Tried, and it fits with {way}, or with configuration"):
        compile(network, small)
    assert not any("left out" in found for found in dry_run(convolutions(64, 64, shape=(9, 9, 32)), UP5K).ways)


@pytest.mark.parametrize(("allowed", "percent"), [(0.99, 2), (0.75, 25), (0.3, 70), (0.01, None)])
def test_the_smallest_weights_are_left_out_and_as_few_as_will_do(allowed: float, percent: int | None) -> None:
    network, tried = random_weights(convolutions(16, 24)), []

    def fits(case: Case) -> bool:
        left = np.concatenate([layer.weights.ravel() for layer in case.network.layers])
        tried.append(left[left != 0])
        return len(tried[-1]) <= allowed * count

    weights = np.concatenate([layer.weights.ravel() for layer in network.layers])
    count = np.count_nonzero(weights)
    found = fewer_weights(Case(network, EVERY["tiny"], True), fits)
    assert [text[: text.index(" of")] for text in found] == ([] if percent is None else [f"{percent} %"])
    for left in tried:
        dropped = np.sort(np.abs(weights[weights != 0]))[: count - len(left)]
        assert dropped.max() <= np.abs(left).min()


def test_counters_are_left_out_first() -> None:
    network = convolutions(8, 8)
    needed = next(use.used for use in dry_run(network, UP5K).memory if use.name == "data")
    found = dry_run(network, replace(UP5K, data_words=needed - 1))
    assert found.ways[0] == "no counters of each layer (--no-profile, profile=False)"
    compile(network, found.config, profile=False)
    assert dry_run(network, found.config, profile=False).fits
    assert not any("counters" in way for way in dry_run(network, replace(UP5K, data_words=needed - 17)).ways)


def test_larger_memories_are_the_last_way_out() -> None:
    found = dry_run(convolutions(1100), UP5K)
    sizes = "accumulator_words=3312, channels=1100"
    assert found.ways == (f"a configuration like up5k with {sizes}",)
    assert dry_run(convolutions(1100), replace(UP5K, accumulator_words=3312, channels=1100)).fits
    with pytest.raises(FitError, match=f"Tried, and it fits with a configuration like up5k with {sizes}"):
        compile(convolutions(1100), UP5K)


def test_nothing_fits() -> None:
    network = convolutions(2, shape=(600, 4, 2))
    assert dry_run(network, UP5K).ways == ()
    with pytest.raises(FitError, match="neither narrower weights nor any other named configuration"):
        compile(network, UP5K)


def test_dry_runs_say_what_compiling_says() -> None:
    network = convolutions(8, 8)
    found = dry_run(network, "icebreaker")
    assert (found.fits, found.ways, found.config) == (True, (), UP5K)
    assert found.memory == compile(network, UP5K).memory
    overflowing = convolutions(4, weight=119, kernel=12, shape=(12, 12, 64))
    assert "conv0" in dry_run(overflowing, UP5K).problem
    with pytest.raises(TypeError, match="compile takes a quantized module"):
        dry_run(3, UP5K)


def test_every_memory_that_is_too_small_is_named() -> None:
    with pytest.raises(FitError) as caught:
        compile(convolutions(300, shape=(300, 20, 4)), UP5K)
    for name in ("data", "accumulators", "rows", "channels"):
        assert f"the {name} memory" in str(caught.value)


def test_weights_that_no_plane_holds() -> None:
    with pytest.raises(FitError, match=r"conv0 has weights up to 120; up5k holds up to 119 with 4 bits and 2 planes"):
        compile(convolutions(4, weight=120), UP5K)
    compile(convolutions(4, weight=-119, kernel=2), UP5K)


def test_numbers_that_no_field_holds() -> None:
    vector = np.zeros(1, np.int64)
    layer = Layer("padded", (2, 2, 1), np.ones((1, 1, 1, 1), np.int64), vector, vector, 12, 0, 255, padding=(40, 0, 0, 0))
    with pytest.raises(FitError, match=r"padded: 40 output rows see only the padding of 40 rows above the input, at most 1 may"):
        compile(Network("n", (2, 2, 1), (layer,)), UP5K)


def test_large_windows_on_the_network_s_input() -> None:
    ones = np.ones(2, np.int64)
    pool = Layer("pool", (20, 2, 2), np.ones((2, 17, 1, 1), np.int64), ones, ones, 12, 0, 255, elementwise=True)
    with pytest.raises(FitError, match=r"pool: a window of \(17, 1\) on the network's input or a vector is larger than 16"):
        compile(Network("n", (20, 2, 2), (pool,)), UP5K)
    first = Layer("first", (20, 2, 2), np.ones((2, 1, 1, 2), np.int64), ones, ones, 12, 0, 255)
    compile(Network("n", (20, 2, 2), (first, pool)), UP5K)


def test_the_smallest_data_memory_that_fits() -> None:
    network = convolutions(8, 8)
    needed = next(memory for memory in compile(network, UP5K).memory if memory.name == "data").used
    assert needed > NETWORK.words + 2 * LAYER.words
    exact = Config("exact", data_words=needed)
    assert next(memory for memory in compile(network, exact).memory if memory.name == "data").used == needed
    with pytest.raises(FitError, match="1 too many"):
        compile(network, replace(exact, data_words=needed - 1))
