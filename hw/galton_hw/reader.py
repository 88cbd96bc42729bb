"""Tensors from the data memory, byte after byte or a few of them at once."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
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
            self.o.payload.eq(current[:BYTE_BITS]),
            moves.eq(~current_valid | (self.o.ready & (place == WORD_BYTES - 1))),
        ]
        m.d.sync += asked.eq(self.turn)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [place.eq(place + 1), current[:-BYTE_BITS].eq(current[BYTE_BITS:])]
        with m.If(moves):
            m.d.sync += [current.eq(following), current_valid.eq(following_valid), following_valid.eq(0)]
        with m.If(asked & (moves | ~following_valid)):
            m.d.sync += [following.eq(self.read_data), following_valid.eq(1), offset.eq(offset + 1)]
        return m


class WindowReader(wiring.Component):
    """The next four bytes of the data memory from word `base` on, of which any number is taken in a cycle, without end.

    It reads in every cycle with `turn` for which it has room: a window covers two words at most, and a third one is on its way.
    Where every cycle is a turn there is a window in every cycle from the third one on, whatever is taken.
    A word is read once, before its first byte is in a window, as the other reader does.

    Members: `address`, `read_data` (a cycle later), `turn`; `valid`, `window`, and `taken`, how many of the window's bytes are
    used up in this cycle: 0 while not `valid`.
    """

    first_window = 2
    """Cycles from the first turn to the first window, where every cycle is a turn."""

    def __init__(self, address_bits: int) -> None:
        super().__init__(
            {
                "base": In(address_bits),
                "turn": In(1),
                "address": Out(address_bits),
                "read_data": In(WORD_BITS),
                "valid": Out(1),
                "window": Out(data.ArrayLayout(BYTE_BITS, WORD_BYTES)),
                "taken": In(range(WORD_BYTES + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset = Signal.like(self.address)
        asks, asked, leaves = Signal(), Signal(), Signal()
        words = [Signal(WORD_BITS, name=f"word_{index}", reset_less=True) for index in range(3)]
        held, kept = Signal(range(len(words) + 1)), Signal(range(len(words) + 1))
        place, following = Signal(range(WORD_BYTES)), Signal(range(2 * WORD_BYTES))
        m.d.comb += [
            self.address.eq(self.base + offset),
            self.valid.eq((held > 1) | ((held == 1) & (place == 0))),
            self.window.as_value().eq(Cat(*words[:2]) >> (place * BYTE_BITS)),
            following.eq(place + self.taken),
            leaves.eq(following >= WORD_BYTES),
            kept.eq(held - leaves),
            # A word asked for now finds a place whatever is taken until it arrives.
            asks.eq(self.turn & (kept + asked < len(words))),
        ]
        m.d.sync += [
            asked.eq(asks),
            offset.eq(offset + asks),
            place.eq(following),
            held.eq(kept + asked),
        ]
        for index, word in enumerate(words):
            with m.If(asked & (kept == index)):
                m.d.sync += word.eq(self.read_data)
            if index + 1 < len(words):
                with m.Elif(leaves):
                    m.d.sync += word.eq(words[index + 1])
        return m
