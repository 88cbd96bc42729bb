"""From bundles of raw activations to words of the output tensor, up to a word a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import BYTE_BITS, LAYER, WORD_BITS, WORD_BYTES
from galton_hw.layout import layout
from galton_hw.writer import Cells, largest


class WideWriter(wiring.Component):
    """Packs bundles of one to four raw activations into words and writes them to consecutive addresses, or takes the maximum over
    pool windows.

    A word is written in the cycle after the bundle that completes it; in layers with a residual in the first one of these with
    `turn`. In pooled layers a word is read in the first cycle without `turn`, and written three cycles after that. There
    bundles come every second cycle at most, as `turn` does.

    Members
    -------
    valid, raws, count, last_channel, last_column: the next bundle, its first `count` activations; whether it ends a pixel, and
        whether that pixel ends a row.
    flush: write the activations of the last, incomplete word.
    address, write, write_data, read_data: data memory; `final`: the word written will not change any more. In layers with a
        residual nothing is to be read without `turn`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "valid": In(1),
                "raws": In(data.ArrayLayout(BYTE_BITS, WORD_BYTES)),
                "count": In(range(WORD_BYTES + 1)),
                "last_channel": In(1),
                "last_column": In(1),
                "flush": In(1),
                "turn": In(1),
                "address": Out(ceil_log2(config.data_words)),
                "write": Out(1),
                "write_data": Out(WORD_BITS),
                "read_data": In(WORD_BITS),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer

        # Bytes into words: behind those at hand, zeros behind the last one.
        held, place = Signal((WORD_BYTES - 1) * BYTE_BITS), Signal(range(WORD_BYTES))
        joined, following = Signal((2 * WORD_BYTES - 1) * BYTE_BITS), Signal(range(2 * WORD_BYTES))
        complete = Signal()
        raws = Cat(Mux(index < self.count, raw, Const(0, BYTE_BITS)) for index, raw in enumerate(self.raws))
        m.d.comb += [
            joined.eq(held | Mux(self.valid, raws << (place * BYTE_BITS), 0)),
            following.eq(place + self.count),
            complete.eq((self.valid & (following >= WORD_BYTES)) | (self.flush & (place != 0))),
        ]
        with m.If(self.valid):
            m.d.sync += [
                place.eq(following),
                held.eq(Mux(following >= WORD_BYTES, joined[WORD_BITS:], joined)),
            ]

        # A word to write, or in pooled layers to read first.
        item = data.StructLayout({"word": WORD_BITS, "offset": len(self.address), "merge": 1, "final": 1})
        first, second, third = (Signal(item, name=name, reset_less=True) for name in ("first", "second", "third"))
        pending, asked, known = Signal(), Signal(), Signal()
        old, merged = Signal(WORD_BITS, reset_less=True), Signal(WORD_BITS)
        m.submodules.cells = cells = Cells(self.config)
        m.d.comb += [
            cells.layer.eq(layer),
            cells.complete.eq(complete),
            cells.pixel_end.eq(self.valid & self.last_channel),
            cells.row_end.eq(self.valid & self.last_channel & self.last_column),
            merged.eq(largest(layer, third.merge, third.word, old)),
        ]
        with m.If(complete):
            m.d.sync += [
                first.word.eq(joined),
                first.offset.eq(cells.offset),
                first.merge.eq(cells.merge),
                first.final.eq(cells.final),
            ]
        leaves = Mux(layer.pooled, ~self.turn, ~layer.residual | self.turn)
        m.d.sync += [
            pending.eq(complete | (pending & ~leaves)),
            asked.eq(layer.pooled & pending & ~self.turn),
            known.eq(asked | (known & ~self.turn)),
            second.eq(first),
        ]
        with m.If(asked):
            # What the word before leaves in the same place is on its way there only now.
            again = known & (third.offset == second.offset)
            m.d.sync += [third.eq(second), old.eq(Mux(again, merged, self.read_data))]
        m.d.comb += [
            self.write.eq(Mux(layer.pooled, known & self.turn, pending & leaves)),
            self.write_data.eq(Mux(layer.pooled, merged, first.word)),
            self.address.eq(layer.output_base + Mux(layer.pooled & self.turn, third.offset, first.offset)),
            self.final.eq(self.write & Mux(layer.pooled, third.final, first.final)),
        ]
        return m
