"""The scan: reads a layer's input once, in order, and says of every bundle where its weights and accumulators begin."""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, MAXIMUM_STRIDE, ROW, WORD_BITS
from galton_hw.bundle_sizes import BundleSizes
from galton_hw.layout import field_in_word, layout, start_bits
from galton_hw.memory import TwoPortMemory
from galton_hw.quantizer import item_layout
from galton_hw.reader import Reader, WindowReader


def tag_layout(config: Config) -> data.StructLayout:
    """What travels through the quantizer beside a bundle: of its first activation; the others follow by the channel stride.

    In a marker `start` holds ROW.done and ROW.segments and, where bundles have several activations, `short` ROW.short of the row
    that begins. In elementwise layers `vector_end` and `group_end` say that a bundle is the last of L neighbours, and of those of
    its group. Where there are several groups, `label` is the column modulo the stride, and `woken` has a bit for each group that
    has taps there.
    """
    several = {"label": ceil_log2(MAXIMUM_STRIDE), "woken": config.groups} if config.groups > 1 else {}
    return data.StructLayout(
        {
            **several,
            "start": start_bits(config),
            "column": ceil_log2(config.accumulator_words),
            "short": 1,
            "active": 1,
            "vector_end": 1,
            "group_end": 1,
        }
    )


class Scan(wiring.Component):
    """A marker for every row and one for the end, and the activations of each row after its marker, in bundles.

    A bundle has config.scan_width activations, or those that are left of a pixel, in elementwise layers of a vector of L lanes.
    Throughput one item a cycle, from cycle `first_item` after reset on.

    Members
    -------
    layer: the layer's record, constant from reset on.
    table_*: host side of the table of ROW records.
    turn, address, read_data: data memory, see `Reader`; for several activations a cycle every one is a turn.
    o: items for the quantizer.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.first_item = 3 if config.scan_width == 1 else WindowReader.first_window
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "table_write": In(1),
                "table_address": In(ceil_log2(config.rows)),
                "table_word": In(WORD_BITS),
                "turn": In(1),
                "address": Out(ceil_log2(config.data_words)),
                "read_data": In(WORD_BITS),
                "o": Out(stream.Signature(item_layout(tag_layout(config), config.scan_width))),
            }
        )

    def _row_table(self, m: Module, row: Signal) -> data.View:
        """The record of row number `row`, a cycle after the number."""
        record = layout(ROW, self.config)
        m.submodules.table = table = TwoPortMemory(self.config.rows, record.size)
        m.d.comb += [
            table.write.eq(self.table_write),
            table.write_address.eq(self.table_address),
            table.write_data.eq(Cat(field_in_word(ROW, field.name, self.table_word, self.config) for field in ROW.fields)),
            table.read.eq(1),
            table.read_address.eq(row),
        ]
        return data.View(record, table.read_data)

    def _single(self, m: Module, goes: Value, channels: Signal, group_end: Signal, vector_end: Signal) -> None:
        """Where groups and vectors end, in bundles of one."""
        lanes = self.config.lanes
        lane, channel = Signal(range(max(lanes, 2))), Signal.like(channels)
        m.d.comb += [
            group_end.eq(channel == channels),
            vector_end.eq(self.layer.elementwise & ((lane == lanes - 1) | group_end)),
        ]
        with m.If(goes):
            m.d.sync += [channel.eq(Mux(group_end, 0, channel + 1)), lane.eq(Mux(vector_end, 0, lane + 1))]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, tag = self.layer, self.o.payload.tag
        width = self.config.scan_width
        m.submodules.reader = reader = (Reader if width == 1 else WindowReader)(len(self.address))
        row = Signal(range(self.config.rows))
        record = self._row_table(m, row)
        m.d.comb += [
            reader.base.eq(layer.input_base),
            reader.turn.eq(self.turn),
            self.address.eq(reader.address),
            reader.read_data.eq(self.read_data),
        ]

        marker_due, finished = Signal(init=1), Signal()
        go = Signal()
        m.d.comb += [
            self.o.valid.eq((reader.o if width == 1 else reader).valid & ~finished),
            go.eq(self.o.valid & self.o.ready),
        ]

        # Where the next bundle's weights begin: a running sum that restarts with each row and each round of phases.
        start, restart = Signal(start_bits(self.config)), Signal(start_bits(self.config))
        column = Signal(len(tag.column))
        phase = Signal(range(MAXIMUM_STRIDE))
        active, short_row = Signal(), Signal()
        x = Signal(layer.input_columns.shape())

        # Elementwise layers go from vector to vector: to the next weights and words, at the end of a group to the next one's.
        group_start = Signal(len(start))
        # The channels of a pixel, in elementwise layers of a group, less one.
        channels, count = Signal(layer.input_channels.shape()), Signal(range(width + 1))
        group_end, vector_end, pixel_end = Signal(), Signal(), Signal()
        m.d.comb += [channels.eq(layer.input_channels), pixel_end.eq(group_end)]
        if width > 1:
            m.submodules.sizes = sizes = BundleSizes(self.config)
            m.d.comb += [
                sizes.layer.eq(layer),
                sizes.channels.eq(channels),
                sizes.start.eq(marker_due),
                sizes.next.eq(go),
                count.eq(sizes.count),
                group_end.eq(sizes.group_end),
                vector_end.eq(sizes.vector_end),
            ]
        else:
            self._single(m, go & ~marker_due, channels, group_end, vector_end)
            m.d.comb += count.eq(1)
        if self.config.groups > 1:
            group = Signal(range(self.config.groups))
            with m.If(layer.elementwise):
                m.d.comb += [channels.eq(layer.group_channels - 1), pixel_end.eq(group_end & (group == self.config.groups - 1))]
            with m.If(go & ~marker_due & group_end):
                m.d.sync += group.eq(Mux(pixel_end, 0, group + 1))

        short = layer.short.bit_select(phase, 1)
        taps = Signal()
        stride, next_start = Signal(len(start)), Signal(len(start))
        # Of an elementwise layer's bundles only the last of a vector goes on, by one stride.
        step = Mux(layer.elementwise, 1, count) if width > 1 else Const(1)
        strides = reduce(add, (Mux(bit, stride << place, 0) for place, bit in enumerate(step)))
        m.d.comb += [
            taps.eq(~short | (layer.entries_short != 0)),
            stride.eq(Mux(short_row, layer.channel_stride_short, layer.channel_stride_long)),
            next_start.eq(start + strides),
            self.o.payload.marker.eq(marker_due),
        ]
        if width == 1:
            m.d.comb += [self.o.payload.raw[0].eq(reader.o.payload), reader.o.ready.eq(go & ~marker_due)]
        else:
            m.d.comb += reader.taken.eq(Mux(go & ~marker_due, count, 0))
            m.d.comb += [raw.eq(Mux(count > index, reader.window[index], 0)) for index, raw in enumerate(self.o.payload.raw)]
        m.d.comb += tag.column.eq(column + Mux(short, layer.accumulator_skip, 0))
        if self.config.groups > 1:
            # Where short phases have no taps, a group with a tap less has none. Constant: the first item leaves some cycles after
            # the start.
            none, woken = Signal(), Signal(len(layer.fewer), reset_less=True)
            m.d.comb += [none.eq(layer.entries_short == 0), tag.label.eq(phase)]
            m.d.sync += woken.eq(~Mux(none, layer.fewer, 0))
            m.d.comb += [
                awake.eq(marker_due | woken.word_select(index, MAXIMUM_STRIDE).bit_select(phase, 1))
                for index, awake in enumerate(tag.woken)
            ]
        with m.If(marker_due):
            m.d.comb += [
                tag.start.eq(Cat(record.done, record.segments)),
                tag.active.eq(1),
                tag.short.eq(record.short if width > 1 else 0),
            ]
        with m.Else():
            m.d.comb += [
                tag.start.eq(start),
                tag.short.eq(short),
                tag.active.eq(active & taps),
                tag.vector_end.eq(vector_end),
                tag.group_end.eq(group_end),
            ]

        with m.If(go & marker_due):
            m.d.sync += [
                marker_due.eq(0),
                row.eq(row + 1),
                finished.eq(row == layer.input_rows),
                start.eq(record.weight_base),
                restart.eq(record.weight_base),
                group_start.eq(record.weight_base),
                short_row.eq(record.short),
                active.eq(record.segments != 0),
                column.eq(layer.accumulator_start),
                phase.eq(0),
            ]
        with m.Elif(go):
            with m.If(taps & (vector_end | ~layer.elementwise)):
                m.d.sync += start.eq(next_start)
            with m.If(vector_end):
                m.d.sync += column.eq(column + 1)
                with m.If(group_end & ~pixel_end):
                    m.d.sync += [start.eq(group_start), column.eq(column + 1 - layer.accumulator_skip)]
            with m.If(pixel_end):
                m.d.sync += [phase.eq(phase + 1), x.eq(x + 1)]
                with m.If(taps):
                    m.d.sync += group_start.eq(next_start)
                with m.If(phase == layer.stride_x):
                    m.d.sync += [phase.eq(0), start.eq(restart), group_start.eq(restart)]
                with m.If(layer.advance.bit_select(phase, 1)):
                    m.d.sync += column.eq(column + Mux(layer.elementwise, 1, layer.accumulator_skip))
                with m.Elif(layer.elementwise):
                    m.d.sync += column.eq(column + 1 - layer.accumulator_skip)
                with m.If(x == layer.input_columns):
                    m.d.sync += [x.eq(0), marker_due.eq(1)]
        return m
