"""Any component behind four pins, for place and route of a core whose ports no package has pins for."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class FewPins(wiring.Component):
    """A register chain drives every input of `component`, another swallows every output: nothing can be optimized away.

    Every pin and every port has a register on the wrapper's side, so the clock it reaches is the component's own.

    Members: `serial_in` enters the input chain each cycle; `serial_out` is the end of a chain that mixes in each output bit.
    """

    def __init__(self, component: wiring.Component) -> None:
        self.component = component
        super().__init__({"serial_in": In(1), "serial_out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self.component
        ports = list(self.component.signature.flatten(self.component))
        inputs = Cat(Value.cast(port) for _, member, port in ports if member.flow == In)
        outputs = Cat(Value.cast(port) for _, member, port in ports if member.flow == Out)

        drive = Signal(len(inputs), reset_less=True)
        entering = Signal(reset_less=True)
        m.d.comb += inputs.eq(drive)
        m.d.sync += [entering.eq(self.serial_in), drive.eq(Cat(entering, drive))]

        swallow = Signal(len(outputs), reset_less=True)
        m.d.sync += [swallow.eq(Cat(drive[-1:], swallow) ^ outputs), self.serial_out.eq(swallow[-1])]
        return m
