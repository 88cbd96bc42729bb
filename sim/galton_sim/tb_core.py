"""Cocotb tests of a whole core. The environment names an image, inputs and pauses (cocotb_runner.run); golden model and cycle
model say what must come out."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from galton.format import STATUS
from galton_sim.bench import CoreBench
from galton_sim.drivers import CLOCK_NS, RegisterBus, Sink, Source

QUIET_LIMIT = 200_000
"""Cycles without an output word after which a core counts as hanging."""


class Bench(CoreBench):
    """A core, and what it must give."""

    def __init__(self, dut: Any) -> None:
        super().__init__()
        self.dut, self.bus = dut, RegisterBus(dut)
        self.source = Source(dut, "i", stall=self.stall, seed=self.seed)
        self.sink = Sink(dut, "o", stall=self.stall, seed=self.seed)

    async def start(self) -> None:
        """Clock, reset, memories."""
        self.dut.rst.value = 1
        Clock(self.dut.clk, CLOCK_NS, unit="ns").start(start_high=False)
        await ClockCycles(self.dut.clk, 4)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await self.load()

    async def infer(self, *indices: int) -> None:
        """Send inputs, one after the other, and check their outputs."""
        sending = cocotb.start_soon(self.source.send(self.words[list(indices)].reshape(-1).tolist()))
        for index in indices:
            self.check_output(index, await self.sink.receive(self.header["output_words"], limit=QUIET_LIMIT))
        await sending


@cocotb.test()
async def one_at_a_time(dut: Any) -> None:
    """Outputs, counters and status of every input, the core enabled anew for each."""
    await (await Bench.begun(dut)).one_at_a_time()


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Inputs follow each other without a word from the host; the counters are those of the last."""
    bench = await Bench.begun(dut)
    await bench.bus.write("control", 1)
    await bench.infer(*range(len(bench.words)))
    await bench.check_counters(len(bench.words) - 1)


@cocotb.test()
async def disabled_on_the_way(dut: Any) -> None:
    """Disabling drops whatever was under way, at several places of an inference; the next one is as if nothing had been."""
    bench = await Bench.begun(dut)
    for share in (0.1, 0.5, 0.9):
        await bench.bus.write("control", 1)
        await bench.source.send(bench.words[0].tolist())
        await ClockCycles(dut.clk, int(bench.whole(0) * share))
        await bench.bus.write("control", 0)
        status = STATUS.unpack([await bench.bus.read("status")])
        assert (status["busy"], status["layer"]) == (0, 0)
        await bench.bus.write("control", 1)
        await bench.infer(0)
        await bench.bus.write("control", 0)
