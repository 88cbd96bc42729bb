"""The cycle model: how many cycles and events every layer of every inference takes, exactly as the hardware counts them.

Its loop (galton.schedule) follows items (row markers and activations), events, segments and accumulator rows through the machine
and knows for each the cycle in which it moves; nothing is simulated cycle by cycle. Cycle 0 is a layer's first cycle of running.
In the order of `galton_hw`:

* scan, quantizer, serializer, relays: item i, a marker or a bundle of activations, reaches the dispatch FIRST_ITEM + i cycles
  after the start, later by every cycle that one before it took more than one: a cycle for each event that it makes.
* dispatch: the item behind a marker waits for the ring's rows that the marker claims; a marker or event waits while a FIFO is
  full.
* FIFO: what enters in cycle t can leave from t + FIFO_LATENCY on; its place is free again in the cycle after it left. Where
  groups are at a distance, both take as many cycles more, a fetch of the drain hits the walker as many cycles later, and the
  drain sees so much later that a row is done, the dispatch that it is drained.
* expander: one segment a cycle into a register, which the walker empties from the next cycle on. Of an elementwise layer's vector
  it first takes the lanes, a bundle a cycle, once the walker has had the vector before for a cycle; its segments begin with the
  last one.
* walker: entries in the cycles after it took a segment, but those that the drain takes; the next segment with the last entry.
* drain: see galton_hw.drain; where CHANNELs are read meanwhile it waits for them; once a row has begun, nothing delays it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import golden
from galton.config import Config
from galton.decode import ParsedLayer, bundle_starts, header, segment_entries, vector_ends
from galton.format import CHANNEL, FRACTION_BITS, LAYER, MULTIPLIER_BITS, NETWORK, NORM_BITS, PROFILE, WORD_BYTES
from galton.image import Image
from galton.network import Ints
from galton.schedule import walk

FIRST_ITEM = {1: 6, 4: 9}
"""Cycle in which the first item reaches the dispatch, by the scan's width: through reader, quantizer, relays, serializer."""
DIVISION = FRACTION_BITS + NORM_BITS - MULTIPLIER_BITS
"""Cycles of the step divider."""
BETWEEN, GIVING = 2, 2
"""Cycles between layers, and for each word of the output."""
LOAD_TAIL = 4
"""Cycles until the last channel's multiplier is in place."""

Profile = dict[str, int]
Demands = dict[str, int]
"""Least possible cycles of a layer in each part: entries of the busiest group, scan slots up to the ROW that completes the
output, drain slots."""


def predict(image: Image, raw: NDArray[Any]) -> list[list[Profile]]:
    """For each input of `raw` (n, rows, columns, channels) and each layer the fields of format.PROFILE, the layer's own share.

    Raises as golden.trace does.
    """
    return Model(image, raw).profiles()


def bounds(image: Image, raw: NDArray[Any]) -> list[list[int]]:
    """For each input and layer the least possible cycles: the largest demand."""
    return [[max(layer.values()) for layer in layers] for layers in Model(image, raw).demands()]


class Model:
    """An image with what its layers make of raw inputs (n, rows, columns, channels).

    traces: golden.trace of them; layers: each layer's plan and trace. Raises as golden.trace does.
    """

    def __init__(self, image: Image, raw: NDArray[Any]) -> None:
        machine = golden.Machine(image)
        self.image, self.traces = image, machine.trace(raw)
        self.layers = [(Plan(parsed, image), trace) for parsed, trace in zip(machine.layers, self.traces, strict=True)]
        self.inputs = range(len(raw))

    def outputs(self) -> Ints:
        """As golden.run."""
        found: Ints = self.traces[-1].outputs[..., self.image.meta["output"]["order"]].astype(np.int64)
        return found

    def profiles(self) -> list[list[Profile]]:
        """For each input and layer the fields of format.PROFILE, the layer's own share."""
        return [[plan.predict(trace, index) for plan, trace in self.layers] for index in self.inputs]

    def demands(self) -> list[list[Demands]]:
        """For each input and layer what it asks of each part of the machine."""
        return [[plan.demands(trace, index) for plan, trace in self.layers] for index in self.inputs]


def transfers(image: Image) -> int:
    """Cycles of an inference outside its layers, PROFILE writes left out: input in, output out, with streams that never wait."""
    network, layers = header(image), len(image.meta["layers"])
    # The norm takes four cycles to count a word; a wide one takes a word a cycle, and these four after the last.
    narrow = image.config.drain_width == 1
    loading = network["input_words"] * (1 + WORD_BYTES) if narrow else network["input_words"] + WORD_BYTES
    return loading + BETWEEN * layers + NETWORK.words + 1 + GIVING * network["output_words"]


