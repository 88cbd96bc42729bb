"""Inputs and outputs through registers: two queues and their levels."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import BUS_REGISTERS, QUEUE, WORD_BITS
from galton_hw.bus.access import AccessSignature
from galton_hw.fifo import Fifo
from galton_hw.layout import field_bits, layout


class Queues(wiring.Component):
    """Accesses of BUS_REGISTERS, each answered at once: a full queue, or an empty one, is an `error`, never a wait.

    Both queues are empty while the core is disabled. Any other access than writes of `input` with all strobes, reads of `output`
    and reads of `queue` is an `error`.

    Parameters: `depth` of each queue, as in Fifo. Raises ValueError where QUEUE cannot show it.
    Members: `i`, the accesses; `words`, `results`, the core's streams; `last` and `enabled` as the core says; `waiting`, `output`
    has a word.
    """

    def __init__(self, depth: int = 16) -> None:
        if depth >> field_bits(QUEUE, "space"):
            raise ValueError(f"QUEUE shows less than {1 << field_bits(QUEUE, 'space')} words, not {depth}")
        self.depth = depth
        super().__init__(
            {
                "i": In(AccessSignature()),
                "words": Out(stream.Signature(WORD_BITS)),
                "results": In(stream.Signature(WORD_BITS)),
                "last": In(1),
                "enabled": In(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access = self.i
        entering, leaving = Fifo(WORD_BITS, self.depth), Fifo(WORD_BITS + 1, self.depth)
        m.submodules.entering = ResetInserter(~self.enabled)(entering)
        m.submodules.leaving = ResetInserter(~self.enabled)(leaving)
        wiring.connect(m, entering.o, wiring.flipped(self.words))

        puts, gets = Signal(), Signal()
        shown = Signal(layout(QUEUE))
        with m.If(self.enabled):
            m.d.comb += [
                puts.eq(access.valid & access.write & access.strobes.all() & (access.number == BUS_REGISTERS["input"])),
                gets.eq(access.valid & ~access.write & (access.number == BUS_REGISTERS["output"])),
                self.waiting.eq(leaving.o.valid),
                leaving.i.valid.eq(self.results.valid),
                self.results.ready.eq(leaving.i.ready),
            ]
        m.d.comb += [
            entering.i.valid.eq(puts),
            entering.i.payload.eq(access.write_data),
            leaving.i.payload.eq(Cat(self.results.payload, self.last)),
            leaving.o.ready.eq(gets),
            access.ready.eq(access.valid),
            access.error.eq(1),
            access.read_data.eq(leaving.o.payload[:WORD_BITS]),
        ]
        with m.If(puts):
            m.d.comb += access.error.eq(~entering.i.ready)
        with m.If(gets):
            m.d.comb += access.error.eq(~leaving.o.valid)
        with m.If(~access.write & (access.number == BUS_REGISTERS["queue"])):
            m.d.comb += [access.error.eq(0), access.read_data.eq(shown.as_value())]

        # A word that has just come is not offered yet.
        inside, waiting = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))
        arriving = Signal()
        with m.If(self.enabled):
            m.d.sync += [
                inside.eq(inside + (puts & entering.i.ready) - (entering.o.valid & entering.o.ready)),
                arriving.eq(leaving.i.valid & leaving.i.ready),
                waiting.eq(waiting + arriving - (leaving.o.valid & leaving.o.ready)),
            ]
            m.d.comb += [
                shown.space.eq(self.depth - inside),
                shown.waiting.eq(waiting),
                shown.last.eq(leaving.o.valid & leaving.o.payload[WORD_BITS]),
            ]
        with m.Else():
            m.d.sync += [inside.eq(0), waiting.eq(0), arriving.eq(0)]
        return m
