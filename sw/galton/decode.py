"""An image taken apart again: records to numbers, entries to weights. The inverse of the packer, written without it.

Everything comes from the packed words. What no core could walk is refused here, so that models need not look again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from galton.config import Config
from galton.errors import ImageError
from galton.format import CHANNEL, LAYER, MAXIMUM_STRIDE, NETWORK, PROFILE, ROW, SHIFTS, TABLE, WORD_BYTES, Record
from galton.image import Image, Words
from galton.network import Activation, Ints

Row = dict[str, int]


@dataclass(frozen=True)
class ParsedLayer:
    """The records of a layer.

    layer: LAYER. rows: ROW of each input row and the one that ends the layer. bias, multiplier: the CHANNELs' fields.
    pixels: of the output that are one pixel of the map, side by side, as META says.
    """

    name: str
    layer: dict[str, int]
    rows: list[Row]
    bias: Ints
    multiplier: Ints
    pixels: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns, stored channels of the input."""
        return self.layer["input_rows"], self.layer["input_columns"] + 1, self.layer["input_channels"] + 1

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels of the map that is walked, before the max-pool."""
        return self.layer["output_rows"], self.layer["output_columns"] + 1, self.layer["output_channels"]

    @property
    def pool(self) -> tuple[int, int]:
        """Rows and columns of the max-pool, (1, 1) for none."""
        return (self.layer["pool_y"] + 1, self.layer["pool_x"] + 1) if self.layer["pooled"] else (1, 1)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Rows, columns, stored channels of the output."""
        rows, columns, channels = self.map_shape
        return rows // self.pool[0], columns * self.pixels // self.pool[1], channels // self.pixels

    @property
    def stride_x(self) -> int:
        """The horizontal stride, which is the number of labels."""
        return self.layer["stride_x"] + 1

    @property
    def vectors(self) -> int:
        """Accumulator words of a pixel."""
        return self.layer["vectors"] + 1

    @property
    def planes(self) -> int:
        """Entries of a vector."""
        return 1 + self.layer["two_planes"]

    @property
    def elementwise(self) -> bool:
        """Whether an event carries the counts of a vector's channels, each for its own lane."""
        return bool(self.layer["elementwise"])

    @property
    def tap_vectors(self) -> int:
        """Vectors that an event meets at each tap."""
        return 1 if self.elementwise else self.vectors

    @property
    def shift(self) -> int:
        """Bits from total to raw output."""
        return SHIFTS[self.layer["shift"]]

    @property
    def activation(self) -> Activation:
        """How raw inputs become counts."""
        mode = "bypass" if self.layer["bypass"] else "monte_carlo" if self.layer["carry"] else "rounding"
        samples = self.layer["samples"] if self.layer["dynamic"] else 0
        return Activation(mode, self.layer["step"], samples, self.layer["residue"], self.layer["dead_zone"])

    def is_short(self, label: int) -> bool:
        """Whether the label has one kernel column less."""
        return bool(self.layer["short"] >> label & 1)

    def dense_entries(self, label: int) -> int:
        """Entries of a dense segment of the label; 0 for a label without taps, in sparse configurations too."""
        return self.layer["entries_short" if self.is_short(label) else "entries_long"]

    def own_entries(self, label: int) -> Ints:
        """Entries of a dense segment of the label in each group, (groups,); groups with 0 get no event of it."""
        fewer = self._marked("fewer", label)
        return np.where(fewer, self.layer["entries_short"], self.dense_entries(label))

    def spans(self, label: int) -> Ints:
        """First vector and the one after the last that a dense segment of the label takes in each group, (groups, 2).

        Vectors are counted from the label's first tap on, in elementwise layers by tap.
        """
        first = self._marked("late", label) * self.tap_vectors
        return np.stack([first, first + self.own_entries(label) // self.planes], axis=1)

    def _marked(self, name: str, label: int) -> Ints:
        """The bit of each group for a label, (groups,)."""
        groups = self.layer["output_channels"] // self.layer["group_channels"]
        return self.layer[name] >> (MAXIMUM_STRIDE * np.arange(groups) + label) & 1

    @cached_property
    def labels(self) -> list[int]:
        """The labels with taps that occur."""
        return [label for label in range(min(self.stride_x, self.input_shape[1])) if self.dense_entries(label)]

    @cached_property
    def starts(self) -> Ints:
        """The accumulator word, within a row, of each input column's first tap."""
        word, starts = self.layer["accumulator_start"], []
        for x in range(self.input_shape[1]):
            label = x % self.stride_x
            starts.append(word + self.layer["accumulator_skip"] * self.is_short(label))
            word += self.layer["accumulator_skip"] * (self.layer["advance"] >> label & 1)
        return np.array(starts, dtype=np.int64)

    def segment_addresses(self, row: Row, label: int) -> Ints:
        """Weight (sparse: table) addresses (input channels, segments) of what an event in `row` and `label` walks.

        In elementwise layers (vectors, segments), the same ones in every group.
        """
        channels = self.vectors if self.elementwise else self.input_shape[2]
        stride = self.layer["channel_stride_short" if row["short"] else "channel_stride_long"]
        first = row["weight_base"] + (self.labels.index(label) * channels + np.arange(channels)) * stride
        addresses: Ints = first[:, None] + np.arange(row["segments"]) * self.layer["pitch"]
        return addresses


def vector_ends(parsed: ParsedLayer, config: Config) -> NDArray[np.bool_]:
    """Whether an input channel of an elementwise layer is the last of a vector, (input channels,)."""
    place = np.arange(parsed.input_shape[2]) % parsed.layer["group_channels"]
    ends: NDArray[np.bool_] = (place % config.lanes == config.lanes - 1) | (place == parsed.layer["group_channels"] - 1)
    return ends


def bundle_starts(parsed: ParsedLayer, config: Config) -> NDArray[np.bool_]:
    """Whether an input channel is the first of those that the scan takes together, (input channels,)."""
    place = np.arange(parsed.input_shape[2])
    if parsed.elementwise:
        place = place % parsed.layer["group_channels"] % config.lanes
    starts: NDArray[np.bool_] = place % config.scan_width == 0
    return starts


def header(image: Image) -> dict[str, int]:
    """NETWORK."""
    return NETWORK.unpack(_words(image.program, 0, NETWORK, 1)[0])


def parse(image: Image) -> list[ParsedLayer]:
    """The layers of an image's program.

    Raises ImageError for a program that ends early, names memory that is not there, or contradicts itself.
    """
    network, position, last = header(image), NETWORK.words, False
    layers: list[ParsedLayer] = []
    named = image.meta["layers"]
    while not last:
        if len(layers) == len(named):
            raise ImageError(f"The program has more layers than the {len(named)} that META names. Compile the network again")
        layer = LAYER.unpack(_words(image.program, position, LAYER, 1)[0])
        position += LAYER.words
        rows = [ROW.unpack(words) for words in _words(image.program, position, ROW, layer["input_rows"] + 1)]
        position += ROW.words * len(rows)
        channels = [CHANNEL.unpack(words) for words in _words(image.program, position, CHANNEL, layer["output_channels"])]
        position += CHANNEL.words * len(channels)
        bias, multiplier = (np.array([channel[name] for channel in channels], np.int64) for name in ("bias", "multiplier"))
        name, pixels = named[len(layers)]["name"], named[len(layers)]["pixels"]
        layers.append(ParsedLayer(name, layer, rows, bias, multiplier, pixels))
        last = bool(layer["last"])
    if len(layers) < len(named):
        raise ImageError(f"The program has {len(layers)} layers, META names {len(named)}. Compile the network again")
    fixed = max(position, network["profile_base"] + PROFILE.words * len(layers) if network["profile_base"] else 0)
    before = network["norm_dead_zone"], network["input_base"]
    for parsed in layers:
        for problem in _problems(parsed, fixed, before, image.config):
            raise ImageError(f"The program of layer {parsed.name} cannot run: {problem}. Compile the network again")
        before = parsed.layer["norm_dead_zone"], parsed.layer["output_base"]
    for side, shape in (("input", layers[0].input_shape), ("output", layers[-1].output_shape)):
        base, words = network[f"{side}_base"], network[f"{side}_words"]
        if base < fixed or base + words > image.config.data_words or words != _words_of(prod(shape)):
            raise ImageError(
                f"The program's {side} of {words} words at {base} does not fit its layers. Compile the network again"
            )
    return layers


def _words(program: Words, position: int, record: Record, count: int) -> list[list[int]]:
    """The words of `count` records from `position`."""
    end = position + record.words * count
    if end > len(program):
        raise ImageError(f"The program ends at word {len(program)} within a {record.name} record. Compile the network again")
    words: list[list[int]] = program[position:end].reshape(count, record.words).tolist()
    return words


def _problems(parsed: ParsedLayer, fixed: int, normed: tuple[int, int], config: Config) -> Iterator[str]:
    """What no core could walk; `normed` are dead zone and address of the tensor whose norm is known."""
    layer, (norm_dead_zone, normed_base) = parsed.layer, normed
    tensors = [("output_base", parsed.output_shape), ("input_base", parsed.input_shape)]
    for base, shape in [*tensors, *[("residual_base", parsed.output_shape)] * layer["residual"]]:
        end = layer[base] + _words_of(prod(shape))
        if layer[base] < fixed or end > config.data_words:
            yield f"its {base} {layer[base]} with {end - layer[base]} words leaves {fixed}..{config.data_words}"
    if layer["residual"] and layer["pooled"]:
        yield "it both adds a tensor and pools"
    if min(parsed.input_shape) < 1 or min(parsed.output_shape) < 1:
        yield f"its shapes are {parsed.input_shape} and {parsed.output_shape}"
    elif layer["dynamic"] and (layer["bypass"] or not layer["samples"]):
        yield "its step is dynamic without samples"
    elif layer["dynamic"] and norm_dead_zone != layer["dead_zone"]:
        yield f"the norm of its input is taken with dead zone {norm_dead_zone}, its counts with {layer['dead_zone']}"
    elif layer["dynamic"] and normed_base != layer["input_base"]:
        yield "its step is dynamic, but the norm of its input is no longer known"
    if len(parsed.rows) > config.rows or layer["output_channels"] > config.channels:
        yield f"it has {len(parsed.rows)} rows of {config.rows} and {layer['output_channels']} channels of {config.channels}"
    if layer["group_channels"] * config.groups != layer["output_channels"]:
        yield f"{config.groups} groups of {layer['group_channels']} channels are not {layer['output_channels']}"
    if parsed.vectors != -(-layer["group_channels"] // config.lanes):
        yield f"{parsed.vectors} vectors do not hold {layer['group_channels']} channels"
    if parsed.elementwise and parsed.input_shape[2] != layer["output_channels"]:
        yield f"it gives {layer['output_channels']} channels of {parsed.input_shape[2]}, each from its own"
    own = config.groups if config.groups > 1 and not parsed.elementwise else 0
    if (layer["fewer"] | layer["late"]) >> MAXIMUM_STRIDE * own:
        yield f"its fewer and late have bits of groups beyond the {own} that may have taps of their own"
    if any(size % window for size, window in zip(parsed.map_shape, parsed.pool, strict=False)):
        yield f"its map of {parsed.map_shape[:2]} is not made of pools of {parsed.pool}"
    if layer["output_channels"] % parsed.pixels or (parsed.pixels > 1 and (parsed.elementwise or parsed.pool != (1, 1))):
        yield f"its {layer['output_channels']} channels are not those of {parsed.pixels} pixels side by side"
    if parsed.pool != (1, 1) and layer["output_channels"] % WORD_BYTES:
        yield "its pooled pixels are not whole words"
    if layer["ring_words"] != layer["ring_rows"] * layer["row_words"] or not 0 < layer["ring_words"] <= config.accumulator_words:
        yield f"{layer['ring_rows']} rows of {layer['row_words']} words are no ring within {config.accumulator_words}"
    elif layer["left_words"] + parsed.map_shape[1] * parsed.vectors + layer["right_words"] != layer["row_words"]:
        yield f"its map and borders are not the {layer['row_words']} words of a row"
    if sum(row["done"] for row in parsed.rows) != layer["output_rows"] or parsed.rows[-1]["segments"]:
        yield "its rows do not complete its output"
    elif any(row["done"] > 1 and any(other["segments"] for other in parsed.rows[y:]) for y, row in enumerate(parsed.rows)):
        yield "several rows are done at once, and segments follow"
    for label in parsed.labels:
        starts = parsed.starts[label :: parsed.stride_x]
        entries, pixel = parsed.own_entries(label), parsed.tap_vectors * parsed.planes
        taps = parsed.spans(label).max() // parsed.tap_vectors
        if (np.diff(starts) != parsed.vectors).any() or (entries % pixel).any():
            yield f"columns of label {label} do not walk whole pixels"
        elif starts[0] < 0 or starts[-1] + taps * parsed.vectors > layer["row_words"]:
            yield f"columns of label {label} walk outside the accumulators of a row"
    if _overwrites(parsed):
        yield "its output overwrites what it takes or adds before that is read"


def _overwrites(parsed: ParsedLayer) -> bool:
    """Whether a word of the output is written where one of the input or of the residual waits to be read.

    Of the input, the rows before a ROW have been read when the output rows that are `done` there are drained; the residual is
    read one activation ahead of the output, word for word.
    """
    output, base = parsed.layer["output_base"], parsed.layer["input_base"]
    size, end = prod(parsed.output_shape), base + _words_of(prod(parsed.input_shape))
    drained = 0
    for scanned, row in enumerate(parsed.rows):
        drained += row["done"]
        given = -(-drained // parsed.pool[0]) * prod(parsed.output_shape[1:])
        written = output + (_words_of(size) if given == size else given // WORD_BYTES)
        unread = base + _words_of(scanned * prod(parsed.input_shape[1:]))
        if row["done"] and max(unread, output) < min(written, end):
            return True
    residual = parsed.layer["residual_base"]
    return bool(parsed.layer["residual"]) and residual < output < residual + _words_of(size)


def _words_of(size: int) -> int:
    """Words that hold so many bytes."""
    return -(-size // WORD_BYTES)


def segment_entries(image: Image) -> tuple[Ints, ...]:
    """For each group the entries behind each word of its segment table; empty where the configuration is dense."""
    _, place = TABLE.places["entries"]
    return tuple((table >> place).astype(np.int64) for table in image.table)


class Weights:
    """The weights of an image, decoded.

    lanes: for each group (entries, L) weight planes; steps: (entries,) address steps.
    """

    def __init__(self, image: Image) -> None:
        self.config = image.config
        self.lanes, self.steps = zip(*(decode_entries(chunks, image.config) for chunks in image.chunks), strict=True)
        low = (1 << TABLE.places["entries"][1]) - 1
        self.first = tuple((table & low).astype(np.int64) for table in image.table)
        self.count = segment_entries(image)

    def columns(self, parsed: ParsedLayer, row: Row, label: int) -> Ints:
        """The weights that events in `row` and `label` meet: (input channels, segments, accumulator words, groups, L).

        Words are those that any group meets, from the label's first tap on. In elementwise layers (vectors, segments, taps,
        groups, L).

        Raises ImageError for addresses that hold nothing, and for steps that leave the segment.
        """
        addresses, spans = parsed.segment_addresses(row, label), parsed.spans(label)
        found = np.zeros((*addresses.shape, spans.max(), self.config.groups, self.config.lanes), np.int64)
        for group, (first, end) in enumerate(spans):
            found[:, :, first:end, group] = self._segments(parsed, addresses, end - first, group)
        return found

    def _segments(self, parsed: ParsedLayer, addresses: Ints, words: int, group: int) -> Ints:
        """(*addresses.shape, words, L) of one group."""
        result = np.zeros((*addresses.shape, words, self.config.lanes), np.int64)
        flat = result.reshape(addresses.size, words, self.config.lanes)
        if self.config.sparse:
            first, count = (
                part[group][self._within(parsed, addresses, part[group])].reshape(-1) for part in (self.first, self.count)
            )
        else:
            first, count = addresses.reshape(-1), np.full(addresses.size, words * parsed.planes)
        segment = np.repeat(np.arange(addresses.size), count)
        place = np.arange(len(segment)) - np.repeat(np.cumsum(count) - count, count)
        entry = self._within(parsed, first[segment] + place, self.steps[group])
        plane = place % parsed.planes
        steps = self.steps[group][entry] + (plane == 0)
        total = np.cumsum(steps)
        word = total - np.repeat(np.concatenate([[0], total])[np.cumsum(count) - count], count) - 1
        if (word >= words).any():
            raise ImageError(f"The weights of layer {parsed.name} step over the end of a segment. Compile the network again")
        for level in range(parsed.planes):
            chosen = plane == level
            flat[segment[chosen], word[chosen]] += self.lanes[group][entry[chosen]] << (level * self.config.weight_bits)
        return result

    def _within(self, parsed: ParsedLayer, addresses: Ints, memory: Ints) -> Ints:
        """The addresses, all of which `memory` has."""
        if addresses.size and int(addresses.max()) >= len(memory):
            raise ImageError(
                f"Layer {parsed.name} walks to address {int(addresses.max())} of {len(memory)}. Compile the network again"
            )
        return addresses


def decode_entries(chunks: Words, config: Config) -> tuple[Ints, Ints]:
    """(entries, L) signed lanes and (entries,) steps."""
    octets = np.ascontiguousarray(chunks, "<u4").view(np.uint8).reshape(len(chunks), config.entry_chunks * WORD_BYTES)
    bits = np.unpackbits(octets, axis=1, bitorder="little")
    weight_bits = config.lanes * config.weight_bits
    places = 1 << np.arange(config.weight_bits)
    places[-1] = -places[-1]
    lanes = bits[:, :weight_bits].reshape(len(chunks), config.lanes, config.weight_bits) @ places
    steps = bits[:, weight_bits : config.entry_bits] @ (1 << np.arange(config.step_bits))
    return lanes.astype(np.int64), steps.astype(np.int64)
