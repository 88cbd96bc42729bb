"""Bytes on a serial line: one start bit, eight data bits, low bit first, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS

MINIMUM_DIVIDER = 12
"""Fewest clock cycles of a bit: a byte stands that long, and galton_hw.link.cobs takes it in ten."""

CLOCKED_DIVIDER = 8
"""Clock cycles of a bit from a flash: from the edge of the clock to the middle of the bit there are the way out and back, two
cycles at the least, and the synchronizer."""


def _divider(divider: int) -> int:
    if divider < MINIMUM_DIVIDER:
        raise ValueError(f"A bit must last at least {MINIMUM_DIVIDER} cycles, not {divider!r}")
    return divider


class Receiver(wiring.Component):
    """Bytes from a line, each bit read in its middle.

    What is over before the middle of a start bit is noise and starts nothing. A byte without its stop bit is dropped. A byte that
    nobody takes is lost with the next start bit.

    With `clocked`, bytes have neither start nor stop bit: each bit has a pulse of `clock`, after which the line shows the next
    one, and a byte begins when the last one was taken. With `fast` too, a bit lasts CLOCKED_DIVIDER cycles.

    Parameters: `divider`, clock cycles of a bit, at least MINIMUM_DIVIDER; ValueError otherwise.
    Members: `line`, asynchronous, 1 at rest; `o`, the bytes; `clocked`, `fast`, `clock`, see above; `bit`, the line as it is
    read; `next`: `clock` falls, `bit` is still what it was.
    """

    def __init__(self, divider: int) -> None:
        self.divider = _divider(divider)
        inputs, outputs = {"clocked": In(1), "fast": In(1)}, {"clock": Out(1), "bit": Out(1), "next": Out(1)}
        super().__init__({"line": In(1, init=1), "o": Out(stream.Signature(BYTE_BITS)), **inputs, **outputs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        timer = Signal(range(self.divider))
        busy, begun, valid, clock = Signal(), Signal(), Signal(), Signal()
        middle = timer == Mux(self.fast, CLOCKED_DIVIDER // 2 - 1, self.divider // 2 - 1)
        end = timer == Mux(self.fast, CLOCKED_DIVIDER - 1, self.divider - 1)
        # A one goes ahead of the data; when it is at the low end, all are there.
        held = Signal(BYTE_BITS + 1)
        m.d.comb += [
            self.o.payload.eq(held[1:]),
            self.o.valid.eq(valid),
            self.clock.eq(clock),
            self.bit.eq(line),
            self.next.eq(clock & end),
        ]
        with m.If(self.o.ready):
            m.d.sync += valid.eq(0)

        m.d.sync += timer.eq(timer + 1)
        with m.If(~busy | end):
            m.d.sync += [timer.eq(0), clock.eq(0)]
        with m.If(~busy):
            m.d.sync += [busy.eq(Mux(self.clocked, ~valid, ~line)), begun.eq(0)]
        with m.Elif(middle):
            with m.If(~begun):
                m.d.sync += [busy.eq(self.clocked | ~line), begun.eq(1), valid.eq(0), held.eq(1 << BYTE_BITS)]
            with m.Elif(held[0]):
                m.d.sync += [busy.eq(0), valid.eq(self.clocked | line)]
            with m.Else():
                m.d.sync += [held.eq(Cat(held[1:], line)), clock.eq(self.clocked)]
        return m


class Transmitter(wiring.Component):
    """Bytes to a line; a byte is taken at the end of a bit.

    Parameters: `divider` as in Receiver. Members: `i`, the bytes; `line`, 1 at rest.
    """

    def __init__(self, divider: int) -> None:
        self.divider = _divider(divider)
        super().__init__({"i": In(stream.Signature(BYTE_BITS)), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self.divider))
        tick = timer == self.divider - 1
        # Start bit, data, and a one that becomes the stop bit and the line at rest.
        held = Signal(BYTE_BITS + 2, init=1)
        resting = ~held[1:].any()
        m.d.sync += timer.eq(Mux(tick, 0, timer + 1))
        m.d.comb += [self.line.eq(held[0]), self.i.ready.eq(tick & resting)]
        with m.If(tick & resting & self.i.valid):
            m.d.sync += held.eq(Cat(0, self.i.payload, 1))
        with m.Elif(tick & ~resting):
            m.d.sync += held.eq(held >> 1)
        return m
