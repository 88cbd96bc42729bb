"""A core on AXI: composition only."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import WORD_BITS
from galton_hw.bus.access import Guard
from galton_hw.bus.axi_lite import SLAVE, AxiLite
from galton_hw.bus.packets import PacketIn, PacketOut
from galton_hw.core import Core


class AxiCore(wiring.Component):
    """A core whose registers are an AXI4-Lite slave, whose inputs and outputs are packets of AXI4-Stream, one a tensor.

    Parameters: `config`, `tech` as in Core.
    Members: `aclk`; `aresetn`, low for at least one rising edge of `aclk`; `s_axi_*`, the slave; `s_axis_*`, `m_axis_*`, the
    packets; `m_axis_tuser` as in packets.PacketOut.
    """

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        handshake = {"tdata": In(WORD_BITS), "tlast": In(1), "tvalid": In(1), "tready": Out(1)}
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                **{f"s_axi_{name}": member for name, member in SLAVE.items()},
                **{f"s_axis_{name}": member for name, member in handshake.items()},
                **{f"m_axis_{name}": member.flip() for name, member in handshake.items()},
                "m_axis_tuser": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.core = core = Core(self.config, self.tech)
        m.submodules.lite = lite = AxiLite()
        m.submodules.guard = guard = Guard()
        m.submodules.packet_in = packet_in = PacketIn()
        m.submodules.packet_out = packet_out = PacketOut()
        wiring.connect(m, lite.o, guard.i)
        wiring.connect(m, guard.bus, core.bus)
        wiring.connect(m, packet_in.o, core.i)
        wiring.connect(m, core.o, packet_out.i)
        for name, member in SLAVE.items():
            outer, inner = getattr(self, f"s_axi_{name}"), getattr(lite, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        m.d.comb += [
            guard.enabled.eq(core.enabled),
            packet_in.enabled.eq(core.enabled),
            packet_in.last.eq(core.input_last),
            packet_in.i.valid.eq(self.s_axis_tvalid),
            packet_in.i.payload.data.eq(self.s_axis_tdata),
            packet_in.i.payload.last.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(packet_in.i.ready),
            packet_out.enabled.eq(core.enabled),
            packet_out.last.eq(core.output_last),
            packet_out.malformed.eq(packet_in.malformed),
            packet_out.o.ready.eq(self.m_axis_tready),
            self.m_axis_tvalid.eq(packet_out.o.valid),
            self.m_axis_tdata.eq(packet_out.o.payload.data),
            self.m_axis_tlast.eq(packet_out.o.payload.last),
            self.m_axis_tuser.eq(packet_out.o.payload.user),
        ]
        return m
