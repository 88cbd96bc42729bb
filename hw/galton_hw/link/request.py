"""The request that is being carried out: a register that turns, and counts as it turns."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import REQUEST, WORD_BITS
from galton_hw.layout import field_bits

REGISTER_BITS = field_bits(REQUEST, "register")
REGISTER, MOVING, WRITE, COUNT = (REQUEST.places[name][1] for name in ("register", "moving", "write", "count"))
assert REGISTER == 0 and all(REQUEST.places[name][0] == 0 for name in ("register", "moving", "write", "sequence", "count"))
assert COUNT + field_bits(REQUEST, "count") == WORD_BITS


class Request(wiring.Component):
    """The first word of REQUEST.

    It turns with every `shift`: `place` counts them, from 0 to 31, where the word is in its place again. `load` takes `bit`
    instead; `advance` goes to the next word: a count less one and, of a moving read, the next register.

    Members, as they are at place 0: `register`, `write`; `more`, the count is not 0; `out`, the bit that passes next.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "place": In(range(WORD_BITS)),
                **{name: In(1) for name in ("shift", "bit", "load", "advance")},
                "register": Out(REGISTER_BITS),
                **{name: Out(1) for name in ("write", "more", "out")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held, carry, more = Signal(WORD_BITS, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        counts = self.place >= COUNT
        m.d.comb += [
            self.register.eq(held[:REGISTER_BITS]),
            self.write.eq(held[WRITE]),
            self.more.eq(more),
        ]
        # Serial arithmetic: one is added to the register's bits, then taken from the count's.
        begins = self.place[: (COUNT - 1).bit_length()] == 0
        carries = self.advance & Mux(begins, counts | (held[MOVING] & ~held[WRITE]), carry)
        after = held[0] ^ carries
        m.d.comb += self.out.eq(after)
        with m.If(self.shift):
            entering = Mux(self.load, self.bit, after)
            m.d.sync += [
                held.eq(Cat(held[1:], entering)),
                carry.eq(carries & (held[0] ^ counts) & (self.place != REGISTER_BITS - 1)),
            ]
            with m.If(counts):
                m.d.sync += more.eq(entering | (more & ~begins))
        return m
