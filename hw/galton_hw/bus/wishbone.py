"""A core on Wishbone (Wishbone B4, OpenCores 2010)."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import BUS_REGISTERS, WORD_BITS, WORD_BYTES
from galton_hw.bus.access import ADDRESS_BITS, OFFSET_BITS, AccessSignature, Guard
from galton_hw.bus.queues import Queues
from galton_hw.core import Core

SLAVE = {
    "wb_cyc_i": In(1),
    "wb_stb_i": In(1),
    "wb_we_i": In(1),
    "wb_adr_i": In(ADDRESS_BITS),
    "wb_sel_i": In(WORD_BYTES),
    "wb_dat_i": In(WORD_BITS),
    "wb_dat_o": Out(WORD_BITS),
    "wb_ack_o": Out(1),
    "wb_err_o": Out(1),
    "wb_stall_o": Out(1),
}
"""The signals of a slave."""


class Wishbone(wiring.Component):
    """Cycles of a Wishbone master, standard or pipelined, as accesses, one at a time.

    A request is taken into registers, and answered by a cycle with `wb_ack_o` or, where the access has an `error`, `wb_err_o`.
    `wb_stall_o` is what a pipelined master wants of a standard slave: it ends with the answer. Who ends a cycle before its answer
    gets none; the access may have been carried out. The low address bits are not looked at.

    Members: SLAVE; `o`, the accesses.
    """

    def __init__(self) -> None:
        super().__init__({**SLAVE, "o": Out(AccessSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access, error, left = self.o, Signal(), Signal()
        asks = self.wb_cyc_i & self.wb_stb_i
        with m.FSM():
            with m.State("IDLE"), m.If(asks):
                m.d.sync += [
                    left.eq(0),
                    access.write.eq(self.wb_we_i),
                    access.number.eq(self.wb_adr_i[OFFSET_BITS:]),
                    access.write_data.eq(self.wb_dat_i),
                    access.strobes.eq(self.wb_sel_i),
                ]
                m.next = "ACCESS"
            with m.State("ACCESS"):
                m.d.comb += access.valid.eq(1)
                with m.If(~asks):
                    m.d.sync += left.eq(1)
                with m.If(access.ready):
                    m.d.sync += [error.eq(access.error), self.wb_dat_o.eq(access.read_data)]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.wb_ack_o.eq(asks & ~left & ~error), self.wb_err_o.eq(asks & ~left & error)]
                m.next = "IDLE"
        m.d.comb += self.wb_stall_o.eq(self.wb_cyc_i & ~(self.wb_ack_o | self.wb_err_o))
        return m


class WishboneCore(wiring.Component):
    """A core whose registers, inputs and outputs are behind one Wishbone slave.

    Parameters: `config`, `tech` as in Core; `depth` of the queues.
    Members: `wb_clk_i`; `wb_rst_i`, high for at least one rising edge of `wb_clk_i`; SLAVE; `irq_o`, while `output` has a word.
    """

    def __init__(self, config: Config, tech: str = "generic", *, depth: int = 16) -> None:
        self.config, self.tech, self.depth = config, tech, depth
        super().__init__({"wb_clk_i": In(1), "wb_rst_i": In(1), **SLAVE, "irq_o": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(self.wb_clk_i), domain.rst.eq(self.wb_rst_i)]
        m.submodules.core = core = Core(self.config, self.tech)
        m.submodules.wishbone = wishbone = Wishbone()
        m.submodules.guard = guard = Guard()
        m.submodules.queues = queues = Queues(self.depth)
        wiring.connect(m, guard.bus, core.bus)
        wiring.connect(m, queues.words, core.i)
        wiring.connect(m, core.o, queues.results)
        for name, member in SLAVE.items():
            outer, inner = getattr(self, name), getattr(wishbone, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)

        access, own = wishbone.o, Signal()
        with m.Switch(access.number), m.Case(*BUS_REGISTERS.values()):
            m.d.comb += own.eq(1)
        for part, chosen in ((guard.i, ~own), (queues.i, own)):
            m.d.comb += part.valid.eq(access.valid & chosen)
            m.d.comb += [getattr(part, name).eq(getattr(access, name)) for name in ("write", "number", "write_data", "strobes")]
        m.d.comb += [
            *(getattr(access, name).eq(Mux(own, getattr(queues.i, name), getattr(guard.i, name))) for name in ("ready", "error")),
            access.read_data.eq(Mux(own, queues.i.read_data, guard.i.read_data)),
            guard.enabled.eq(core.enabled),
            queues.enabled.eq(core.enabled),
            queues.last.eq(core.output_last),
            self.irq_o.eq(queues.waiting),
        ]
        return m
