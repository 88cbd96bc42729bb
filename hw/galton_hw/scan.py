"""The scan: reads a layer's input once, in order, and says of every activation where its weights and accumulators begin."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, ROW, WORD_BITS
from galton_hw.layout import field_bits, layout, start_bits
from galton_hw.memory import TwoPortMemory
from galton_hw.quantizer import item_layout
from galton_hw.reader import Reader


def tag_layout(config: Config) -> data.StructLayout:
    """What travels through the quantizer beside an activation.

    In a marker `start` holds ROW.done and ROW.segments and `column` ROW.ring_start of the row that begins. In elementwise layers
    `vector_end` and `group_end` say that an activation is the last of L neighbours, and of those of its group.
    """
    return data.StructLayout(
        {
            "start": start_bits(config),
            "column": ceil_log2(config.accumulator_words),
            "short": 1,
            "active": 1,
            "vector_end": 1,
            "group_end": 1,
            "claim": field_bits(ROW, "claim"),
        }
    )


class Scan(wiring.Component):
    """A marker for every row and one for the end, and the activations of each row after its marker.

    Throughput one item a cycle, from the fourth cycle after reset on.

    Members
    -------
    layer: the layer's record, constant from reset on.
    table_*: host side of the table of ROW records, a word at a time.
    turn, address, read_data: data memory, see `Reader`.
    o: items for the quantizer.
    """

    first_item = 3

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "table_write": In(ROW.words),
                "table_address": In(ceil_log2(config.rows)),
                "table_word": In(WORD_BITS),
                "turn": In(1),
                "address": Out(ceil_log2(config.data_words)),
                "read_data": In(WORD_BITS),
                "o": Out(stream.Signature(item_layout(tag_layout(config)))),
            }
        )

    def _row_table(self, m: Module, row: Signal) -> data.View:
        """The record of row number `row`, a cycle after the number."""
        record = Signal(layout(ROW, self.config))
        for word in range(ROW.words):
            fields = list(ROW.in_word(word))
            width = sum(len(record[field.name]) for field, _ in fields)
            m.submodules[f"table_{word}"] = table = TwoPortMemory(self.config.rows, width)
            m.d.comb += [
                table.write.eq(self.table_write[word]),
                table.write_address.eq(self.table_address),
                table.write_data.eq(Cat(self.table_word[bit : bit + len(record[field.name])] for field, bit in fields)),
                table.read.eq(1),
                table.read_address.eq(row),
                Cat(record[field.name] for field, _ in fields).eq(table.read_data),
            ]
        return record

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, tag = self.layer, self.o.payload.tag
        m.submodules.reader = reader = Reader(len(self.address))
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
            self.o.valid.eq(reader.o.valid & ~finished),
            go.eq(self.o.valid & self.o.ready),
            reader.o.ready.eq(go & ~marker_due),
        ]

        # Where the next activation's weights begin: a running sum that restarts with each row and each round of phases.
        start, restart = Signal(start_bits(self.config)), Signal(start_bits(self.config))
        column = Signal(len(tag.column))
        phase = Signal(2)
        active, short_row = Signal(), Signal()
        channel = Signal(layer.input_channels.shape())
        x = Signal(layer.input_columns.shape())

        # Elementwise layers go from vector to vector: to the next weights and words, at the end of a group to the next one's.
        lane = Signal(range(max(self.config.lanes, 2)))
        owned = Signal(layer.group_channels.shape())
        group_start = Signal(len(start))
        pixel_end, vector_end, group_end = Signal(), Signal(), Signal()
        m.d.comb += [
            pixel_end.eq(channel == layer.input_channels),
            group_end.eq(pixel_end if self.config.groups == 1 else owned == layer.group_channels - 1),
            vector_end.eq(layer.elementwise & (group_end | (lane == self.config.lanes - 1))),
        ]

        short = layer.short.bit_select(phase, 1)
        taps = Signal()
        stride, next_start = Signal(len(start)), Signal(len(start))
        m.d.comb += [
            taps.eq(~short | (layer.entries_short != 0)),
            stride.eq(Mux(short_row, layer.channel_stride_short, layer.channel_stride_long)),
            next_start.eq(start + stride),
            self.o.payload.raw.eq(reader.o.payload),
            self.o.payload.marker.eq(marker_due),
        ]
        with m.If(marker_due):
            m.d.comb += [
                tag.start.eq(Cat(record.done, record.segments)),
                tag.column.eq(record.ring_start),
                tag.active.eq(1),
                tag.claim.eq(record.claim),
            ]
        with m.Else():
            m.d.comb += [
                tag.start.eq(start),
                tag.column.eq(column + Mux(short, layer.accumulator_skip, 0)),
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
            m.d.sync += [channel.eq(channel + 1), lane.eq(lane + 1), owned.eq(owned + 1)]
            with m.If(vector_end):
                m.d.sync += [lane.eq(0), column.eq(column + 1)]
                with m.If(group_end & ~pixel_end):
                    m.d.sync += [start.eq(group_start), column.eq(column + 1 - layer.accumulator_skip)]
            with m.If(group_end):
                m.d.sync += owned.eq(0)
            with m.If(pixel_end):
                m.d.sync += [channel.eq(0), phase.eq(phase + 1), x.eq(x + 1)]
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
