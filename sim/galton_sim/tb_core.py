"""Cocotb tests of a whole core. The environment names an image, inputs and pauses (cocotb_runner.run); golden model and cycle
model say what must come out."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, Timer

from galton import cycles, decode, golden
from galton.format import IDENTITY, MEMORY_DATA, PROFILE, STATUS
from galton.image import Image
from galton.words import input_words, memories, profiles, real_outputs
from galton_sim.drivers import CLOCK_NS, RegisterBus, Sink, Source
from galton_sim.simulate import expect_outputs, expect_profiles

QUIET_LIMIT = 200_000
"""Cycles without an output word after which a core counts as hanging."""


class Bench:
    """A core with its image loaded, and what it must give."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.image = Image.load(os.environ["GALTON_IMAGE"])
        self.raw = np.load(os.environ["GALTON_INPUTS"])
        self.words = input_words(self.raw)
        self.header = decode.header(self.image)
        self.expected = golden.run(self.image, self.raw)
        self.names = [layer["name"] for layer in self.image.meta["layers"]]
        stall, seed = float(os.environ["GALTON_STALL"]), os.environ["GALTON_SEED"]
        self.bus = RegisterBus(dut)
        self.source, self.sink = Source(dut, "i", stall=stall, seed=seed), Sink(dut, "o", stall=stall, seed=seed)

    async def load(self) -> None:
        """Clock, reset, identity, memories."""
        self.dut.rst.value = 1
        Clock(self.dut.clk, CLOCK_NS, unit="ns").start(start_high=False)
        await ClockCycles(self.dut.clk, 4)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        assert await self.bus.read("identity") == IDENTITY
        assert await self.bus.read("digest") == self.image.config.digest
        await self.bus.write("control", 0)
        for memory in memories(self.image):
            await self.bus.load(memory.select, memory.address, memory.words)

    async def infer(self, inputs: Any) -> np.ndarray:
        """Real outputs of the words of one or several inputs."""
        sending = cocotb.start_soon(self.source.send(inputs.reshape(-1).tolist()))
        count = self.header["output_words"]
        found = [await self.sink.receive(count, limit=QUIET_LIMIT) for _ in inputs]
        await sending
        return real_outputs(self.image, np.array(found, np.uint32))

    async def profile(self) -> list[dict[str, int]]:
        """The records of the last inference; leaves the core disabled."""
        await self.bus.write("control", 0)
        words = PROFILE.words * len(self.names)
        found = await self.bus.dump(MEMORY_DATA, self.header["profile_base"], words)
        return profiles(found)

    async def status(self) -> dict[str, int]:
        """STATUS."""
        return STATUS.unpack([await self.bus.read("status")])


async def started(dut: Any) -> Bench:
    """A bench whose core is loaded.

    Nothing is driven at time 0, where some simulators have not begun to watch for changes.
    """
    await Timer(1, "ns")
    bench = Bench(dut)
    await bench.load()
    return bench


@cocotb.test()
async def one_at_a_time(dut: Any) -> None:
    """Outputs, counters and status of every input, the core enabled anew for each."""
    bench = await started(dut)
    predicted = cycles.predict(bench.image, bench.raw)
    for index in range(len(bench.raw)):
        await bench.bus.write("control", 1)
        expect_outputs(await bench.infer(bench.words[index : index + 1]), bench.expected[index : index + 1])
        status = await bench.status()
        saturations = sum(layer["saturations"] for layer in predicted[index])
        assert status == {"busy": 0, "saturated": int(saturations > 0), "layer": len(bench.names)}
        expect_profiles([await bench.profile()], predicted[index : index + 1], bench.names)


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Inputs follow each other without a word from the host; the counters are those of the last."""
    bench = await started(dut)
    await bench.bus.write("control", 1)
    expect_outputs(await bench.infer(bench.words), bench.expected)
    expect_profiles([await bench.profile()], cycles.predict(bench.image, bench.raw)[-1:], bench.names)


@cocotb.test()
async def disabled_on_the_way(dut: Any) -> None:
    """Disabling drops whatever was under way, at several places of an inference; the next one is as if nothing had been."""
    bench = await started(dut)
    whole = sum(layer["cycles"] for layer in cycles.predict(bench.image, bench.raw)[0])
    for share in (0.1, 0.5, 0.9):
        await bench.bus.write("control", 1)
        await bench.source.send(bench.words[0].tolist())
        await ClockCycles(dut.clk, int(whole * share))
        await bench.bus.write("control", 0)
        assert await bench.status() == {"busy": 0, "saturated": (await bench.status())["saturated"], "layer": 0}
        await bench.bus.write("control", 1)
        expect_outputs(await bench.infer(bench.words[:1]), bench.expected[:1])
        await bench.bus.write("control", 0)
