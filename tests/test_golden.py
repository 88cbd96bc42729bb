"""The golden model executes packed images exactly as the definitions compute their networks."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network
from oracle import run as defined

from galton import cycles, golden, reference
from galton.compiler import compile
from galton.config import Config
from galton.errors import CalibrationError, ImageError
from galton.format import CHANNEL, LAYER, NETWORK, ROW, Record
from galton.image import Image
from galton.network import NONE, Layer, Network


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 40), marks=pytest.mark.cosim)], ids=["few", "many"])
@pytest.mark.parametrize("name", EVERY)
def test_random_networks(name: str, seeds: range) -> None:
    config = EVERY[name]
    for seed in seeds:
        network = random_network(seed, config, operations=60_000)
        raw = random_inputs(seed, network)
        assert (golden.run(compile(network, config).image, raw) == defined(network, raw, config.count_bits)).all(), seed


@pytest.mark.parametrize("name", ["tiny", "ecp5-25", "three-by-five"])
def test_traces(name: str) -> None:
    config = EVERY[name]
    for seed in range(40):
        network = random_network(seed, config, operations=60_000)
        compiled, raw = compile(network, config), random_inputs(seed, network, 3)
        expected = reference.trace(compiled.network, raw, count_bits=config.count_bits)
        for layer, found, wanted in zip(compiled.network.layers, golden.trace(compiled.image, raw), expected, strict=True):
            assert found.name == layer.name
            assert (found.counts == wanted.counts).all()
            assert (found.norms == wanted.norms).all()
            reached = wanted.cut[:, found.rows][:, :, found.columns]
            assert (found.saturations == reached.sum(axis=(1, 2, 3))).all()
            assert (found.outputs == wanted.output).all()
            # Groups may leave out kernel columns without weights.
            for events, counts in zip(found.events, wanted.counts, strict=True):
                assert reaching(layer, counts, layer.weights.any(axis=(0, 1, 3))) <= events <= reaching(layer, counts)


def reaching(layer: Layer, counts: np.ndarray, used: np.ndarray | None = None) -> int:
    """Events: non-zero counts whose row meets a kernel row within the map, and whose column a kernel column that is `used`."""
    columns = range(layer.weights.shape[2]) if used is None else np.flatnonzero(used)
    (top, _, left, _), (stride_y, stride_x) = layer.padding, layer.stride
    events = 0
    for y, x in np.argwhere(counts.any(axis=2)):
        outputs = [divmod(y + top - ky, stride_y) for ky in range(layer.weights.shape[1])]
        meets_row = any(not rest and 0 <= row < layer.map_shape[0] for row, rest in outputs)
        meets_column = any((x + left - kx) % stride_x == 0 for kx in columns)
        events += np.count_nonzero(counts[y, x]) * (meets_row and meets_column)
    return events


@pytest.mark.parametrize("name", ["up5k", "three-by-five", "broad"])
def test_counts_of_a_vector(name: str) -> None:
    """A vector's first count also sends its last lane, which closes it; only counts that are not 0 are events."""
    config, channels = EVERY[name], 2 * EVERY[name].lanes * EVERY[name].groups
    ones, wide = np.ones(channels, np.int64), np.ones((channels, 1, 1, channels), np.int64)
    numbers = {"multiplier": ones << 12, "bias": ones * 0, "shift": 12, "low": 0, "high": 255}
    first = Layer("first", (1, 2, channels), wide * np.eye(channels, dtype=np.int64)[:, None, None], **numbers)
    depthwise = Layer("depthwise", (1, 2, channels), wide[..., :1], **numbers, elementwise=True)
    raw = np.zeros((3, 1, 2, channels), np.int64)
    raw[0, 0, 0, 0] = 9
    raw[1, 0, 1, config.lanes - 1] = 9
    raw[2] = 1
    image = compile(Network("both", (1, 2, channels), (first, depthwise)), config).image
    found = golden.trace(image, raw)[1]
    assert found.sent.sum(axis=(1, 2, 3)).tolist() == [2 if config.lanes > 1 else 1, 1, 2 * channels]
    assert found.events.tolist() == [1, 1, 2 * channels]
    assert (found.outputs[..., :channels] == raw).all()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(1, EVERY["up5k"])
    image, raw = compile(network, "up5k").image, random_inputs(1, network, 7)
    whole = golden.run(image, raw), [layer.counts for layer in golden.trace(image, raw)]
    monkeypatch.setattr(golden, "CHUNK_BYTES", 1)
    assert (golden.run(image, raw) == whole[0]).all()
    for layer, counts in zip(golden.trace(image, raw), whole[1], strict=True):
        assert (layer.counts == counts).all()


