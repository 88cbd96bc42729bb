"""A first-in first-out buffer with exactly known timing."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton_hw.memory import TwoPortMemory


class Fifo(wiring.Component):
    """o = i, in order; `depth` places, one transfer a cycle on either side.

    Latency: an item taken in cycle t is offered from cycle t + 2 on. A place freed in cycle t can be filled in cycle t + 1.

    Parameters: `shape` of the payload, `depth` a power of two, `style` of the storage (memory.TwoPortMemory). Raises ValueError
    for another depth.
    """

    latency = 2

    def __init__(self, shape: ShapeLike, depth: int, style: str = "auto") -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two and at least 2, not {depth!r}")
        self.depth, self.style = depth, style
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = Value.cast(self.i.payload)
        m.submodules.places = storage = TwoPortMemory(self.depth, len(payload), self.style)
        bits = ceil_log2(self.depth)
        # One bit more than the address tells full from empty.
        written, taken, following = Signal(bits + 1), Signal(bits + 1), Signal(bits + 1)
        valid = Signal()
        m.d.comb += [
            self.i.ready.eq((written ^ taken) != self.depth),
            self.o.valid.eq(valid),
            Value.cast(self.o.payload).eq(storage.read_data),
            storage.write.eq(self.i.valid & self.i.ready),
            storage.write_address.eq(written),
            storage.write_data.eq(payload),
            following.eq(taken + (valid & self.o.ready)),
            storage.read.eq(1),
            storage.read_address.eq(following),
        ]
        m.d.sync += [taken.eq(following), valid.eq(written != following)]
        with m.If(storage.write):
            m.d.sync += written.eq(written + 1)
        return m
