"""A group: the weights, the walker and the accumulators of some output channels. Nobody else writes there."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from galton.config import Config
from galton.format import LAYER, ROW, TABLE, WORD_BITS
from galton_hw.counting import down, up
from galton_hw.dispatch import event_layout
from galton_hw.fifo import Fifo
from galton_hw.lanes import Lanes
from galton_hw.layout import field_bits, layout, sign_magnitude
from galton_hw.memory import OnePortMemory, TwoPortMemory


def segment_layout(config: Config) -> data.StructLayout:
    """A run of entries and the accumulator word that its first vector goes to; a marker has `entries` 0.

    first: of an event's segments.
    """
    return data.StructLayout(
        {
            "magnitude": config.count_bits,
            "negative": 1,
            "marker": 1,
            "first": 1,
            "done": field_bits(ROW, "done"),
            "start": ceil_log2(config.weight_words),
            "entries": field_bits(LAYER, "entries_long"),
            "word": ceil_log2(config.accumulator_words),
        }
    )


class Expander(wiring.Component):
    """Events in, one segment for each kernel row out; markers go through, set the kernel rows and move on in the ring.

    Latency 1, throughput one segment a cycle. Sparse columns are found in a table, dense ones by adding `pitch`. The counts of a
    vector's lanes are gathered first, a bundle a cycle, also while the segments of the vector before go out.

    Members
    -------
    layer: constant from reset on. table_*: host side of the segment table (sparse only).
    gathered: the counts of an elementwise layer's vector, until `copied`; their first segment has gone out before.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        members = {
            "layer": In(layout(LAYER, config)),
            "i": In(stream.Signature(event_layout(config))),
            "o": Out(stream.Signature(segment_layout(config))),
            "gathered": Out(data.ArrayLayout(sign_magnitude(config.count_bits), config.lanes)),
            "copied": In(1),
        }
        if config.sparse:
            members |= {
                "table_write": In(1),
                "table_address": In(ceil_log2(config.table_words)),
                "table_word": In(WORD_BITS),
                "table_read_data": Out(WORD_BITS),
                "table_host": In(1),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, event, segment = self.config, self.layer, self.i.payload, self.o.payload
        single, free, step, going = Signal(), Signal(), Signal(), Signal()
        segments, ring_start = Signal(field_bits(ROW, "segments")), Signal(len(event.column))
        index = Signal.like(segments)
        start, following_start = Signal(len(event.start)), Signal(len(event.start))
        ring, following_ring = Signal(len(event.column)), Signal(len(event.column))
        next_ring, wrapped = Signal(len(event.column) + 1), Signal(len(event.column))
        last = Signal()
        # A vector leaves its event behind with its first segment, so that the next one can be gathered.
        gathered, full, room = Signal(self.gathered.shape()), Signal(), Signal()
        short, column = Signal(reset_less=True), Signal(len(event.column), reset_less=True)
        m.d.comb += [
            self.gathered.eq(gathered),
            single.eq(layer.elementwise & ~event.marker),
            room.eq(~full | self.copied),
            free.eq(~self.o.valid | self.o.ready),
            going.eq(layer.elementwise & (index != 0)),
            step.eq(free & (going | (self.i.valid & (~single | (event.last & room))))),
            last.eq((event.marker & ~going) | (index == segments - 1)),
            self.i.ready.eq(Mux(single, room & (~event.last | (free & ~going)), free & last & ~going)),
            start.eq(Mux(index == 0, event.start, following_start)),
            ring.eq(Mux(index == 0, ring_start, following_ring)),
            next_ring.eq(ring + layer.row_words),
            wrapped.eq(Mux(next_ring == layer.ring_words, 0, next_ring)),
        ]
        held = Signal(segment.shape(), reset_less=True)
        valid = Signal()
        m.d.comb += [self.o.valid.eq(valid), segment.eq(held)]
        with m.If(self.copied):
            m.d.sync += [gathered.eq(0), full.eq(0)]
        with m.If(self.i.valid & self.i.ready & single):
            m.d.sync += full.eq(event.last)
            for lane in range(config.lanes):
                with m.If(event.bundle == lane // config.scan_width):
                    m.d.sync += gathered[lane].eq(event.counts[lane % config.scan_width])
        with m.If(free):
            m.d.sync += valid.eq(step)
        with m.If(step):
            m.d.sync += [
                held.magnitude.eq(event.counts[0].magnitude),
                held.negative.eq(event.counts[0].negative),
                held.marker.eq(event.marker & ~going),
                held.first.eq(index == 0),
                held.done.eq(event.start[: len(held.done)]),
                held.start.eq(start),
                held.entries.eq(Mux(Mux(going, short, event.short), layer.entries_short, layer.entries_long)),
                held.word.eq(ring + Mux(going, column, event.column)),
                index.eq(Mux(last, 0, index + 1)),
                following_start.eq(start + layer.pitch),
                following_ring.eq(wrapped),
            ]
            with m.If(~going):
                m.d.sync += [short.eq(event.short), column.eq(event.column)]
            with m.If(event.marker & ~going):
                m.d.sync += [held.entries.eq(0), segments.eq(event.start[len(held.done) :])]
                # Of several rows that are done the ring has the last ones: no segments follow.
                with m.If(event.start[0]):
                    m.d.sync += ring_start.eq(wrapped)
        if config.sparse:
            m.submodules.table = table = TwoPortMemory(config.table_words, WORD_BITS)
            word = data.View(layout(TABLE), table.read_data)
            m.d.comb += [
                table.write.eq(self.table_write),
                table.write_address.eq(self.table_address),
                table.write_data.eq(self.table_word),
                table.read.eq(step | self.table_host),
                table.read_address.eq(Mux(self.table_host, self.table_address, start)),
                self.table_read_data.eq(table.read_data),
                segment.start.eq(word.start),
                segment.entries.eq(Mux(held.marker, 0, word.entries)),
            ]
        return m


class Group(wiring.Component):
    """Events in; accumulators out to the drain.

    The walker issues one entry a cycle. A cycle with `fetch` belongs to the drain: the accumulator word at `fetch_word` is read,
    cleared, and stands in `accumulators` lanes.fetch_latency cycles later.

    Members
    -------
    rows_done: output rows whose sums are complete, modulo its range.
    left: an event leaves the FIFO.
    entry, stolen: 1 in cycles in which an entry is issued, or held back for the drain.
    weight_*: host side of the weight memory, in cycles in which no inference runs; likewise table_*. What is read comes a cycle
        after its address, at a distance two.
    """

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        self.expander = Expander(config)
        members = {
            "layer": In(layout(LAYER, config)),
            "i": In(stream.Signature(event_layout(config))),
            "fetch": In(1),
            "fetch_word": In(ceil_log2(config.accumulator_words)),
            "accumulators": Out(data.ArrayLayout(signed(config.accumulator_bits), config.lanes)),
            "rows_done": Out(field_bits(LAYER, "output_rows")),
            "left": Out(1),
            "entry": Out(1),
            "stolen": Out(1),
            "host": In(1),
            "weight_write": In(1),
            "host_address": In(max(ceil_log2(config.weight_words), bits_for(max(config.table_words - 1, 0)))),
            "weight_data": In(config.entry_bits),
            "weight_read_data": Out(config.entry_bits),
        }
        if config.sparse:
            members |= {"table_write": In(1), "table_word": In(WORD_BITS), "table_read_data": Out(WORD_BITS)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.fifo = fifo = Fifo(event_layout(config), config.fifo_depth, "block" if self.tech == "ice40" else "auto")
        m.submodules.expander = expander = self.expander
        m.submodules.lanes = lanes = Lanes(config, self.tech)
        m.submodules.weights = weights = OnePortMemory(config.weight_words, config.entry_bits, self.tech)
        wiring.connect(m, wiring.flipped(self.i), fifo.i)
        if config.groups > 1:
            pixel = Mux(self.i.payload.late, self.layer.accumulator_skip, 0)
            m.d.comb += fifo.i.payload.column.eq(self.i.payload.column + pixel)
        wiring.connect(m, fifo.o, expander.i)
        m.d.comb += [
            self.left.eq(fifo.o.valid & fifo.o.ready),
            expander.layer.eq(self.layer),
            lanes.two_planes.eq(self.layer.two_planes),
        ]
        if config.sparse:
            m.d.comb += [
                expander.table_write.eq(self.table_write),
                expander.table_address.eq(self.host_address),
                expander.table_word.eq(self.table_word),
                expander.table_host.eq(self.host),
            ]

        # Without a reset: the host reads while the group is held in it.
        away = "sync" if config.group_distance else "comb"
        shown = [(self.weight_read_data, weights.read_data)]
        shown += [(self.table_read_data, expander.table_read_data)] if config.sparse else []
        for port, source in shown:
            read = Signal(len(source), reset_less=True)
            m.d[away] += read.eq(source)
            m.d.comb += port.eq(read)

        # The walker: a segment in hand, and the next one taken over while its last entry is issued.
        segment = expander.o.payload
        remaining = Signal(len(segment.entries))
        address = Signal(len(segment.start), reset_less=True)
        magnitude, negative = Signal(len(segment.magnitude), reset_less=True), Signal(reset_less=True)
        word = Signal(len(segment.word), reset_less=True)
        taken, copied = Signal(), Signal()
        first, high = Signal(reset_less=True), Signal(reset_less=True)
        issue, take = Signal(), Signal()
        m.d.comb += [
            issue.eq((remaining != 0) & ~self.fetch),
            expander.o.ready.eq((remaining == 0) | ((remaining == 1) & issue)),
            take.eq(expander.o.valid & expander.o.ready),
            self.entry.eq(issue),
            self.stolen.eq((remaining != 0) & self.fetch),
        ]
        with m.If(issue):
            m.d.sync += [first.eq(0), high.eq(~high & self.layer.two_planes)]
        with m.If(issue | take):
            m.d.sync += [
                remaining.eq(Mux(take, segment.entries, down(remaining, take))),
                address.eq(Mux(take, segment.start, up(address, take))),
            ]
        m.d.sync += [taken.eq(take), copied.eq(take & self.layer.elementwise & segment.first & ~segment.marker)]
        rows_done = Signal.like(self.rows_done)
        m.d.comb += self.rows_done.eq(rows_done)
        with m.If(take):
            m.d.sync += [
                magnitude.eq(segment.magnitude),
                negative.eq(segment.negative),
                word.eq(segment.word),
                first.eq(1),
                high.eq(0),
            ]
            with m.If(segment.marker):
                m.d.sync += rows_done.eq(rows_done + segment.done)

        m.d.comb += [
            weights.write.eq(self.weight_write),
            weights.address.eq(Mux(self.host, self.host_address, address)),
            weights.write_data.eq(self.weight_data),
            lanes.issue.eq(issue),
            lanes.clear.eq(self.fetch),
            lanes.word.eq(Mux(self.fetch, self.fetch_word, word)),
            lanes.first.eq(first),
            lanes.high.eq(high),
            lanes.elementwise.eq(self.layer.elementwise),
            lanes.pixel.eq(self.layer.accumulator_skip),
            lanes.load.eq(Mux(self.layer.elementwise, copied, taken)),
            expander.copied.eq(copied),
            lanes.entry.eq(weights.read_data),
            self.accumulators.eq(lanes.accumulators),
        ]
        for lane, gathered in zip(lanes.counts, expander.gathered, strict=True):
            m.d.comb += [
                lane.magnitude.eq(Mux(self.layer.elementwise, gathered.magnitude, magnitude)),
                lane.negative.eq(Mux(self.layer.elementwise, gathered.negative, negative)),
            ]
        return m