def test_what_no_output_sees_does_not_saturate() -> None:
    """Stride 3 with one tap: of three columns and of three rows only the first counts."""
    config = EVERY["three-by-five"]
    ones = np.ones(3, np.int64)
    sparse = Layer("sparse", (5, 6, 3), np.ones((3, 1, 1, 3), np.int64), ones, ones, 12, 0, 255, stride=(3, 3))
    raw = np.full((2, 5, 6, 3), 200)
    raw[1, ::3, ::3] = 7
    found = golden.trace(compile(Network("n", (5, 6, 3), (sparse,)), config).image, raw)[0]
    assert found.saturations.tolist() == [2 * 2 * 3, 0]
    assert cycles.predict(compile(Network("n", (5, 6, 3), (sparse,)), config).image, raw)[0][0]["saturations"] == 12


def one_layer(
    weights: np.ndarray, *, shape: tuple[int, int, int], multiplier: int = 1, shift: int = 12, **options: object
) -> Network:
    """A network of one layer with raw outputs -128..127."""
    vector = np.full(len(weights), multiplier)
    layer = Layer("only", shape, weights, vector, vector * 0, shift, -128, 127, **options)
    return Network("one", shape, (layer,))


@pytest.mark.parametrize("accumulator_bits", [24, 32])
def test_sums_beyond_float32_are_exact(accumulator_bits: int) -> None:
    config = Config("wide", weight_bits=8, planes=1, accumulator_bits=accumulator_bits, data_words=1 << 14)
    size = 255 if accumulator_bits == 24 else 1023
    weights = np.full((2, 1, 1, size), 127)
    weights[1, 0, 0, :] = [-127 if place % 2 else 126 for place in range(size)]
    network = one_layer(weights, shape=(1, 1, size))
    raw = np.full((1, 1, 1, size), 255)
    raw[..., 0] = 254
    expected = defined(network, raw)
    assert (golden.run(compile(network, config).image, raw) == expected).all()
    assert set(expected.reshape(-1).tolist()) != {127}


def test_wrong_inputs_are_named() -> None:
    network = random_network(1, EVERY["tiny"])
    image, raw = compile(network, "tiny").image, random_inputs(1, network)
    for wrong, message in [
        (raw[0], "shape"),
        (raw[:0], "at least 1"),
        (raw[:, :, :, :0], "shape"),
        (raw.astype(float), "are integers, not float64"),
        (raw * 0 + network.input_high + 1, f"not {network.input_high + 1}"),
        (raw * 0 + network.input_low - 1, f"not {network.input_low - 1}"),
    ]:
        with pytest.raises(CalibrationError, match=message):
            golden.run(image, wrong)


def patched(image: Image, record: Record, position: int, **changes: int) -> Image:
    """The image with fields of the record at a word of the program changed."""
    program = image.program.copy()
    values = record.unpack(program[position : position + record.words].tolist())
    program[position : position + record.words] = record.pack({**values, **changes})
    return replace(image, program=program)


FIRST_LAYER = NETWORK.words
FIRST_ROW = FIRST_LAYER + LAYER.words


def plain(name: str) -> Image:
    """A dense or sparse image of two 3x3 layers over 5x6 pixels."""
    weights = np.random.default_rng(0).integers(-7, 8, size=(2, 4, 3, 3, 4))
    options = {"padding": (1, 1, 1, 1), "multiplier": np.full(4, 99), "bias": np.zeros(4, np.int64), "shift": 12}
    layers = [Layer(f"conv{index}", (5, 6, 4), weights[index], low=-128, high=127, **options) for index in range(2)]
    return compile(Network("plain", (5, 6, 4), tuple(layers)), name).image


