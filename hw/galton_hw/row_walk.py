"""The walk of the drain: which accumulator words of a finished row it takes, from which groups, and when."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER
from galton_hw.layout import field_bits, layout


def fetched_layout(config: Config) -> data.StructLayout:
    """What a fetch yields: the first `lanes` activations of `group`'s word, or where it takes several groups' words at once
    (Config.fetched_groups) `lanes` of all; whether the pixel is the last one of its row."""
    return data.StructLayout(
        {
            "lanes": range(max(config.lanes, config.drain_width) + 1),
            "group": range(max(config.groups, 2)),
            "last_column": 1,
        }
    )


class RowWalk(wiring.Component):
    """A finished row's accumulator words: left border, pixels (groups, vectors), right border; borders are only cleared.

    A fetch takes a cycle for each bundle of `drain_width` activations that it yields, or two where `slow`; a border word takes
    one. Fetches of one row follow each other without a gap; a row begins one cycle after `rows_done` shows it in every group, but
    no earlier than two cycles after the last fetch of the row before, nor than that one's activations are out.

    Members
    -------
    layer, slow: constant from reset on. hold: no row begins. rows_done: from each group.
    fetch, fetch_word: to each group. yields: a fetch of a pixel, of what `fetched` says.
    row_drained: 1 in the cycle of a row's last fetch. settling: all rows are done, and the last fetch's cycles are over.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "slow": In(1),
                "hold": In(1),
                "rows_done": In(data.ArrayLayout(field_bits(LAYER, "output_rows"), config.groups)),
                "fetch": Out(config.groups),
                "fetch_word": Out(ceil_log2(config.accumulator_words)),
                "yields": Out(1),
                "fetched": Out(fetched_layout(config)),
                "row_drained": Out(1),
                "settling": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, lanes, group = self.config, self.layer, self.fetched.lanes, self.fetched.group
        ring, word, pixel = (Signal(len(self.fetch_word), name=name) for name in ("ring", "word", "pixel"))
        count = Signal(max(len(layer.left_words), len(layer.output_columns)))
        vector = Signal(layer.vectors.shape())
        walked = Signal(range(max(config.groups, 2)))
        remaining = Signal(layer.group_channels.shape())
        drained = Signal(len(self.rows_done[0]))
        ready, border, last_group = Signal(), Signal(), Signal()
        next_ring = Signal(len(ring) + 1)
        m.d.comb += [
            group.eq(walked),
            lanes.eq(Mux(remaining > config.lanes, config.lanes, remaining)),
            last_group.eq(walked == config.groups - 1),
            ready.eq(Cat(rows != drained for rows in self.rows_done).all() & ~self.hold),
            next_ring.eq(ring + layer.row_words),
            self.fetch_word.eq(word),
            self.fetched.last_column.eq(count == layer.output_columns),
            *(self.fetch[index].eq(border | (self.yields & (walked == index))) for index in range(config.groups)),
        ]
        # Where a fetch takes several groups' words, it is the one of all their few channels.
        step = Signal(range(config.groups + 1), init=1)
        m.d.comb += step.eq(1)
        for channels in range(1, config.drain_width):
            together = config.fetched_groups(channels)
            if together > 1:
                with m.If(layer.group_channels == channels):
                    m.d.comb += [
                        step.eq(together),
                        lanes.eq(channels * together),
                        last_group.eq(walked == config.groups - together),
                    ]
                    for index in range(config.groups):
                        m.d.comb += self.fetch[index].eq(border | (self.yields & (walked == index - index % together)))

        cycles, most = lanes, config.lanes
        if config.drain_width > 1:
            bundles = (lanes + config.drain_width - 1) >> ceil_log2(config.drain_width)
            cycles, most = Mux(self.slow, bundles << 1, bundles), -(-config.lanes // config.drain_width) * 2
        pause = Signal(range(most))
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)

        def end_row() -> None:
            m.d.comb += self.row_drained.eq(1)
            m.d.sync += [drained.eq(drained + 1), ring.eq(Mux(next_ring == layer.ring_words, 0, next_ring))]
            m.next = "WAIT"
            with m.If(drained + 1 == layer.output_rows):
                m.next = "SETTLE"

        with m.If(border | self.yields):
            m.d.sync += word.eq(word + 1)
        with m.FSM():
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
                m.d.comb += self.yields.eq(1)
                m.d.sync += [pause.eq(cycles - 1), vector.eq(vector + 1), remaining.eq(remaining - config.lanes)]
                with m.If(vector == layer.vectors):
                    m.d.sync += [vector.eq(0), remaining.eq(layer.group_channels), walked.eq(walked + step), word.eq(pixel)]
                    with m.If(last_group):
                        m.d.sync += [walked.eq(0), word.eq(word + 1), pixel.eq(word + 1), count.eq(count + 1)]
                        with m.If(self.fetched.last_column):
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
                m.d.comb += self.settling.eq(1)
        return m
