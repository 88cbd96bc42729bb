"""From raw activations to words of the output tensor, with max-pooling by read-modify-write."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import BYTE_BITS, LAYER, WORD_BITS, WORD_BYTES
from galton_hw.layout import layout


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

        # Where words go. Offsets count from the tensor's base; a pool window's pixels and rows come back to the same cell.
        following, cell, row = Signal.like(self.address), Signal.like(self.address), Signal.like(self.address)
        advanced, target = Signal.like(self.address), Signal.like(self.address, reset_less=True)
        window_x, window_y = Signal(layer.pool_x.shape()), Signal(layer.pool_y.shape())
        ends_x, ends_y, ends_row = Signal(), Signal(), Signal()
        pending, merge, final = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += self.pending.eq(pending)
        m.d.comb += [
            advanced.eq(following + 1),
            ends_x.eq(window_x == layer.pool_x),
            ends_y.eq(window_y == layer.pool_y),
            ends_row.eq(self.valid & self.last_channel & self.last_column),
        ]
        with m.If(complete):
            m.d.sync += [
                word.eq(Cat(gathered, Mux(self.valid, self.raw, 0))),
                target.eq(following),
                merge.eq(layer.pooled & ((window_x != 0) | (window_y != 0))),
                final.eq(~layer.pooled | (ends_x & ends_y)),
                following.eq(advanced),
            ]
        with m.If(layer.pooled & self.valid & self.last_channel):
            m.d.sync += window_x.eq(Mux(ends_x, 0, window_x + 1))
            with m.If(ends_row):
                m.d.sync += window_y.eq(Mux(ends_y, 0, window_y + 1))
                with m.If(ends_y):
                    m.d.sync += [row.eq(advanced), cell.eq(advanced)]
                with m.Else():
                    m.d.sync += [following.eq(row), cell.eq(row)]
            with m.Elif(ends_x):
                m.d.sync += cell.eq(advanced)
            with m.Else():
                m.d.sync += following.eq(cell)

        # Out with them.
        asked, old_valid = Signal(), Signal()
        old = Signal(WORD_BITS, reset_less=True)
        largest = Signal(WORD_BITS)
        for index in range(WORD_BYTES):
            new_byte, old_byte = (value.word_select(index, BYTE_BITS) for value in (word, old))
            # Two's complement bytes compare like unsigned ones once their sign is flipped.
            flip = layer.signed_output << (BYTE_BITS - 1)
            m.d.comb += largest.word_select(index, BYTE_BITS).eq(
                Mux(merge & ((old_byte ^ flip) > (new_byte ^ flip)), old_byte, new_byte)
            )
        m.d.comb += [
            self.address.eq(layer.output_base + target),
            self.write.eq(self.turn & pending & (~merge | old_valid)),
            self.write_data.eq(largest),
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
