"""The drain: empties finished accumulator rows into the output tensor, one activation a cycle."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, WORD_BITS
from galton_hw.group import Group
from galton_hw.layout import field_bits, layout
from galton_hw.reader import Reader
from galton_hw.rescale import LoadSignature, Rescale
from galton_hw.writer import Writer


class Drain(wiring.Component):
    """Walks a finished row: left border, pixels (groups, vectors, lanes), right border; borders are only cleared.

    A fetch takes as many cycles as it yields activations, a border word one. Fetches of one row follow each other without a
    gap; a row begins one cycle after `rows_done` shows it in every group, but no earlier than two cycles after the last fetch of
    the row before, nor than that one's activations are out.

    The reader of the residual is always ahead of the writer: accumulator and residual activation enter `Rescale` together, so the
    word of the latter was read before, and the output's word of the same offset is complete no earlier than `Rescale.latency`
    cycles after. So an output may lie over the residual. It may lie over the layer's input as far as rows that are `done` go: the
    marker that says so is scanned behind all activations of the rows before it, whose words have then been read.

    Members
    -------
    rows_done: from each group. fetch, fetch_word: to each group. accumulators: from each group, Group.fetch_latency later.
    row_drained: 1 in the cycle of a row's last fetch; finished: 1 once everything is written.
    turn, address, write, write_data, final, read_data: as in Writer.
    load_*, factor*: as in Rescale.
    """

    settle_cycles = 11
    """From a last fetch's end until nothing is on its way to the writer, and the word before the last one has been counted."""
    finish_cycles = 17
    """From a last fetch's end until the flushed word has been written and counted."""

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        accumulators = data.ArrayLayout(signed(config.accumulator_bits), config.lanes)
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "rows_done": In(data.ArrayLayout(field_bits(LAYER, "output_rows"), config.groups)),
                "fetch": Out(config.groups),
                "fetch_word": Out(ceil_log2(config.accumulator_words)),
                "accumulators": In(data.ArrayLayout(accumulators, config.groups)),
                "row_drained": Out(1),
                "finished": Out(1),
                "turn": In(1),
                "address": Out(ceil_log2(config.data_words)),
                "write": Out(1),
                "write_data": Out(WORD_BITS),
                "final": Out(1),
                "read_data": In(WORD_BITS),
                "load": In(LoadSignature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self.config, self.layer
        lanes_shape = range(config.lanes + 1)

        # The walk over a row.
        ring, word, pixel = (Signal(len(self.fetch_word), name=name) for name in ("ring", "word", "pixel"))
        count = Signal(max(len(layer.left_words), len(layer.output_columns)))
        vector = Signal(layer.vectors.shape())
        group = Signal(range(max(config.groups, 2)))
        remaining = Signal(layer.group_channels.shape())
        pause = Signal(range(config.lanes))
        drained = Signal(len(self.rows_done[0]))
        settled = Signal(range(self.finish_cycles + 1))
        lanes = Signal(lanes_shape)
        ready, border, yields = Signal(), Signal(), Signal()
        next_ring = Signal(len(ring) + 1)
        m.d.comb += [
            lanes.eq(Mux(remaining > config.lanes, config.lanes, remaining)),
            ready.eq(Cat(rows != drained for rows in self.rows_done).all()),
            next_ring.eq(ring + layer.row_words),
            self.fetch_word.eq(word),
        ]
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        last_column = Signal()
        m.d.comb += last_column.eq(count == layer.output_columns)

        def end_row() -> None:
            m.d.comb += self.row_drained.eq(1)
            m.d.sync += [drained.eq(drained + 1), ring.eq(Mux(next_ring == layer.ring_words, 0, next_ring))]
            m.next = "WAIT"
            with m.If(drained + 1 == layer.output_rows):
                m.next = "SETTLE"

        with m.If(border | yields):
            m.d.sync += word.eq(word + 1)
        with m.FSM() as fsm:
            with m.State("WAIT"), m.If(ready):
                m.d.sync += [
                    word.eq(ring),
                    pixel.eq(ring),
                    count.eq(0),
                    remaining.eq(layer.group_channels),
                ]
                with m.If(layer.left_words != 0):
                    m.next = "LEFT"
                with m.Else():
                    m.next = "MAP"
            with m.State("LEFT"), m.If(pause == 0):
                m.d.comb += border.eq(1)
                m.d.sync += count.eq(count + 1)
                with m.If(count + 1 == layer.left_words):
                    m.d.sync += [count.eq(0), pixel.eq(word + 1)]
                    m.next = "MAP"
            with m.State("MAP"), m.If(pause == 0):
                m.d.comb += yields.eq(1)
                m.d.sync += [pause.eq(lanes - 1), vector.eq(vector + 1), remaining.eq(remaining - config.lanes)]
                with m.If(vector == layer.vectors):
                    m.d.sync += [vector.eq(0), remaining.eq(layer.group_channels), group.eq(group + 1), word.eq(pixel)]
                    with m.If(group == config.groups - 1):
                        m.d.sync += [group.eq(0), word.eq(word + 1), pixel.eq(word + 1), count.eq(count + 1)]
                        with m.If(last_column):
                            m.d.sync += count.eq(0)
                            with m.If(layer.right_words != 0):
                                m.next = "RIGHT"
                            with m.Else():
                                end_row()
            with m.State("RIGHT"), m.If(pause == 0):
                m.d.comb += border.eq(1)
                m.d.sync += count.eq(count + 1)
                with m.If(count + 1 == layer.right_words):
                    end_row()
            with m.State("SETTLE"), m.If(pause == 0):
                m.d.sync += settled.eq(settled + 1)
        settling = Signal()
        m.d.comb += [
            settling.eq(fsm.ongoing("SETTLE")),
            self.finished.eq(settling & (settled == self.finish_cycles)),
        ]
        for index in range(config.groups):
            m.d.comb += self.fetch[index].eq(border | (yields & (group == index)))

        # Fetched words arrive just when the activations of the one before are used up.
        arrival = data.StructLayout({"lanes": lanes_shape, "group": group.shape(), "last_column": 1})
        fetched = [Signal(arrival, name=f"fetched_{index}") for index in range(Group.fetch_latency)]
        m.d.sync += [
            fetched[0].lanes.eq(Mux(yields, lanes, 0)),
            fetched[0].group.eq(group),
            fetched[0].last_column.eq(last_column),
            *(after.eq(before) for before, after in pairwise(fetched)),
        ]
        arrived = fetched[-1]
        held = Signal(data.ArrayLayout(signed(config.accumulator_bits), config.lanes), reset_less=True)
        left = Signal(lanes_shape)
        in_last_column = Signal(reset_less=True)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
            m.d.sync += [held[lane].eq(held[lane + 1]) for lane in range(config.lanes - 1)]
        with m.If(arrived.lanes != 0):
            m.d.sync += [
                held.eq(Array(self.accumulators[index] for index in range(config.groups))[arrived.group]),
                left.eq(arrived.lanes),
                in_last_column.eq(arrived.last_column),
            ]

        m.submodules.rescale = rescale = Rescale(config, self.tech)
        m.submodules.writer = writer = Writer(config)
        # The writer takes one turn in four cycles at most where it does not pool.
        m.submodules.reader = reader = Reader(len(self.address))
        wiring.connect(m, wiring.flipped(self.load), rescale.load)
        columns = [Signal(name=f"last_column_{index}", reset_less=True) for index in range(Rescale.latency)]
        m.d.sync += [after.eq(before) for before, after in zip([in_last_column, *columns], columns, strict=False)]
        m.d.comb += [
            rescale.layer.eq(layer),
            rescale.i_valid.eq(left != 0),
            rescale.accumulator.eq(held[0]),
            rescale.residual.eq(reader.o.payload),
            reader.o.ready.eq(left != 0),
            reader.base.eq(layer.residual_base),
            reader.turn.eq(self.turn & layer.residual & ~writer.pending),
            reader.read_data.eq(self.read_data),
            writer.layer.eq(layer),
            writer.valid.eq(rescale.o_valid),
            writer.raw.eq(rescale.raw),
            writer.last_channel.eq(rescale.o_last_channel),
            writer.last_column.eq(columns[-1]),
            writer.flush.eq(settling & (settled == self.settle_cycles)),
            writer.turn.eq(self.turn),
            writer.read_data.eq(self.read_data),
            self.address.eq(Mux(writer.pending, writer.address, reader.address)),
            self.write.eq(writer.write),
            self.write_data.eq(writer.write_data),
            self.final.eq(writer.final),
        ]
        return m
