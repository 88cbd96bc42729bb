"""The step of a layer: its record's, or of a dynamic layer the one division that makes it from the norm of its input."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import FRACTION_BITS, LAYER, MULTIPLIER_BITS, NORM_BITS
from galton_hw.layout import field_bits


class StepDivider(wiring.Component):
    """step = floor(2^F samples / T), factor = T >> norm_shift, with T = max(norm, samples + 1) (arith.dynamic_step).

    Non-restoring division, a bit a cycle, then the shift, a place a cycle; one adder does everything. A layer goes: `clear`,
    `take_norm`, `take_samples` and perhaps `take_step`, two cycles of rest, and where it is dynamic, `start`.

    Members
    -------
    clear, take_norm, take_samples, take_step: for one cycle, in this order. norm: with take_norm; 0 from then on until `start`.
    samples: below 2^NORM_BITS - 1, with take_samples. static_step: with take_step; `step` from the cycle after it.
    start: for one cycle; `done` comes `latency` cycles later, and `step` and `factor` stand from the cycle after it on.
    norm_shift: at most `shift_cycles`, constant from `start` on.
    """

    shift_cycles = NORM_BITS - MULTIPLIER_BITS
    latency = FRACTION_BITS + shift_cycles

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "take_norm": In(1),
                "norm": In(NORM_BITS),
                "take_samples": In(1),
                "samples": In(NORM_BITS),
                "take_step": In(1),
                "static_step": In(FRACTION_BITS),
                "start": In(1),
                "norm_shift": In(field_bits(LAYER, "norm_shift")),
                "step": Out(FRACTION_BITS),
                "factor": Out(MULTIPLIER_BITS),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        divisor, quotient = Signal(NORM_BITS, reset_less=True), Signal(FRACTION_BITS, reset_less=True)
        # The remainder lies between -T and T. Its lowest bit is worth a half, and 0 once the division has begun.
        remainder = Signal(NORM_BITS + 2)
        compare, settle = Signal(), Signal()
        cycle = Signal(range(self.latency + 1), init=self.latency)
        dividing, shifting = Signal(), Signal()
        m.d.comb += [
            dividing.eq(cycle < FRACTION_BITS),
            shifting.eq(~dividing & (cycle - FRACTION_BITS < self.norm_shift)),
            self.step.eq(quotient),
            self.factor.eq(divisor),
            self.done.eq(cycle == self.latency - 1),
        ]
        with m.If(self.start):
            m.d.sync += cycle.eq(0)
        with m.Elif(cycle != self.latency):
            m.d.sync += cycle.eq(cycle + 1)

        # total = 2 remainder - T or, where the remainder is negative, + T. Of samples + 1 half is kept; then total = samples - T,
        # which tells T: where it is not negative, samples + 1 becomes T. So the division begins below 0.
        subtract, total = Signal(), Signal(NORM_BITS + 1)
        operand, carry = Signal(NORM_BITS + 1), Signal()
        m.d.comb += [
            subtract.eq(~remainder[-1]),
            operand.eq(Mux(self.take_samples, self.samples >> 1, Cat(divisor, Const(0, 1)) ^ subtract.replicate(len(operand)))),
            carry.eq(Mux(self.take_samples, self.samples[0], subtract & dividing)),
            total.eq((Cat(Const(1, 1), remainder[:-1]) + Cat(carry, operand))[1:]),
        ]
        m.d.sync += [compare.eq(self.take_samples), settle.eq(compare)]
        with m.If(self.clear):
            m.d.sync += remainder.eq(0)
        with m.Elif(self.take_samples | settle | dividing):
            m.d.sync += remainder.eq(Cat(self.take_samples & ~self.samples[0], total))
        with m.If(shifting):
            m.d.sync += divisor.eq(divisor >> 1)
        with m.Elif(self.take_norm | (compare & ~total[-1])):
            # One of the two is 0.
            m.d.sync += divisor.eq(self.norm | remainder)
        with m.If(self.take_step):
            m.d.sync += quotient.eq(self.static_step)
        with m.Elif(dividing):
            m.d.sync += quotient.eq(Cat(~total[-1], quotient))
        return m
