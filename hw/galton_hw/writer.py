"""From raw activations to words of the output tensor, with max-pooling by read-modify-write."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import BYTE_BITS, LAYER, WORD_BITS, WORD_BYTES
from galton_hw.layout import layout


class Cells(wiring.Component):
    """Where words go: one behind the other, those of a pool window's pixels and rows back to the same cell.

    Members
    -------
    complete: a word goes out; pixel_end, row_end: so does a pixel's last activation, a row's. In pooled layers pixels are words.
    offset: of the word from the tensor's base; merge: it is to be merged with what stands there; final: it will not change again.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "complete": In(1),
                "pixel_end": In(1),
                "row_end": In(1),
                "offset": Out(ceil_log2(config.data_words)),
                "merge": Out(1),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer
        following, cell, row = Signal.like(self.offset), Signal.like(self.offset), Signal.like(self.offset)
        advanced = Signal.like(self.offset)
        window_x, window_y = Signal(layer.pool_x.shape()), Signal(layer.pool_y.shape())
        ends_x, ends_y = Signal(), Signal()
        m.d.comb += [
            self.offset.eq(following),
            self.merge.eq(layer.pooled & ((window_x != 0) | (window_y != 0))),
            self.final.eq(~layer.pooled | (ends_x & ends_y)),
            advanced.eq(following + 1),
            ends_x.eq(window_x == layer.pool_x),
            ends_y.eq(window_y == layer.pool_y),
        ]
        with m.If(self.complete):
            m.d.sync += following.eq(advanced)
        with m.If(layer.pooled & self.pixel_end):
            m.d.sync += window_x.eq(Mux(ends_x, 0, window_x + 1))
            with m.If(self.row_end):
                m.d.sync += window_y.eq(Mux(ends_y, 0, window_y + 1))
                with m.If(ends_y):
                    m.d.sync += [row.eq(advanced), cell.eq(advanced)]
                with m.Else():
                    m.d.sync += [following.eq(row), cell.eq(row)]
            with m.Elif(ends_x):
                m.d.sync += cell.eq(advanced)
            with m.Else():
                m.d.sync += following.eq(cell)
        return m


def largest(layer: data.View, merge: Value, new: Value, old: Value) -> Value:
    """Byte by byte the larger one of two words of output activations, or where there is nothing to `merge` the new one."""
    # Two's complement bytes compare like unsigned ones once their sign is flipped.
    flip = layer.signed_output << (BYTE_BITS - 1)
    pairs = [[value.word_select(index, BYTE_BITS) for value in (new, old)] for index in range(WORD_BYTES)]
    return Cat(Mux(merge & ((old ^ flip) > (new ^ flip)), old, new) for new, old in pairs)


class Writer(wiring.Component):
    """Packs raw activations into words and writes them to consecutive addresses, or takes the maximum over pool windows.

    Throughput one activation a cycle. A word goes out in the first cycle with `turn` after it is complete, or two cycles later
    where it is the maximum with what stands there; `turn` comes every second cycle and words at least four cycles apart.
    Words are written in ascending order but for pooling, which comes back to those of one output row until it is complete.

    Members
    -------
    valid, raw, last_channel, last_column: the next activation; whether it ends a pixel, and whether that pixel ends a row.
    flush: write the activations of the last, incomplete word.
    address, write, write_data, read_data: data memory; `final`: the word written will not change any more. pending: a word waits
        for its turn.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "valid": In(1),
                "raw": In(BYTE_BITS),
                "last_channel": In(1),
                "last_column": In(1),
                "flush": In(1),
                "turn": In(1),
                "address": Out(ceil_log2(config.data_words)),
                "write": Out(1),
                "write_data": Out(WORD_BITS),
                "read_data": In(WORD_BITS),
                "final": Out(1),
                "pending": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer

        # Bytes into words.
        place = Signal(range(WORD_BYTES))
        gathered = Signal(WORD_BITS - BYTE_BITS)
        word = Signal(WORD_BITS, reset_less=True)
        complete = Signal()
        m.d.comb += complete.eq((self.valid & (place == WORD_BYTES - 1)) | (self.flush & (place != 0)))
        with m.If(self.valid):
            m.d.sync += place.eq(place + 1)
            with m.Switch(place):
                for index in range(WORD_BYTES - 1):
                    with m.Case(index):
                        m.d.sync += gathered.word_select(index, BYTE_BITS).eq(self.raw)
                with m.Default():
                    m.d.sync += gathered.eq(0)

        # Where words go.
        m.submodules.cells = cells = Cells(self.config)
        target, merge, final = Signal.like(self.address, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        pending = Signal()
        m.d.comb += [
            self.pending.eq(pending),
            cells.layer.eq(layer),
            cells.complete.eq(complete),
            cells.pixel_end.eq(self.valid & self.last_channel),
            cells.row_end.eq(self.valid & self.last_channel & self.last_column),
        ]
        with m.If(complete):
            m.d.sync += [
                word.eq(Cat(gathered, Mux(self.valid, self.raw, 0))),
                target.eq(cells.offset),
                merge.eq(cells.merge),
                final.eq(cells.final),
            ]

        # Out with them.
        asked, old_valid = Signal(), Signal()
        old = Signal(WORD_BITS, reset_less=True)
        m.d.comb += [
            self.address.eq(layer.output_base + target),
            self.write.eq(self.turn & pending & (~merge | old_valid)),
            self.write_data.eq(largest(layer, merge, word, old)),
            self.final.eq(self.write & final),
        ]
        m.d.sync += asked.eq(self.turn & pending & merge & ~old_valid)
        with m.If(asked):
            m.d.sync += [old.eq(self.read_data), old_valid.eq(1)]
        with m.If(self.write):
            m.d.sync += [pending.eq(0), old_valid.eq(0)]
        with m.If(complete):
            m.d.sync += pending.eq(1)
        return m
