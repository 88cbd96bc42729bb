"""Tensors from the data memory, byte after byte."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, WORD_BITS, WORD_BYTES


class Reader(wiring.Component):
    """The bytes of the data memory from word `base` on, up to one a cycle, without end.

    It reads in every cycle with `turn`, no two of which follow each other, and keeps what it has room for: a word at hand and one
    ahead. Where turns are at most four cycles apart there is a byte in every cycle from the first one on: a word lasts four
    cycles, and a place that becomes free too late for one turn is filled at the next, while the other word still has a byte.

    A word is read once, in whole, before its first byte is given: it may be overwritten from then on. That is what lets an output
    lie over its layer's own operands (galton.compiler.place).

    Members: `address`, `read_data` (a cycle later), `turn`; stream `o` of bytes.
    """

    def __init__(self, address_bits: int) -> None:
        super().__init__(
            {
                "base": In(address_bits),
                "turn": In(1),
                "address": Out(address_bits),
                "read_data": In(WORD_BITS),
                "o": Out(stream.Signature(BYTE_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset = Signal.like(self.address)
        asked = Signal()
        following, current = Signal(WORD_BITS, reset_less=True), Signal(WORD_BITS, reset_less=True)
        following_valid, current_valid = Signal(), Signal()
        place = Signal(range(WORD_BYTES))
        moves = Signal()

        m.d.comb += [
            self.address.eq(self.base + offset),
            self.o.valid.eq(current_valid),
            self.o.payload.eq(current.word_select(place, BYTE_BITS)),
            moves.eq(~current_valid | (self.o.ready & (place == WORD_BYTES - 1))),
        ]
        m.d.sync += asked.eq(self.turn)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(place + 1)
        with m.If(moves):
            m.d.sync += [current.eq(following), current_valid.eq(following_valid), following_valid.eq(0)]
        with m.If(asked & (moves | ~following_valid)):
            m.d.sync += [following.eq(self.read_data), following_valid.eq(1), offset.eq(offset + 1)]
        return m
