"""Consistent overhead byte stuffing, a bit a cycle: frames from a host decoded, groups of five bytes encoded.

S. Cheshire, M. Baker: Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on Networking 7 (1999).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, WORD_BYTES

FULL = (1 << BYTE_BITS) - 1
"""The code of a block that no zero follows."""


class Decoder(wiring.Component):
    """The bytes of a frame as bits, low bit first, eight in eight cycles, from the cycle after the byte of COBS that tells them.

    Members: `i`, bytes as they come, each taken eight cycles after it is seen, a zero at once; `start` while a zero is taken;
    `valid` and `bit`. Whoever listens must keep up.
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(BYTE_BITS)), "start": Out(1), "valid": Out(1), "bit": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Bytes of the block yet to come, and whether there are any.
        left, inside = Signal(BYTE_BITS), Signal()
        # A zero comes between this block and the next.
        gap = Signal()
        running, index = Signal(), Signal(range(BYTE_BITS))
        some, all_ones, borrow = Signal(), Signal(), Signal()
        first, last = index == 0, index == BYTE_BITS - 1

        bit = self.i.payload.bit_select(index, 1)
        # A code less one is what is left; each byte of the block takes one more away. Serially: a turn of the register.
        before = Mux(inside, left[0], bit)
        borrows = first | borrow
        after = before ^ borrows
        some_now = after | (some & ~first)
        ones_now = bit & (all_ones | first)
        m.d.comb += [
            self.start.eq(self.i.valid & (self.i.payload == 0)),
            self.i.ready.eq(self.start | (running & last)),
            self.valid.eq(running & (inside | gap)),
            self.bit.eq(bit & inside),
        ]
        with m.If(running):
            m.d.sync += [
                index.eq(index + 1),
                left.eq(Cat(left[1:], after)),
                borrow.eq(borrows & ~before),
                some.eq(some_now),
                all_ones.eq(ones_now),
            ]
            with m.If(last):
                m.d.sync += [running.eq(0), inside.eq(some_now)]
                with m.If(~inside):
                    m.d.sync += gap.eq(~ones_now)
        with m.Elif(self.i.valid):
            m.d.sync += running.eq(1)
        with m.If(self.start):
            m.d.sync += [running.eq(0), inside.eq(0), gap.eq(0)]
        return m


class Group(wiring.Component):
    """What a word and a zero byte after it are in COBS, whatever was before: a code, then each byte or the code in its place.

    A word enters, then five bytes leave; then the next word may enter.

    Members
    -------
    shift, bit: the word on its way in, low bit first, `last` with the last bit of a byte.
    next: to the next of the five bytes. literal: this one is a byte of the word; otherwise it is `code`.
    """

    def __init__(self) -> None:
        ports = {name: In(1) for name in ("shift", "bit", "last", "next")}
        super().__init__({**ports, "literal": Out(1), "code": Out(range(WORD_BYTES + 2))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        some = Signal()
        # Whether the word's bytes are other than zero, the next one lowest; below it the place of the group's own code.
        nonzero = Signal(1 + WORD_BYTES)
        some_now = some | self.bit
        m.d.comb += self.literal.eq(nonzero[0])
        m.d.comb += self.code.eq(1)
        for run in range(1, WORD_BYTES + 1):
            with m.If(nonzero[1 : 1 + run].all()):
                m.d.comb += self.code.eq(run + 1)
        with m.If(self.shift):
            m.d.sync += some.eq(some_now & ~self.last)
        with m.If((self.shift & self.last) | self.next):
            m.d.sync += nonzero.eq(Cat(nonzero[1:], some_now & ~self.next))
        return m
