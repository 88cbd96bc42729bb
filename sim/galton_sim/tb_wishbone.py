"""Cocotb tests of a core on Wishbone, by a standard and by a pipelined master that idle at random, and end cycles early.

The environment names an image, inputs and pauses (cocotb_runner.run).
"""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from galton.format import BUS_REGISTERS, IDENTITY, MEMORY_DATA, POSITION, QUEUE, REGISTERS, WORD_BYTES, WRITABLE
from galton_hw.bus.access import NUMBER_BITS
from galton_sim.bench import CoreBench, Registers
from galton_sim.drivers import CLOCK_NS

NUMBERS = REGISTERS | BUS_REGISTERS
ALL = (1 << WORD_BYTES) - 1
LONGEST = 40
"""Cycles in which every access is answered: a counter's turn comes once a round."""
PATIENCE = 200_000
"""Cycles without a word after which a core counts as hanging."""
ACCESSES = 400
"""Random ones in a test."""


class Refused(Exception):
    """An access ended with wb_err_o."""


class Master(Registers):
    """A master that makes one access at a time, and pauses before it with probability `stall` a cycle.

    Parameters: `pipelined`, wb_stb_i falls as soon as a request is taken, not stalled; else it stands until the answer.
    """

    def __init__(self, dut: Any, *, pipelined: bool, stall: float, seed: str) -> None:
        self.dut, self.pipelined, self.stall = dut, pipelined, stall
        self.random = Random(f"wishbone {seed}")
        for name in ("cyc", "stb", "we", "adr", "sel", "dat"):
            getattr(dut, f"wb_{name}_i").value = 0

    async def request(self, number: int, data: int | None, strobes: int = ALL) -> None:
        """Begin to read a register's number, or to write `data`."""
        dut = self.dut
        while self.random.random() < self.stall:
            await RisingEdge(dut.wb_clk_i)
            assert not int(dut.wb_ack_o.value) and not int(dut.wb_err_o.value), "An answer without a request"
        dut.wb_adr_i.value = number * WORD_BYTES + self.random.randrange(WORD_BYTES)
        dut.wb_we_i.value = int(data is not None)
        dut.wb_dat_i.value = self.random.getrandbits(32) if data is None else data
        dut.wb_sel_i.value = strobes
        dut.wb_cyc_i.value = 1
        dut.wb_stb_i.value = 1

    def end(self) -> None:
        """End the cycle."""
        self.dut.wb_cyc_i.value = 0
        self.dut.wb_stb_i.value = 0

    async def access(self, number: int, data: int | None = None, strobes: int = ALL) -> int:
        """A request and its answer. Raises Refused."""
        dut = self.dut
        await self.request(number, data, strobes)
        for _ in range(LONGEST):
            await RisingEdge(dut.wb_clk_i)
            if self.pipelined and not int(dut.wb_stall_o.value):
                dut.wb_stb_i.value = 0
            acknowledged, refused = int(dut.wb_ack_o.value), int(dut.wb_err_o.value)
            if acknowledged or refused:
                assert not (acknowledged and refused)
                self.end()
                if refused:
                    raise Refused(f"Register {number}")
                return int(dut.wb_dat_o.value)
        raise AssertionError(f"Register {number} did not answer")

    async def abort(self, number: int, data: int | None, cycles: int) -> None:
        """Begin an access, and end it after some cycles, if it has not ended before; then rest for a cycle."""
        await self.request(number, data)
        for _ in range(cycles):
            await RisingEdge(self.dut.wb_clk_i)
            if int(self.dut.wb_ack_o.value):
                break
        self.end()
        await RisingEdge(self.dut.wb_clk_i)

    async def read(self, register: str) -> int:
        """See Registers."""
        return await self.access(NUMBERS[register])

    async def write(self, register: str, data: int) -> None:
        """See Registers."""
        await self.access(NUMBERS[register], int(data))

    async def queue(self) -> dict[str, int]:
        """QUEUE."""
        return QUEUE.unpack([await self.read("queue")])


class Bench(CoreBench):
    """A core on Wishbone, and what it must give."""

    def __init__(self, dut: Any, *, pipelined: bool = False) -> None:
        super().__init__()
        self.dut = dut
        self.bus = Master(dut, pipelined=pipelined, stall=self.stall, seed=f"{self.seed} {pipelined}")
        self.random = self.bus.random

    async def start(self) -> None:
        """Clock, reset, memories."""
        self.dut.wb_rst_i.value = 1
        Clock(self.dut.wb_clk_i, CLOCK_NS, unit="ns").start(start_high=False)
        await ClockCycles(self.dut.wb_clk_i, 4)
        self.dut.wb_rst_i.value = 0
        await self.load()

    async def infer(self, *indices: int) -> None:
        """Inputs and outputs through the queues: whatever there is room for, whenever there is."""
        entering = [int(word) for index in indices for word in self.words[index]]
        found: list[list[int]] = [[]]
        waited = 0
        while len(found) <= len(indices):
            queue = await self.bus.queue()
            moved = False
            for _ in range(min(queue["space"], len(entering), self.random.randrange(20))):
                await self.bus.write("input", entering.pop(0))
                moved = True
            for _ in range(queue["waiting"]):
                last = (await self.bus.queue())["last"]
                found[-1].append(await self.bus.read("output"))
                if last:
                    found.append([])
                moved = True
            if not moved:
                await ClockCycles(self.dut.wb_clk_i, 20)
            waited = 0 if moved else waited + 20
            assert waited < PATIENCE
        for index, words in zip(indices, found, strict=False):
            assert len(words) == self.header["output_words"]
            self.check_output(index, words)


