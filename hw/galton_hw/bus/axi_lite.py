"""AXI4-Lite to accesses (AMBA AXI and ACE protocol specification, Arm IHI 0022, chapter B1)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from galton.format import WORD_BITS, WORD_BYTES
from galton_hw.bus.access import ADDRESS_BITS, OFFSET_BITS, AccessSignature


class Response(enum.Enum, shape=2):
    """BRESP and RRESP."""

    OKAY = 0
    SLVERR = 2


SLAVE = {
    "awaddr": In(ADDRESS_BITS),
    "awprot": In(3),
    "awvalid": In(1),
    "awready": Out(1),
    "wdata": In(WORD_BITS),
    "wstrb": In(WORD_BYTES),
    "wvalid": In(1),
    "wready": Out(1),
    "bresp": Out(2),
    "bvalid": Out(1),
    "bready": In(1),
    "araddr": In(ADDRESS_BITS),
    "arprot": In(3),
    "arvalid": In(1),
    "arready": Out(1),
    "rdata": Out(WORD_BITS),
    "rresp": Out(2),
    "rvalid": Out(1),
    "rready": In(1),
}
"""The signals of a slave."""


class AxiLite(wiring.Component):
    """Writes and reads of an AXI4-Lite master as accesses, one at a time, in turns where both wait.

    Every channel has a register, so no output depends on an input of the same cycle. An access's `error` becomes SLVERR. The low
    address bits and the protection bits are not looked at.

    Members: SLAVE; `o`, the accesses.
    """

    def __init__(self) -> None:
        super().__init__({**SLAVE, "o": Out(AccessSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write_number, read_number = Signal.like(self.o.number), Signal.like(self.o.number)
        data, strobes = Signal(WORD_BITS), Signal(WORD_BYTES)
        m.d.comb += [self.o.write_data.eq(data), self.o.strobes.eq(strobes)]
        # What was taken waits for its access.
        has_address, has_data, has_read = Signal(), Signal(), Signal()
        channels = (
            (self.awvalid, self.awready, has_address, [write_number.eq(self.awaddr[OFFSET_BITS:])]),
            (self.wvalid, self.wready, has_data, [data.eq(self.wdata), strobes.eq(self.wstrb)]),
            (self.arvalid, self.arready, has_read, [read_number.eq(self.araddr[OFFSET_BITS:])]),
        )
        for valid, ready, has, take in channels:
            m.d.comb += ready.eq(~has)
            with m.If(~has):
                m.d.sync += [has.eq(valid), *take]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)

        response = Mux(self.o.error, Response.SLVERR, Response.OKAY)
        wrote, may_write, may_read = Signal(), Signal(), Signal()
        m.d.comb += [may_write.eq(has_address & has_data & ~self.bvalid), may_read.eq(has_read & ~self.rvalid)]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(may_write & ~(may_read & wrote)):
                    m.next = "WRITE"
                with m.Elif(may_read):
                    m.next = "READ"
            with m.State("WRITE"):
                m.d.comb += [self.o.valid.eq(1), self.o.write.eq(1), self.o.number.eq(write_number)]
                with m.If(self.o.ready):
                    m.d.sync += [has_address.eq(0), has_data.eq(0), self.bvalid.eq(1), self.bresp.eq(response), wrote.eq(1)]
                    m.next = "IDLE"
            with m.State("READ"):
                m.d.comb += [self.o.valid.eq(1), self.o.number.eq(read_number)]
                with m.If(self.o.ready):
                    m.d.sync += [has_read.eq(0), self.rvalid.eq(1), self.rresp.eq(response), wrote.eq(0)]
                    m.d.sync += self.rdata.eq(self.o.read_data)
                    m.next = "IDLE"
        return m
