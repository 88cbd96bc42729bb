"""Cocotb tests of a core on AXI, with the masters, sources and sinks of cocotbext-axi, each channel pausing at random.

The environment names an image, inputs and pauses (cocotb_runner.run).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from galton import golden
from galton.format import IDENTITY, MEMORY_DATA, POSITION, REGISTERS, WORD_BYTES, WRITABLE
from galton.words import real_outputs
from galton_hw.bus.access import NUMBER_BITS
from galton_sim.bench import CoreBench, Registers, pauses
from galton_sim.drivers import CLOCK_NS, keeps_offers
from galton_sim.simulate import expect_outputs

QUIET_US = 5_000
"""Microseconds without a packet after which a core counts as hanging."""
ACCESSES = 400
"""Random ones in a test."""


class AxiRegisters(Registers):
    """A host's registers behind an AXI4-Lite master. What a call waits for is answered without an error."""

    def __init__(self, master: AxiLiteMaster) -> None:
        self.master = master

    async def read(self, register: str) -> int:
        """See Registers."""
        answer = await self.master.read(REGISTERS[register] * WORD_BYTES, WORD_BYTES)
        assert answer.resp == AxiResp.OKAY, f"{answer.resp} to a read of {register}"
        return int.from_bytes(answer.data, "little")

    async def write(self, register: str, data: int) -> None:
        """See Registers."""
        answer = await self.master.write(REGISTERS[register] * WORD_BYTES, int(data).to_bytes(WORD_BYTES, "little"))
        assert answer.resp == AxiResp.OKAY, f"{answer.resp} to a write of {register}"

    async def load(self, select: int, address: int, words: Iterable[int]) -> None:
        """See Registers; as fast as the bus takes words."""
        await self.write("memory_position", *POSITION.pack({"select": select, "address": address}))
        for task in [cocotb.start_soon(self.write("memory_data", word)) for word in words]:
            await task


class Bench(CoreBench):
    """A core on AXI, and what it must give."""

    def __init__(self, dut: Any) -> None:
        super().__init__()
        # cocotbext-axi logs every access, and uses names that cocotb is about to drop.
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
        self.dut, self.random = dut, Random(f"axi {self.seed}")
        clocked = (dut.aclk, dut.aresetn, False)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *clocked)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), *clocked)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *clocked)
        self.bus = AxiRegisters(self.master)

    async def start(self) -> None:
        """Clock, reset, monitors, pauses, memories."""
        dut = self.dut
        dut.aresetn.value = 0
        Clock(dut.aclk, CLOCK_NS, unit="ns").start(start_high=False)
        await ClockCycles(dut.aclk, 4)
        for prefix, payloads in {"s_axi_r": ("data", "resp"), "s_axi_b": ("resp",), "m_axis_t": ("data", "last", "user")}.items():
            valid, ready, *rest = (getattr(dut, prefix + name) for name in ("valid", "ready", *payloads))
            cocotb.start_soon(keeps_offers(dut.aclk, valid, ready, rest, dut.aresetn))
        writes, reads = self.master.write_if, self.master.read_if
        channels = [writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel]
        for index, channel in enumerate([*channels, self.source, self.sink]):
            channel.set_pause_generator(pauses(Random(f"channel {index} {self.seed}"), self.stall))
        dut.aresetn.value = 1
        await self.load()

    async def send(self, words: Iterable[int]) -> None:
        """A packet."""
        await self.source.send(AxiStreamFrame(np.array(list(words), "<u4").tobytes()))

    async def receive(self) -> tuple[list[int], bool]:
        """A packet's words, and whether it was marked as wrong: all of it, or its last word where it was cut."""
        frame = await with_timeout(self.sink.recv(), QUIET_US, "us")
        # A bit for each byte, or one where all are the same.
        assert frame.tuser in (0, 1) or not any(frame.tuser[:-WORD_BYTES]), f"User bits {frame.tuser}"
        wrong = bool(frame.tuser if isinstance(frame.tuser, int) else frame.tuser[-1])
        return np.frombuffer(bytes(frame.tdata), "<u4").tolist(), wrong

    async def infer(self, *indices: int) -> None:
        """Send inputs and check their outputs."""
        for index in indices:
            await self.send(self.words[index])
        for index in indices:
            words, wrong = await self.receive()
            assert not wrong
            self.check_output(index, words)


