"""The L1 norm of a tensor, accumulated while it is written."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, NORM_BITS, WORD_BITS, WORD_BYTES


class Norm(wiring.Component):
    """total += sum of the magnitudes in a word that reach the dead zone (arith.norm).

    A word is taken in a cycle with `write` and counted in the four cycles after it, so words may come every fourth cycle.

    Members: `word`, `write`; `signed_raw`, `dead_zone` constant meanwhile; `clear` sets `total` to 0.
    """

    latency = 1 + WORD_BYTES

    def __init__(self) -> None:
        super().__init__(
            {
                "write": In(1),
                "word": In(WORD_BITS),
                "signed_raw": In(1),
                "dead_zone": In(BYTE_BITS),
                "clear": In(1),
                "total": Out(NORM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Bytes that have been counted leave zeros behind, which count nothing: no counter is needed.
        rest = Signal(WORD_BITS)
        byte, magnitude = rest[:BYTE_BITS], Signal(BYTE_BITS)
        total = Signal(NORM_BITS)
        m.d.comb += [magnitude.eq(Mux(self.signed_raw & byte[-1], -byte, byte)), self.total.eq(total)]
        m.d.sync += [rest.eq(rest[BYTE_BITS:]), total.eq(total + Mux(magnitude < self.dead_zone, 0, magnitude))]
        with m.If(self.write):
            m.d.sync += rest.eq(self.word)
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        return m
