"""Proofs about the bus wrappers: offers stand, each request is answered once and in time, packets and tensors keep step."""

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from galton_hw.bus.axi_lite import AxiLite
from galton_hw.bus.packets import PacketIn, PacketOut
from galton_hw.bus.wishbone import Wishbone
from galton_sim import formal

pytestmark = pytest.mark.build

SLOWEST = 3
"""Cycles that the core's registers may take for an access in the proofs of bounded time."""
LONGEST = 12
"""Cycles until an answer."""


class Harness(wiring.Component):
    """A component whose ports are this one's, for properties about them."""

    def __init__(self, component):
        self.component = component
        super().__init__(component.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self.component
        inner = self.component.signature.flatten(self.component)
        for (_, member, port), (_, _, own) in zip(inner, self.signature.flatten(self), strict=True):
            outer, within = Value.cast(own), Value.cast(port)
            m.d.comb += within.eq(outer) if member.flow == In else outer.eq(within)
        self.properties(m, self.component)
        return m


def stands(m, valid, ready, payload):
    """What is offered stands until it is taken."""
    held, before = Signal(), Signal(len(Value.cast(payload)))
    m.d.sync += [held.eq(valid & ~ready), before.eq(payload)]
    m.d.comb += Assert(~held | (valid & (Value.cast(payload) == before)))


def owed(m, taken, given):
    """Requests taken and not answered."""
    count = Signal(3)
    m.d.sync += count.eq(count + taken - given)
    return count


def answers_in_time(m, access):
    """The core's registers answer within SLOWEST cycles."""
    waited = Signal(range(SLOWEST + 1))
    m.d.sync += waited.eq(0)
    with m.If(access.valid & ~access.ready):
        m.d.sync += waited.eq(waited + 1)
    m.d.comb += Assume((waited < SLOWEST - 1) | access.ready)


def bounded(m, waiting):
    """A state that never lasts longer than LONGEST cycles."""
    count = Signal(range(LONGEST + 2))
    m.d.sync += count.eq(0)
    with m.If(waiting):
        m.d.sync += count.eq(count + 1)
    m.d.comb += Assert(count <= LONGEST)


class AxiOffers(Harness):
    """Answers stand; there are as many as requests."""

    def properties(self, m, axi):
        stands(m, axi.bvalid, axi.bready, axi.bresp)
        stands(m, axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp))
        answered = axi.bvalid & axi.bready
        addresses, data = (owed(m, axi.awvalid & axi.awready, answered), owed(m, axi.wvalid & axi.wready, answered))
        reads = owed(m, axi.arvalid & axi.arready, axi.rvalid & axi.rready)
        m.d.comb += [
            Assert(~axi.bvalid | ((addresses != 0) & (data != 0))),
            Assert(~axi.rvalid | (reads != 0)),
            *(Assert(count <= 2) for count in (addresses, data, reads)),
        ]


class AxiAnswers(Harness):
    """A write or read that was taken is answered in time by a master that takes its answers."""

    def properties(self, m, axi):
        answers_in_time(m, axi.o)
        m.d.comb += Assume(axi.bready & axi.rready)
        answered = axi.bvalid & axi.bready
        addresses, data = (owed(m, axi.awvalid & axi.awready, answered), owed(m, axi.wvalid & axi.wready, answered))
        reads = owed(m, axi.arvalid & axi.arready, axi.rvalid & axi.rready)
        bounded(m, (addresses != 0) & (data != 0) & ~axi.bvalid)
        bounded(m, (reads != 0) & ~axi.rvalid)


class WishboneAnswers(Harness):
    """Answers come only to a request, of one kind, and to one that stands, in time; and accesses stand too."""

    def properties(self, m, bus):
        answers_in_time(m, bus.o)
        answer = bus.wb_ack_o | bus.wb_err_o
        stands(m, bus.o.valid, bus.o.ready, Cat(bus.o.write, bus.o.number, bus.o.write_data, bus.o.strobes))
        m.d.comb += [
            Assert(~answer | (bus.wb_cyc_i & bus.wb_stb_i)),
            Assert(~(bus.wb_ack_o & bus.wb_err_o)),
            Assert(bus.wb_stall_o == (bus.wb_cyc_i & ~answer)),
        ]
        bounded(m, bus.wb_cyc_i & bus.wb_stb_i & ~answer)


class PacketsOut(Harness):
    """Offers stand, whatever the core does; no packet stays open when the core is disabled."""

    def properties(self, m, packets):
        stands(m, packets.o.valid, packets.o.ready, packets.o.payload)
        inside = Signal()
        with m.If(packets.o.valid & packets.o.ready):
            m.d.sync += inside.eq(~packets.o.payload.last)
        bounded(m, ~packets.enabled & packets.o.ready & inside)


class PacketsIn(Harness):
    """While the core is enabled, as many tensors as packets; never one of them more than one ahead."""

    def properties(self, m, packets):
        m.d.comb += Assume(packets.enabled)
        ahead = Signal(3, init=2)
        tensor = packets.o.valid & packets.o.ready & packets.last
        packet = packets.i.valid & packets.i.ready & packets.i.payload.last
        m.d.sync += ahead.eq(ahead + tensor - packet)
        m.d.comb += Assert((ahead >= 1) & (ahead <= 3))


@pytest.mark.parametrize(
    ("properties", "component"),
    [
        (AxiOffers, AxiLite),
        (AxiAnswers, AxiLite),
        (WishboneAnswers, Wishbone),
        (PacketsOut, PacketOut),
        (PacketsIn, PacketIn),
    ],
    ids=lambda value: value.__name__,
)
def test_proof(properties, component):
    assert formal.prove(properties(component())) > 0


class Hasty(PacketOut):
    """Withdraws what it offers when the core is disabled, as the core's own stream does."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(~self.enabled):
            m.d.comb += self.o.valid.eq(0)
        return m


class Deaf(AxiLite):
    """Answers a write before its data are here."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.awvalid):
            m.d.sync += self.bvalid.eq(1)
        return m


@pytest.mark.parametrize(("properties", "component"), [(PacketsOut, Hasty), (AxiOffers, Deaf)], ids=lambda value: value.__name__)
def test_seeded_bugs_are_caught(properties, component):
    with pytest.raises(formal.ProofFailed, match="Counterexample"):
        formal.prove(properties(component()))