@cocotb.test()
async def one_at_a_time(dut: Any) -> None:
    """Outputs, counters and status of every input, the core enabled anew for each."""
    await (await Bench.begun(dut)).one_at_a_time()


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Packets follow each other; one that waited while the core was disabled is the first."""
    bench = await Bench.begun(dut)
    await bench.send(bench.words[0])
    await ClockCycles(dut.aclk, 100)
    await bench.bus.write("control", 1)
    words, wrong = await bench.receive()
    assert not wrong
    bench.check_output(0, words)
    await bench.infer(*range(len(bench.words)))
    await bench.check_counters(len(bench.words) - 1)


@cocotb.test()
async def random_accesses(dut: Any) -> None:
    """Accesses of every kind: what makes sense does what a model says, the rest is SLVERR and does nothing."""
    bench = await Bench.begun(dut)
    random, memory = bench.random, {}
    names = {number: name for name, number in REGISTERS.items()}
    shown = {"identity": IDENTITY, "digest": bench.image.config.digest, "control": 0}
    await bench.bus.write("memory_position", 0)
    address = 0
    for _ in range(ACCESSES):
        number, length = random.randrange(1 << NUMBER_BITS), random.choice((1, 2, 4, 4, 4, 4))
        if random.random() < 0.6:
            number = REGISTERS[random.choice(("memory_position", "memory_data", "memory_data", "identity", "digest"))]
        name, offset = names.get(number), random.randrange(WORD_BYTES - length + 1)
        place = number * WORD_BYTES + offset
        if name != "control" and random.random() < 0.5:
            position = random.randrange(8)
            data = POSITION.pack({"select": MEMORY_DATA, "address": position})[0]
            if name != "memory_position":
                data = random.getrandbits(32)
            allowed = name in WRITABLE and length == WORD_BYTES
            answer = await bench.master.write(place, data.to_bytes(WORD_BYTES, "little")[:length])
            if allowed and name == "memory_position":
                address = position
            elif allowed:
                memory[address] = data
                address += 1
        else:
            allowed = name is not None
            answer = await bench.master.read(place, length)
            shown["memory_position"] = POSITION.pack({"select": MEMORY_DATA, "address": address})[0]
            expected = shown.get(name or "")
            if name == "memory_data":
                expected = memory.get(address)
                address += 1
            if expected is not None:
                assert answer.data == expected.to_bytes(WORD_BYTES, "little")[offset : offset + length]
        assert answer.resp == (AxiResp.OKAY if allowed else AxiResp.SLVERR), f"{answer.resp} to {name}, {number}, {length}"


@cocotb.test()
async def both_ways(dut: Any) -> None:
    """Reads and writes at once, several of each under way; the window into the memories is closed while the core is enabled."""
    bench = await Bench.begun(dut)
    last, tasks = 0, []
    for _ in range(ACCESSES):
        if bench.random.random() < 0.5:
            last = POSITION.pack({"select": MEMORY_DATA, "address": bench.random.randrange(64)})[0]
            tasks.append(cocotb.start_soon(bench.bus.write("memory_position", last)))
        else:
            tasks.append(cocotb.start_soon(bench.bus.read("identity")))
        if len(tasks) > 8:
            assert await tasks.pop(0) in (None, IDENTITY)
    for task in tasks:
        assert await task in (None, IDENTITY)
    assert await bench.bus.read("memory_position") == last
    await bench.bus.write("control", 1)
    window = REGISTERS["memory_data"] * WORD_BYTES
    assert (await bench.master.read(window, WORD_BYTES)).resp == AxiResp.SLVERR
    assert (await bench.master.write(window, bytes(WORD_BYTES))).resp == AxiResp.SLVERR


@cocotb.test()
async def packets_of_any_length(dut: Any) -> None:
    """Each packet gives one: of zeros after what is missing, without what is too much, and marked as wrong."""
    bench = await Bench.begun(dut)
    random, exact, shape = bench.random, bench.words.shape[1], bench.raw.shape[1:]
    byte = np.int8 if bench.image.meta["input"]["low"] < 0 else np.uint8
    await bench.bus.write("control", 1)
    for _ in range(6):
        index = random.randrange(len(bench.words))
        length = random.choice((exact, random.randrange(1, exact + 1), exact + random.randrange(1, 9)))
        words = bench.words[index][:length].tolist() + [random.getrandbits(32) for _ in range(length - exact)]
        await bench.send(words)
        taken = np.zeros(exact, np.uint32)
        taken[: min(length, exact)] = words[:exact]
        tensor = taken.view(byte)[: int(np.prod(shape))].reshape(1, *shape).astype(bench.raw.dtype)
        found, wrong = await bench.receive()
        assert wrong == (length != exact)
        expect_outputs(real_outputs(bench.image, np.array([found], np.uint32)), golden.run(bench.image, tensor))
    await bench.infer(0)


@cocotb.test()
async def disabled_on_the_way(dut: Any) -> None:
    """Disabling at any time: what came out ends as a packet, what is left of the input is dropped, the next packet is well."""
    bench = await Bench.begun(dut)
    random, exact = bench.random, bench.words.shape[1]
    whole = bench.whole(0) + 6 * exact + 4 * bench.header["output_words"]
    for share in (0.05, 0.5, 0.9, 0.97, 1.0, random.random(), random.random()):
        await bench.bus.write("control", 1)
        await bench.send(bench.words[0])
        await ClockCycles(dut.aclk, int(whole * share))
        await bench.bus.write("control", 0)
        await ClockCycles(dut.aclk, random.randrange(40))
        await bench.bus.write("control", 1)
        await bench.send(bench.words[1])
        results = [await bench.receive()]
        # A packet that was cut, or a whole one, may stand before; the input may have waited and be the first.
        while True:
            words, wrong = results[-1]
            if not wrong and np.array_equal(real_outputs(bench.image, np.array([words], np.uint32))[0], bench.outputs[1]):
                break
            assert len(results) < 3
            if not wrong:
                bench.check_output(0, words)
            results.append(await bench.receive())
        await bench.bus.write("control", 0)
        assert bench.sink.empty()


@cocotb.test()
async def reset_on_the_way(dut: Any) -> None:
    """Reset in the middle of accesses and packets; what follows is as if nothing had been. The memories keep what they hold."""
    bench = await Bench.begun(dut)
    for share in (0.02, 0.4, 1.0):
        await bench.bus.write("control", 1)
        await bench.send(bench.words[0])
        await ClockCycles(dut.aclk, int(bench.whole(0) * share) + bench.random.randrange(20))
        for register in ("control", "identity"):
            bench.master.init_read(REGISTERS[register] * WORD_BYTES, WORD_BYTES)
            bench.master.init_write(REGISTERS[register] * WORD_BYTES, bytes(WORD_BYTES))
        await ClockCycles(dut.aclk, bench.random.randrange(1, 8))
        dut.aresetn.value = 0
        await ClockCycles(dut.aclk, 3)
        await RisingEdge(dut.aclk)
        assert not any(int(getattr(dut, name).value) for name in ("s_axi_bvalid", "s_axi_rvalid", "m_axis_tvalid"))
        dut.aresetn.value = 1
        bench.source.clear()
        bench.sink.clear()
        await ClockCycles(dut.aclk, 2)
        assert await bench.bus.read("control") == 0
        await bench.bus.write("control", 1)
        await bench.infer(1)
        await bench.check_counters(1)
