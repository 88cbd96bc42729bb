"""Accesses of registers as a system's bus makes them, and which of them a core carries out."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from galton.format import BUS_REGISTERS, REGISTERS, WORD_BITS, WORD_BYTES, WRITABLE
from galton_hw.registers import BusSignature

NUMBER_BITS = bits_for(max(*REGISTERS.values(), *BUS_REGISTERS.values()))
"""Of a register's number."""
OFFSET_BITS = bits_for(WORD_BYTES - 1)
ADDRESS_BITS = NUMBER_BITS + OFFSET_BITS
"""Of a byte address."""


class AccessSignature(wiring.Signature):
    """A request is held with `valid` until the cycle with `ready`, in which `error` and `read_data` count.

    `number` of a register; `strobes`, the bytes that a write is for.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "write": Out(1),
                "number": Out(NUMBER_BITS),
                "write_data": Out(WORD_BITS),
                "strobes": Out(WORD_BYTES),
                "ready": In(1),
                "error": In(1),
                "read_data": In(WORD_BITS),
            }
        )


class Guard(wiring.Component):
    """Passes accesses on to a core's registers, but answers `error`, and changes nothing, where one makes no sense.

    These are: a number that is no register's, a write to what is read only, a write without all four strobes, and `memory_data`
    while the core is enabled.

    Members: `i`, the accesses; `bus` and `enabled` of the core.
    """

    def __init__(self) -> None:
        super().__init__({"i": In(AccessSignature()), "bus": Out(BusSignature()), "enabled": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access, bus = self.i, self.bus
        exists, writable = Signal(), Signal()
        with m.Switch(access.number), m.Case(*REGISTERS.values()):
            m.d.comb += exists.eq(1)
        with m.Switch(access.number), m.Case(*(REGISTERS[name] for name in WRITABLE)):
            m.d.comb += writable.eq(1)
        refused = Signal()
        m.d.comb += [
            refused.eq(
                ~exists
                | (access.write & ~(writable & access.strobes.all()))
                | (self.enabled & (access.number == REGISTERS["memory_data"]))
            ),
            bus.valid.eq(access.valid & ~refused),
            bus.write.eq(access.write),
            bus.address.eq(access.number),
            bus.write_data.eq(access.write_data),
            access.ready.eq(access.valid & (refused | bus.ready)),
            access.error.eq(refused),
            access.read_data.eq(bus.read_data),
        ]
        return m