@cocotb.test()
@cocotb.parametrize(pipelined=[False, True])
async def one_at_a_time(dut: Any, pipelined: bool) -> None:
    """Outputs, counters and status of every input, the core enabled anew for each."""
    await (await Bench.begun(dut, pipelined=pipelined)).one_at_a_time()


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    """Inputs follow each other; the interrupt says when there is an output."""
    bench = await Bench.begun(dut)
    await bench.bus.write("control", 1)
    await bench.infer(*range(len(bench.words)), 0)
    assert not int(dut.irq_o.value)
    for word in bench.words[0].tolist():
        while not (await bench.bus.queue())["space"]:
            await ClockCycles(dut.wb_clk_i, 1)
        await bench.bus.write("input", word)
    for _ in range(PATIENCE):
        await RisingEdge(dut.wb_clk_i)
        if int(dut.irq_o.value):
            break
    words = [await bench.bus.read("output")]
    while len(words) < bench.header["output_words"]:
        if (await bench.bus.queue())["waiting"]:
            words.append(await bench.bus.read("output"))
    bench.check_output(0, words)


@cocotb.test()
async def random_accesses(dut: Any) -> None:
    """Accesses of every kind, some ended early: what makes sense does what a model says, the rest is an error, nothing waits."""
    bench = await Bench.begun(dut, pipelined=True)
    random, memory = bench.random, {}
    names = {number: name for name, number in NUMBERS.items()}
    shown = {"identity": IDENTITY, "digest": bench.image.config.digest, "control": 0, "queue": 0}
    await bench.bus.write("memory_position", 0)
    address = 0
    for _ in range(ACCESSES):
        bench.bus.pipelined = random.random() < 0.5
        number, strobes = random.randrange(1 << NUMBER_BITS), random.choice((ALL, ALL, ALL, random.randrange(ALL + 1)))
        if random.random() < 0.6:
            number = NUMBERS[random.choice(("memory_position", "memory_data", "memory_data", "queue", "input", "output"))]
        name = names.get(number)
        if random.random() < 0.2:
            # Reads of anything that no read changes may end at any time; the next answer must be the next access's.
            harmless = random.choice(("identity", "queue", "status", "cycles", "entries"))
            await bench.bus.abort(NUMBERS[harmless], None, random.randrange(1, 6))
        if name != "control" and random.random() < 0.5:
            position = random.randrange(8)
            data = POSITION.pack({"select": MEMORY_DATA, "address": position})[0]
            if name != "memory_position":
                data = random.getrandbits(32)
            # While the core is disabled there are no queues.
            allowed = name in WRITABLE and strobes == ALL
            access = bench.bus.access(number, data, strobes)
        else:
            data, allowed = None, name not in (None, "input", "output")
            access = bench.bus.access(number, None, strobes)
        try:
            answer = await access
        except Refused:
            assert not allowed, f"{name} refused"
            continue
        assert allowed, f"{name} not refused"
        if data is None:
            shown["memory_position"] = POSITION.pack({"select": MEMORY_DATA, "address": address})[0]
            expected = memory.get(address) if name == "memory_data" else shown.get(name or "")
            assert expected in (None, answer), f"{name} reads {answer:#x}, not {expected:#x}"
        elif name == "memory_position":
            address = position
        else:
            memory[address] = data
        address += name == "memory_data"


@cocotb.test()
async def full_and_empty(dut: Any) -> None:
    """A word too many, or one that is not there, is an error at once; disabling empties the queues."""
    bench = await Bench.begun(dut)
    for number, data in ((NUMBERS["output"], None), (NUMBERS["input"], 1)):
        with contextlib.suppress(Refused):
            await bench.bus.access(number, data)
            raise AssertionError("A queue of a disabled core")
    for _ in range(2):
        await bench.bus.write("control", 1)
        with contextlib.suppress(Refused):
            for word in bench.words[0].tolist() * 100:
                await bench.bus.write("input", word)
            raise AssertionError("A queue without end")
        await bench.bus.write("control", 0)
        assert await bench.bus.queue() == {"space": 0, "waiting": 0, "last": 0}
    await bench.bus.write("control", 1)
    await bench.infer(1)


@cocotb.test()
async def cut_on_the_way(dut: Any) -> None:
    """Disabling or reset at any time, also in an access; the next inference is as if nothing had been."""
    bench = await Bench.begun(dut)
    for share in (0.1, 0.5, 1.0, bench.random.random(), bench.random.random()):
        await bench.bus.write("control", 1)
        for word in bench.words[0].tolist():
            while not (await bench.bus.queue())["space"]:
                await ClockCycles(dut.wb_clk_i, 1)
            await bench.bus.write("input", word)
        await ClockCycles(dut.wb_clk_i, int(bench.whole(0) * share))
        if bench.random.random() < 0.5:
            await bench.bus.request(NUMBERS["cycles"], None)
            await ClockCycles(dut.wb_clk_i, bench.random.randrange(1, 5))
            dut.wb_rst_i.value = 1
            bench.bus.end()
            await ClockCycles(dut.wb_clk_i, 2)
            dut.wb_rst_i.value = 0
            assert await bench.bus.read("control") == 0
        else:
            await bench.bus.write("control", 0)
        await bench.bus.write("control", 1)
        await bench.infer(1)
        await bench.check_counters(1)
