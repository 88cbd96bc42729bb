"""The drain: empties finished accumulator rows into the output tensor, a bundle of activations a cycle."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, WORD_BITS
from galton_hw.lanes import fetch_latency
from galton_hw.layout import field_bits, layout
from galton_hw.reader import Reader, WindowReader
from galton_hw.rescale import LoadSignature, Rescale
from galton_hw.row_walk import RowWalk, fetched_layout
from galton_hw.writer import Writer
from galton_hw.writer_wide import WideWriter


class Drain(wiring.Component):
    """Rows of accumulators in, words of the output tensor out: RowWalk, Rescale with the residual's activations, Writer.

    With drain_width 1, bundles are single activations, one a cycle. With drain_width 4 they are the next up to four channels of a
    vector, or of few groups' only vectors, one a cycle; in layers with a residual or a max-pool, one every second cycle.

    The reader of the residual is always ahead of the writer: accumulator and residual activation enter `Rescale` together, so the
    word of the latter was read before, and the output's word of the same offset is complete no earlier than `Rescale.latency`
    cycles after. So an output may lie over the residual. It may lie over the layer's input as far as rows that are `done` go: the
    marker that says so is scanned behind all activations of the rows before it, whose words have then been read.

    Members
    -------
    rows_done: from each group. fetch, fetch_word: to each group. accumulators: from each group, `fetch_latency` later.
    row_drained: 1 in the cycle of a row's last fetch; finished: 1 once everything is written.
    turn, address, write, write_data, final, read_data: as in the Writer.
    load: as in Rescale; where the data memory has two ports, no row begins while it is active. granted: the residual may be read.
    """

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        self.wide = config.drain_width > 1
        self.fetch_latency = fetch_latency(config) + 2 * config.group_distance
        self.settle_cycles = self.fetch_latency + (5 if self.wide else 8)
        """From a last fetch's end until nothing is on its way to the writer, and the word before the last one is counted."""
        self.finish_cycles = self.fetch_latency + (10 if self.wide else 14)
        """From a last fetch's end until the flushed word has been written and counted."""
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
                "granted": In(1, init=1),
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
        config, layer, width = self.config, self.layer, self.config.drain_width
        slow = layer.residual | layer.pooled if self.wide else Const(0)
        m.submodules.walk = walk = RowWalk(config)
        settled = Signal(range(self.finish_cycles + 1))
        m.d.comb += [
            walk.layer.eq(layer),
            walk.slow.eq(slow),
            walk.hold.eq(self.load.active if config.data_ports == 2 else 0),
            walk.rows_done.eq(self.rows_done),
            self.fetch.eq(walk.fetch),
            self.fetch_word.eq(walk.fetch_word),
            self.row_drained.eq(walk.row_drained),
            self.finished.eq(walk.settling & (settled == self.finish_cycles)),
        ]
        with m.If(walk.settling):
            m.d.sync += settled.eq(settled + 1)

        # Fetched words arrive just when the activations of the one before are used up.
        fetched = [Signal(fetched_layout(config), name=f"fetched_{index}") for index in range(self.fetch_latency)]
        m.d.sync += [
            fetched[0].eq(walk.fetched),
            fetched[0].lanes.eq(Mux(walk.yields, walk.fetched.lanes, 0)),
            *(after.eq(before) for before, after in pairwise(fetched)),
        ]
        arrived = fetched[-1]
        held = Signal(data.ArrayLayout(signed(config.accumulator_bits), max(config.lanes, width)), reset_less=True)
        left = Signal(arrived.lanes.shape())
        in_last_column = Signal(reset_less=True)
        due, valid, taken = Signal(init=1), Signal(), Signal(range(width + 1))
        m.d.comb += [valid.eq((left != 0) & due), taken.eq(Mux(left > width, width, left))]
        with m.If(valid):
            m.d.sync += left.eq(left - taken)
            m.d.sync += [held[lane].eq(held[lane + width]) for lane in range(len(held) - width)]
        if self.wide:
            m.d.sync += due.eq(~valid | ~slow)
        activations = self._arrived(m, arrived.group)
        with m.If(arrived.lanes != 0):
            m.d.sync += [
                *(lane.eq(activation) for lane, activation in zip(held, activations, strict=True)),
                left.eq(arrived.lanes),
                in_last_column.eq(arrived.last_column),
            ]

        m.submodules.rescale = rescale = Rescale(config, self.tech)
        m.submodules.writer = writer = WideWriter(config) if self.wide else Writer(config)
        wiring.connect(m, wiring.flipped(self.load), rescale.load)
        bundle = data.StructLayout({"last_column": 1, "count": len(taken)} if self.wide else {"last_column": 1})
        bundles = [Signal(bundle, name=f"bundle_{index}", reset_less=True) for index in range(Rescale.latency + 1)]
        m.d.comb += bundles[0].last_column.eq(in_last_column)
        m.d.sync += [after.eq(before) for before, after in pairwise(bundles)]
        m.d.comb += [
            rescale.layer.eq(layer),
            rescale.i_valid.eq(valid),
            *(accumulator.eq(held[lane]) for lane, accumulator in enumerate(rescale.accumulators)),
            writer.layer.eq(layer),
            writer.valid.eq(rescale.o_valid),
            writer.last_channel.eq(rescale.o_last_channel),
            writer.last_column.eq(bundles[-1].last_column),
            writer.flush.eq(walk.settling & (settled == self.settle_cycles)),
            writer.turn.eq(self.turn),
            writer.read_data.eq(self.read_data),
            self.write.eq(writer.write),
            self.write_data.eq(writer.write_data),
            self.final.eq(writer.final),
        ]
        if self.wide:
            m.submodules.reader = reader = WindowReader(len(self.address))
            # In slow layers every second cycle is there to read; others have a word to write in every cycle.
            m.d.comb += [
                bundles[0].count.eq(taken),
                writer.count.eq(bundles[-1].count),
                writer.raws.eq(rescale.raws),
                rescale.residuals.eq(reader.window),
                reader.taken.eq(Mux(valid & layer.residual, taken, 0)),
                reader.turn.eq(layer.residual & ~self.turn & self.granted),
                self.address.eq(Mux(layer.residual & ~self.turn, reader.address, writer.address)),
            ]
        else:
            # The writer takes one turn in four cycles at most where it does not pool.
            m.submodules.reader = reader = Reader(len(self.address))
            m.d.comb += [
                writer.raw.eq(rescale.raws[0]),
                rescale.residuals[0].eq(reader.o.payload),
                reader.o.ready.eq(valid),
                reader.turn.eq(self.turn & layer.residual & ~writer.pending & self.granted),
                self.address.eq(Mux(writer.pending, writer.address, reader.address)),
            ]
        m.d.comb += [reader.base.eq(layer.residual_base), reader.read_data.eq(self.read_data)]
        return m

    def _arrived(self, m: Module, group: Signal) -> list[Value]:
        """The activations of the words that arrive from `group` on, in order."""
        config = self.config
        words = Array(self.accumulators[index] for index in range(config.groups))[group]
        found = [words[lane] if lane < config.lanes else Const(0) for lane in range(max(config.lanes, config.drain_width))]
        for channels in range(1, config.drain_width):
            together = config.fetched_groups(channels)
            if together == 1:
                continue
            # A register: a layer is known long before its first word arrives.
            few = Signal(name=f"groups_of_{channels}", reset_less=True)
            m.d.sync += few.eq(self.layer.group_channels == channels)
            for place in range(channels * together):
                member, lane = divmod(place, channels)
                several = Array(self.accumulators[index - index % together + member][lane] for index in range(config.groups))
                found[place] = Mux(few, several[group], found[place])
        return found