@pytest.mark.parametrize(
    ("record", "position", "changes", "message"),
    [
        (LAYER, FIRST_LAYER, {"input_base": 0}, "input_base 0"),
        (LAYER, FIRST_LAYER, {"output_base": (1 << 20) - 1}, "output_base"),
        (LAYER, FIRST_LAYER, {"input_rows": 511}, "ends at word"),
        (LAYER, FIRST_LAYER, {"last": 1}, "has 1 layers, META names 2"),
        (LAYER, FIRST_LAYER, {"group_channels": 3}, "groups of 3 channels"),
        (LAYER, FIRST_LAYER, {"vectors": 7}, "8 vectors"),
        (LAYER, FIRST_LAYER, {"fewer": 2}, "bits of groups beyond the 0 that may"),
        (LAYER, FIRST_LAYER, {"late": 1}, "bits of groups beyond the 0 that may"),
        (LAYER, FIRST_LAYER, {"ring_words": 1}, "no ring"),
        (LAYER, FIRST_LAYER, {"left_words": 0}, "map and borders"),
        (LAYER, FIRST_LAYER, {"output_rows": 4}, "do not complete"),
        (LAYER, FIRST_LAYER, {"accumulator_start": 100}, "outside the accumulators"),
        (LAYER, FIRST_LAYER, {"accumulator_skip": 0}, "do not walk whole pixels"),
        (LAYER, FIRST_LAYER, {"channel_stride_long": 1 << 18}, "walks to address"),
        (ROW, FIRST_ROW, {"segments": 31}, "wait for ever"),
        (ROW, FIRST_ROW, {"done": 1}, "do not complete"),
        (ROW, FIRST_ROW, {"done": 3}, "do not complete"),
        (ROW, FIRST_ROW, {"weight_base": (1 << 20) - 1}, "walks to address"),
        (LAYER, FIRST_LAYER, {"dynamic": 1}, "dynamic without samples"),
        (LAYER, FIRST_LAYER, {"elementwise": 1, "input_channels": 2}, "gives [48] channels of 3, each from its own"),
        (NETWORK, 0, {"input_words": 1}, "input of 1 words at"),
        (NETWORK, 0, {"output_base": 1}, "output of 30 words at 1 does not fit"),
    ],
)
@pytest.mark.parametrize("name", ["tiny", "up5k"])
def test_programs_that_cannot_run_are_refused(
    name: str, record: Record, position: int, changes: dict[str, int], message: str
) -> None:
    image = plain(name)
    raw = np.ones((1, 5, 6, 4), np.int64)
    assert golden.run(image, raw).any()
    with pytest.raises(ImageError, match=message):
        golden.run(patched(image, record, position, **changes), raw)


def summed(name: str) -> Image:
    """The layers of `plain`, and a third one that adds what the first one takes."""
    ones = np.ones(4, np.int64)
    numbers = {"multiplier": ones << 5, "bias": ones * 0, "shift": 12, "low": -128, "high": 127}
    layers = [Layer(f"conv{index}", (5, 6, 4), np.ones((4, 1, 1, 4), np.int64), **numbers) for index in range(3)]
    layers[2] = replace(layers[2], residual_multiplier=99)
    return compile(Network("summed", (5, 6, 4), tuple(layers), residuals=(NONE, NONE, 0)), name).image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual_base": 0}, r"conv2 cannot run: its residual_base 0 with 30 words leaves"),
        ({"residual_base": (1 << 20) - 1}, "conv2 cannot run: its residual_base 1048575 with 30 words leaves"),
        ({"output_base": ("residual_base", 1)}, "conv2 cannot run: its output overwrites what it takes or adds"),
        ({"output_base": ("residual_base", 29)}, "conv2 cannot run: its output overwrites what it takes or adds"),
        ({"pooled": 1, "pool_y": 0, "pool_x": 1}, "conv2 cannot run: it both adds a tensor and pools"),
        (
            {"dynamic": 1, "bypass": 0, "samples": 9, "input_base": "residual_base", "output_base": "input_base"},
            "conv2 cannot run: its step is dynamic, but the norm of its input is no longer known",
        ),
    ],
)
@pytest.mark.parametrize("name", ["tiny", "up5k"])
def test_sums_that_cannot_run_are_refused(name: str, changes: dict[str, Any], message: str) -> None:
    image, raw = summed(name), np.random.default_rng(1).integers(0, 256, size=(2, 5, 6, 4))
    position = FIRST_LAYER + 2 * (LAYER.words + 6 * ROW.words + 4 * CHANNEL.words)
    layer = golden.parse(image)[2].layer
    assert golden.run(patched(image, LAYER, position, dynamic=1, bypass=0, samples=9), raw).any()
    assert (golden.run(patched(image, LAYER, position, residual_multiplier=98), raw) != golden.run(image, raw)).any()
    assert (golden.run(patched(image, LAYER, position, signed_residual=1), raw) != golden.run(image, raw)).any()
    places = {key: value if isinstance(value, tuple) else (value, 0) for key, value in changes.items()}
    numbers = {key: layer[value] + more if isinstance(value, str) else value for key, (value, more) in places.items()}
    with pytest.raises(ImageError, match=message):
        golden.run(patched(image, LAYER, position, **numbers), raw)


