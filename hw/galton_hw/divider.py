"""The one division of a dynamic layer: its step, from the norm of its input."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import FRACTION_BITS, MULTIPLIER_BITS, NORM_BITS


class StepDivider(wiring.Component):
    """step = floor(2^F samples / T), factor = T >> norm_shift, with T = max(norm, samples + 1) (arith.dynamic_step).

    Restoring division, a bit a cycle, then the shift, a place a cycle.

    Members: `start` for one cycle; `done` comes `latency` cycles later, and `step` and `factor` stand from the cycle after it
    on. The operands rest meanwhile.
    """

    shift_cycles = NORM_BITS - MULTIPLIER_BITS
    latency = FRACTION_BITS + shift_cycles

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "norm": In(NORM_BITS),
                "samples": In(NORM_BITS),
                "norm_shift": In(4),
                "step": Out(FRACTION_BITS),
                "factor": Out(MULTIPLIER_BITS),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        divisor, remainder = Signal(NORM_BITS, reset_less=True), Signal(NORM_BITS, reset_less=True)
        quotient = Signal(FRACTION_BITS, reset_less=True)
        cycle = Signal(range(self.latency + 1), init=self.latency)
        difference = Signal(NORM_BITS + 2)
        # samples < T, so the remainder stays below T and its double below 2^(NORM_BITS + 1).
        m.d.comb += [
            difference.eq((remainder << 1) - divisor),
            self.step.eq(quotient),
            self.factor.eq(divisor),
            self.done.eq(cycle == self.latency - 1),
        ]
        with m.If(self.start):
            m.d.sync += [
                divisor.eq(Mux(self.norm > self.samples, self.norm, self.samples + 1)),
                remainder.eq(self.samples),
                cycle.eq(0),
            ]
        with m.Elif(cycle < FRACTION_BITS):
            m.d.sync += [
                cycle.eq(cycle + 1),
                remainder.eq(Mux(difference[-1], remainder << 1, difference)),
                quotient.eq((quotient << 1) | ~difference[-1]),
            ]
        with m.Elif(cycle != self.latency):
            m.d.sync += cycle.eq(cycle + 1)
            with m.If(cycle - FRACTION_BITS < self.norm_shift):
                m.d.sync += divisor.eq(divisor >> 1)
        return m
