"""zlib's CRC-32, a bit a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import CRC_POLYNOMIAL, WORD_BITS


class Crc(wiring.Component):
    """The CRC-32 of all bits since `clear`, low bit of each byte first.

    Members
    -------
    clear: begin anew. shift: take `bit`; or, with `turn`, show the next bit instead.
    out: the CRC's next bit, low bit first; after 32 turns it is as it was before.
    """

    def __init__(self) -> None:
        super().__init__({**{name: In(1) for name in ("clear", "shift", "bit", "turn")}, "out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = Signal(WORD_BITS, init=-1)
        m.d.comb += self.out.eq(~value[0])
        divides = (value[0] ^ self.bit) & ~self.turn
        moved = Cat(value[1:], self.turn & value[0])
        with m.If(self.clear):
            m.d.sync += value.eq(value.init)
        with m.Elif(self.shift):
            m.d.sync += value.eq(moved ^ Mux(divides, CRC_POLYNOMIAL, 0))
        return m
