"""Tensors from the data memory, byte after byte."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, WORD_BITS, WORD_BYTES


class Reader(wiring.Component):
    """The bytes of the data memory from word `base` on, up to one a cycle, without end.

    It may read in cycles with `turn`, no two of which follow each other, and keeps `ahead` words beside the one at hand. Where
    every second cycle is a turn, one word ahead is enough for a byte in every cycle from the third one after reset on: a word
    lasts four cycles, and the next one is fetched in at most four. With two ahead one turn in any four cycles is enough.

    Members: `address`, `read_data` (a cycle later), `turn`; stream `o` of bytes.
    """

    def __init__(self, address_bits: int, ahead: int = 1) -> None:
        self.ahead = ahead
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
        current, current_valid = Signal(WORD_BITS, reset_less=True), Signal()
        words = [Signal(WORD_BITS, name=f"word_{index}", reset_less=True) for index in range(self.ahead)]
        valid = [Signal(name=f"valid_{index}") for index in range(self.ahead)]
        place = Signal(range(WORD_BYTES))
        moves = Signal()

        m.d.comb += [
            self.address.eq(self.base + offset),
            self.o.valid.eq(current_valid),
            self.o.payload.eq(current.word_select(place, BYTE_BITS)),
            moves.eq(~current_valid | (self.o.ready & (place == WORD_BYTES - 1))),
        ]
        m.d.sync += asked.eq(0)
        with m.If(self.turn & ~valid[-1] & ~asked):
            m.d.sync += [asked.eq(1), offset.eq(offset + 1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(place + 1)
        with m.If(moves):
            m.d.sync += [current.eq(words[0]), current_valid.eq(valid[0]), valid[-1].eq(0)]
            m.d.sync += [words[index].eq(words[index + 1]) for index in range(self.ahead - 1)]
            m.d.sync += [valid[index].eq(valid[index + 1]) for index in range(self.ahead - 1)]
        # What was asked for goes to the first place that is free after the move.
        free = [~Mux(moves, after, now) for now, after in zip(valid, [*valid[1:], 0], strict=True)]
        for index in range(self.ahead):
            with m.If(asked & free[index] & (1 if index == 0 else ~free[index - 1])):
                m.d.sync += [words[index].eq(self.read_data), valid[index].eq(1)]
        return m
