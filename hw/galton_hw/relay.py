"""A stream through registers both ways: what is ahead cannot lengthen the paths of what is behind."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Relay(wiring.Component):
    """o = i, in order, an item a cycle; `i.ready` is a register as `o.valid` and `o.payload` are.

    Latency `latency`. An item more than the one that is offered has room.

    Parameters: `shape` of the payload.
    """

    latency = 1

    def __init__(self, shape: ShapeLike) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, payload = Signal(), Signal(self.shape, reset_less=True)
        ready, behind = Signal(init=1), Signal(self.shape, reset_less=True)
        m.d.comb += [self.i.ready.eq(ready), self.o.valid.eq(valid), self.o.payload.eq(payload)]
        with m.If(~valid | self.o.ready):
            m.d.sync += [valid.eq(self.i.valid | ~ready), ready.eq(1), payload.eq(self.i.payload)]
            with m.If(~ready):
                m.d.sync += payload.eq(behind)
        with m.Elif(self.i.valid):
            m.d.sync += ready.eq(0)
        with m.If(ready):
            m.d.sync += behind.eq(self.i.payload)
        return m