def profiling(image: Image) -> int:
    """Cycles in which an inference writes its PROFILE records: 0 for an image that has no place for them."""
    return PROFILE.words * len(image.meta["layers"]) if header(image)["profile_base"] else 0


def waking(config: Config) -> int:
    """Cycles from enabling a core to taking the first word: accumulators are cleared, NETWORK is read."""
    return config.accumulator_words + NETWORK.words + 1


def drain_finish(config: Config) -> int:
    """Cycles from the end of the last fetch to the layer's last cycle."""
    return (17 if config.drain_width == 1 else 13) + 4 * config.group_distance


def setup(parsed: ParsedLayer, config: Config) -> int:
    """Cycles from the first read of a layer's record to its start: LAYER, ROWs, the division, CHANNELs.

    A data memory of two ports gives two words of LAYER at once, and CHANNELs while the layer runs.
    """
    record = -(-LAYER.words // config.data_ports) + 1
    rows = len(parsed.rows) + 1
    division = DIVISION if parsed.layer["dynamic"] else 0
    return record + rows + division + (loading(parsed) if config.data_ports == 1 else 0)


def loading(parsed: ParsedLayer) -> int:
    """Cycles that CHANNELs take."""
    return CHANNEL.words * len(parsed.bias) + LOAD_TAIL


@dataclass(frozen=True)
class Fetches:
    """What a drained row takes from the walkers, in cycles from its first fetch.

    offsets: of each fetch; groups: (fetches, 2), the first one that it takes and the one after the last. last: offset of the last
    fetch; end: of the cycle after it.
    """

    offsets: Ints
    groups: Ints
    last: int
    end: int


def fetches(parsed: ParsedLayer, config: Config) -> Fetches:
    """The fetches of one row: left border, pixels of each group in vectors, right border.

    A fetch takes a cycle for each bundle of drain_width activations, two with a residual or a max-pool where that is more than 1.
    """
    layer = parsed.layer
    channels, together = layer["group_channels"], config.fetched_groups(layer["group_channels"])
    slow = 2 if config.drain_width > 1 and (layer["residual"] or layer["pooled"]) else 1
    vectors = [min(config.lanes, channels - lane) * together for lane in range(0, channels, config.lanes)]
    pixel = [
        (-(-lanes // config.drain_width) * slow, group, group + together)
        for group in range(0, config.groups, together)
        for lanes in vectors
    ]
    border = (1, 0, config.groups)
    row = [border] * layer["left_words"] + pixel * (layer["output_columns"] + 1) + [border] * layer["right_words"]
    duration, groups = np.array(row, np.int64)[:, 0], np.array(row, np.int64)[:, 1:]
    offsets = np.cumsum(duration) - duration
    return Fetches(offsets, groups, int(offsets[-1]), int(offsets[-1] + duration[-1]))


@dataclass(frozen=True)
class Events:
    """What the dispatch sends for one input; of an elementwise layer's bundles, which go whole, the last channel stands for all.

    times: in their row (events,), where nothing waits. woken: the groups that get them (events, groups). whole: whether they have
    segments (events,). entries: of these (events, most segments, groups). first: event of each row (rows + 1,). lengths: cycles
    that the dispatch needs for each row, (rows,).
    """

    times: Ints
    woken: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    entries: Ints
    first: Ints
    lengths: Ints


class Plan:
    """What is the same for every input of a layer."""

    def __init__(self, parsed: ParsedLayer, image: Image) -> None:
        self.parsed, self.config = parsed, image.config
        self.fetches = fetches(parsed, image.config)
        self.table = segment_entries(image)
        _, columns, channels = parsed.input_shape
        # First and last channel of each bundle, and the bundle of each channel.
        starts = bundle_starts(parsed, self.config)
        self.starts, self.bundle = np.flatnonzero(starts), np.cumsum(starts) - 1
        self.lasts = np.append(self.starts[1:], channels) - 1
        labels = np.arange(columns) % parsed.stride_x
        # Which groups get an activation; and which ones have segments: of elementwise layers the last of a vector.
        woken = np.stack([parsed.own_entries(label) > 0 for label in range(parsed.stride_x)])
        self.woken, self.ends = np.repeat(woken[labels, None], channels, axis=1), np.ones(channels, np.bool_)
        if parsed.elementwise:
            self.owner, self.ends = np.arange(channels) // parsed.layer["group_channels"], vector_ends(parsed, image.config)
            self.woken &= self.owner[:, None] == np.arange(image.config.groups)
        self.rows = np.array([[row["segments"], row["done"]] for row in parsed.rows], np.int64)
        self.labels = labels
        self.entries: dict[tuple[int, ...], Ints] = {}

    def row_entries(self, y: int) -> Ints:
        """Entries (columns, channels, segments, groups) behind every activation of row `y`; 0 columns of labels without taps."""
        row = self.parsed.rows[y]
        key = (row["weight_base"], row["segments"], row["short"])
        if key not in self.entries:
            channels = self.parsed.input_shape[2]
            found = np.zeros((self.parsed.stride_x, channels, row["segments"], self.config.groups), np.int64)
            for label in self.parsed.labels:
                addresses = self.parsed.segment_addresses(row, label)
                behind = np.broadcast_to(self.parsed.own_entries(label), (*addresses.shape, self.config.groups))
                if self.config.sparse:
                    behind = np.stack([table[addresses] for table in self.table], axis=-1)
                if self.parsed.elementwise:
                    last, group = np.flatnonzero(self.ends), self.owner[self.ends]
                    vector = np.arange(len(last)) % self.parsed.vectors
                    found[label][last, :, group] = behind[vector, :, group]
                else:
                    found[label] = behind
            self.entries[key] = found[self.labels]
        return self.entries[key]

    def events(self, trace: golden.LayerTrace, index: int) -> Events:
        """The events of an input."""
        rows, most = self.parsed.input_shape[0], max(1, int(self.rows[:, 0].max()))
        times, woken, whole, entries, lengths = [], [], [], [np.zeros((0, most, self.config.groups), np.int64)], []
        for y in range(rows):
            sent = trace.sent[index, y] & trace.columns[:, None] & trace.rows[y]
            bundles = np.logical_or.reduceat(sent, self.starts, axis=1)
            if self.parsed.elementwise:
                sent = np.zeros_like(sent)
                sent[:, self.lasts] = bundles
            column, channel = np.nonzero(sent)
            # A bundle without events takes a cycle, too.
            empty = np.cumsum(~bundles)
            times.append(np.arange(len(column)) + empty[column * len(self.starts) + self.bundle[channel]])
            woken.append(self.woken[column, channel])
            whole.append(self.ends[channel])
            lengths.append(len(column) + empty[-1])
            if trace.rows[y]:
                behind = self.row_entries(y)[column, channel]
                entries.append(np.pad(behind, ((0, 0), (0, most - behind.shape[1]), (0, 0))))
        first = np.cumsum([0, *(len(part) for part in times)])
        every = [np.concatenate(parts) for parts in (times, woken, whole, entries)]
        return Events(every[0], every[1], every[2], every[3], first, np.array(lengths))

    def predict(self, trace: golden.LayerTrace, index: int) -> Profile:
        """The counters of one input."""
        events = self.events(trace, index)
        layer, row = self.parsed.layer, self.fetches
        cycles, fifo, ring, drain = walk(
            self.rows,
            events.times,
            events.woken,
            events.whole,
            events.first,
            events.lengths,
            events.entries,
            self.parsed.elementwise,
            FIRST_ITEM[self.config.scan_width],
            layer["ring_rows"],
            layer["output_rows"],
            self.config.fifo_depth,
            self.config.group_distance,
            loading(self.parsed) if self.config.data_ports == 2 else 0,
            row.offsets,
            row.groups,
            row.last,
            row.end,
        )
        return {
            "cycles": setup(self.parsed, self.config) + int(cycles) + drain_finish(self.config),
            "events": int(trace.events[index]),
            "entries": int(events.entries.sum()),
            "fifo_stalls": int(fifo),
            "ring_stalls": int(ring),
            "drain_stalls": int(drain),
            "saturations": int(trace.saturations[index]),
        }

    def demands(self, trace: golden.LayerTrace, index: int) -> Demands:
        """What one input asks of each part."""
        events = self.events(trace, index)
        # Rows of the input that no output needs are scanned only as far as the layer lasts.
        needed = np.flatnonzero(self.rows[:, 1])[-1]
        return {
            "entries": int(events.entries.sum(axis=(0, 1)).max()),
            "scan": int(events.lengths[:needed].sum()),
            "drain": self.fetches.end * self.parsed.layer["output_rows"],
        }
