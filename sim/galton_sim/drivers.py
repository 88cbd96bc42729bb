"""Cocotb drivers and monitors, one per protocol: register bus, stream source, stream sink.

All of them drive at the falling edge and look one nanosecond later, when everything has settled and nothing changes until the
rising edge: the same in every simulator, whatever the order of its processes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from cocotb.triggers import FallingEdge, RisingEdge, Timer

from galton.format import REGISTERS
from galton_sim.bench import Registers

CLOCK_NS = 10


async def settled(clock: Any) -> None:
    """Wait until what was driven at this falling edge has settled."""
    await Timer(1, "ns")


class RegisterBus(Registers):
    """The host's side of the register bus of `galton_hw.registers`."""

    def __init__(self, dut: Any, *, limit: int = 1000) -> None:
        self.dut, self.limit = dut, limit
        dut.bus__valid.value = 0
        dut.bus__write.value = 0
        dut.bus__address.value = 0
        dut.bus__write_data.value = 0

    async def access(self, register: str, *, write: bool = False, data: int = 0) -> int:
        """One request; what was read. Fails after `limit` cycles without an answer."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.bus__valid.value = 1
        dut.bus__write.value = int(write)
        dut.bus__address.value = REGISTERS[register]
        dut.bus__write_data.value = data
        for _ in range(self.limit):
            await settled(dut.clk)
            if int(dut.bus__ready.value):
                result = int(dut.bus__read_data.value) if not write else 0
                await FallingEdge(dut.clk)
                dut.bus__valid.value = 0
                return result
            await FallingEdge(dut.clk)
        raise AssertionError(f"Register {register} did not answer within {self.limit} cycles")

    async def read(self, register: str) -> int:
        """The value of a register."""
        return await self.access(register)

    async def write(self, register: str, data: int) -> None:
        """Set a register."""
        await self.access(register, write=True, data=int(data))


async def keeps_offers(clock: Any, valid: Any, ready: Any, payloads: Sequence[Any], reset: Any) -> None:
    """For ever: what is offered stands until it is taken, unless `reset` is 0."""
    offered = None
    while True:
        await RisingEdge(clock)
        if not int(reset.value):
            offered = None
            continue
        found = [int(payload.value) for payload in payloads] if int(valid.value) else None
        assert offered in (None, found), f"{valid._name} offered {offered}, then {found} before it was taken"
        offered = None if int(ready.value) else found


class Source:
    """Drives a stream `name` with words, pausing with probability `stall` before each cycle that could offer one."""

    def __init__(self, dut: Any, name: str, *, stall: float = 0.0, seed: Any = 0) -> None:
        self.clock, self.stall, self.random = dut.clk, stall, random.Random(f"source {name} {seed}")
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{port}") for port in ("payload", "valid", "ready"))
        self.valid.value = 0
        self.payload.value = 0

    async def send(self, words: Iterable[int]) -> None:
        """Offer every word until it is taken."""
        await FallingEdge(self.clock)
        for word in words:
            while self.random.random() < self.stall:
                self.payload.value = self.random.getrandbits(len(self.payload))
                await FallingEdge(self.clock)
            self.payload.value = int(word)
            self.valid.value = 1
            taken = False
            while not taken:
                await settled(self.clock)
                taken = bool(int(self.ready.value))
                await FallingEdge(self.clock)
            self.valid.value = 0


class Sink:
    """Takes words from a stream `name`, unready with probability `stall`, and checks that offers stand until they are taken."""

    def __init__(self, dut: Any, name: str, *, stall: float = 0.0, seed: Any = 0) -> None:
        self.clock, self.stall, self.random = dut.clk, stall, random.Random(f"sink {name} {seed}")
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{port}") for port in ("payload", "valid", "ready"))
        self.name = name
        self.ready.value = 0

    async def receive(self, count: int, *, limit: int) -> list[int]:
        """The next `count` words. Fails where none comes for `limit` cycles."""
        words: list[int] = []
        offered, waited = None, 0
        await FallingEdge(self.clock)
        while len(words) < count:
            ready = self.random.random() >= self.stall
            self.ready.value = int(ready)
            await settled(self.clock)
            valid = bool(int(self.valid.value))
            payload = int(self.payload.value) if valid else None
            if offered is not None:
                assert payload == offered, f"{self.name} offered {offered:#x}, then {payload} before it was taken"
            if valid and ready:
                words.append(payload or 0)
            offered, waited = (payload if valid and not ready else None), 0 if valid else waited + 1
            assert waited < limit, f"{self.name} gave {len(words)} of {count} words, then nothing for {limit} cycles"
            await FallingEdge(self.clock)
        self.ready.value = 0
        return words