@pytest.mark.parametrize("name", ["tiny", "up5k"])
def test_flipped_bits_of_a_program_run_or_are_refused(name: str) -> None:
    rng = np.random.default_rng(0)
    image, raw = plain(name), np.ones((1, 5, 6, 4), np.int64)
    refused = 0
    for _ in range(300):
        program = image.program.copy()
        program[rng.integers(len(program))] ^= np.uint32(1 << rng.integers(32))
        try:
            assert golden.run(replace(image, program=program), raw).shape == raw.shape
        except ImageError:
            refused += 1
    assert 50 < refused < 300


@pytest.mark.parametrize("more", [7, 29])
def test_outputs_over_inputs_still_to_be_read_are_refused(more: int) -> None:
    image = plain("tiny")
    base = golden.parse(image)[0].layer["input_base"]
    assert golden.run(patched(image, LAYER, FIRST_LAYER, output_base=base + 6), np.ones((1, 5, 6, 4), np.int64)).any()
    with pytest.raises(ImageError, match="conv0 cannot run: its output overwrites what it takes or adds before that is read"):
        golden.run(patched(image, LAYER, FIRST_LAYER, output_base=base + more), np.ones((1, 5, 6, 4), np.int64))


@pytest.mark.parametrize("name", ["tiny", "up5k"])
def test_what_is_packed_is_what_runs(name: str) -> None:
    image = plain(name)
    raw = np.random.default_rng(0).integers(0, 256, size=(1, 5, 6, 4))
    before = golden.run(image, raw)
    channel = FIRST_ROW + 6 * ROW.words
    for record, position, changes in [
        (CHANNEL, channel, {"bias": 1 << 19}),
        (CHANNEL, channel + CHANNEL.words, {"multiplier": 0}),
        (LAYER, FIRST_LAYER, {"dead_zone": 200}),
        (LAYER, FIRST_LAYER, {"high": 3}),
        (ROW, FIRST_ROW, {"segments": 1}),
        (ROW, FIRST_ROW + 2 * ROW.words, {"short": 1}),
    ]:
        assert (golden.run(patched(image, record, position, **changes), raw) != before).any(), changes
    chunks = image.chunks[0].copy()
    chunks[len(chunks) // 2] ^= 1
    assert (golden.run(replace(image, chunks=(chunks,)), raw) != before).any()


def test_segments_of_sparse_images() -> None:
    image = plain("tiny")
    (entries,) = golden.segment_entries(image)
    assert len(entries) == len(image.table[0])
    assert int(entries.sum()) == len(image.chunks[0])
    first = golden.parse(image)[0]
    addresses = first.segment_addresses(first.rows[1], 0)
    assert addresses.shape == (first.input_shape[2], first.rows[1]["segments"])
    assert set(addresses.reshape(-1).tolist()) == set(range(first.rows[1]["weight_base"], addresses.size))
    assert all(len(part) == 0 for part in golden.segment_entries(plain("up5k")))


def test_images_survive_their_file() -> None:
    network = random_network(5, EVERY["broad"])
    image, raw = compile(network, EVERY["broad"]).image, random_inputs(5, network)
    again = Image.from_bytes(image.to_bytes())
    assert (golden.run(again, raw) == golden.run(image, raw)).all()
    assert prod(golden.run(image, raw).shape[1:]) == prod(network.layers[-1].output_shape)
