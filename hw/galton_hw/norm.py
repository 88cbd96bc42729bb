"""The L1 norm of a tensor, accumulated while it is written."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, NORM_BITS, WORD_BITS, WORD_BYTES


class Norm(wiring.Component):
    """total += sum of the magnitudes in a word that reach the dead zone (arith.norm).

    A word is taken in a cycle with `write` and counted in the four cycles after it, so words may come every fourth cycle; where
    `wide`, it is counted four cycles later, and words may come in every cycle.

    Parameters: `wide`.
    Members: `word`, `write`; `signed_raw`, `dead_zone` constant meanwhile; `clear` sets `total` to 0.
    """

    def __init__(self, *, wide: bool = False) -> None:
        self.wide = wide
        self.latency = 4 if wide else 1 + WORD_BYTES
        """Cycles from `write` until the total has all of the word."""
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

    def _counted(self, byte: Value) -> Value:
        """What an activation adds to the norm."""
        magnitude = Mux(self.signed_raw & byte[-1], -byte, byte)[:BYTE_BITS]
        return Mux(magnitude < self.dead_zone, 0, magnitude)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = Signal(NORM_BITS)
        m.d.comb += self.total.eq(total)
        if self.wide:
            parts = [Signal(BYTE_BITS, name=f"part_{index}") for index in range(WORD_BYTES)]
            word = Signal(BYTE_BITS + 2)
            taken = Signal(WORD_BITS)
            m.d.sync += taken.eq(Mux(self.write, self.word, 0))
            for index, part in enumerate(parts):
                m.d.sync += part.eq(self._counted(taken.word_select(index, BYTE_BITS)))
            m.d.sync += [word.eq((parts[0] + parts[1]) + (parts[2] + parts[3])), total.eq(total + word)]
        else:
            # Bytes that have been counted leave zeros behind, which count nothing: no counter is needed.
            rest = Signal(WORD_BITS)
            m.d.sync += [rest.eq(rest[BYTE_BITS:]), total.eq(total + self._counted(rest[:BYTE_BITS]))]
            with m.If(self.write):
                m.d.sync += rest.eq(self.word)
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        return m
