"""Tensors as packets of AXI4-Stream (AMBA AXI-Stream protocol specification, Arm IHI 0051).

A core's streams have no packets, and its disabling withdraws what they offer; AXI4-Stream allows neither. So here every packet
in, of whatever length, is one input tensor, and what was begun is ended, if need be with an error.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import WORD_BITS

PACKET_IN = data.StructLayout({"data": WORD_BITS, "last": 1})
PACKET_OUT = data.StructLayout({"data": WORD_BITS, "last": 1, "user": 1})


class PacketIn(wiring.Component):
    """Packets as tensors: a packet that ends too soon is filled up with zeros, of one that is too long the rest is dropped.

    While the core is disabled packets wait, but what is left of one that has begun is dropped.

    Members: `i`, packets; `o`, the core's words, `last` and `enabled` as the core says; `malformed`, the last packet that began
    to be taken was, as far as it is known, of the wrong length.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(PACKET_IN)),
                "o": Out(stream.Signature(WORD_BITS)),
                "last": In(1),
                "enabled": In(1),
                "malformed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inside = Signal()
        with m.FSM():
            with m.State("PASS"):
                m.d.comb += [
                    self.o.valid.eq(self.i.valid & self.enabled),
                    self.o.payload.eq(self.i.payload.data),
                    self.i.ready.eq(self.o.ready & self.enabled),
                ]
                with m.If(inside & ~self.enabled):
                    m.next = "DROP"
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [inside.eq(~self.i.payload.last), self.malformed.eq(self.i.payload.last != self.last)]
                    with m.If(self.i.payload.last & ~self.last):
                        m.next = "FILL"
                    with m.Elif(~self.i.payload.last & self.last):
                        m.next = "DROP"
            with m.State("FILL"):
                m.d.comb += self.o.valid.eq(self.enabled)
                with m.If(~self.enabled | (self.o.ready & self.last)):
                    m.next = "PASS"
            with m.State("DROP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.last):
                    m.d.sync += inside.eq(0)
                    m.next = "PASS"
        return m


class PacketOut(wiring.Component):
    """Tensors as packets, whose words have `user` set where the input was `malformed`.

    A word that is offered stays, also when the core is disabled; then one more word, with `last` and `user`, ends the packet.

    Members: `i`, the core's words, with `last` and `enabled` as the core says; `malformed`; `o`, packets.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(WORD_BITS)),
                "last": In(1),
                "enabled": In(1),
                "malformed": In(1),
                "o": Out(stream.Signature(PACKET_OUT)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, inside, cut, payload = Signal(), Signal(), Signal(), Signal(PACKET_OUT)
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
            self.i.ready.eq(self.enabled & ~valid & ~cut),
        ]
        with m.If(valid & self.o.ready):
            m.d.sync += valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                valid.eq(1),
                inside.eq(~self.last),
                payload.data.eq(self.i.payload),
                payload.last.eq(self.last),
                payload.user.eq(self.malformed),
            ]
        with m.If(inside & ~self.enabled):
            m.d.sync += cut.eq(1)
        with m.If(cut & ~valid):
            m.d.sync += [valid.eq(1), inside.eq(0), cut.eq(0), payload.data.eq(0), payload.last.eq(1), payload.user.eq(1)]
        return m
