"""What every cocotb testbench of a whole core is about, whatever bus it is on: an image, its inputs, and what must come out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from cocotb.triggers import Timer

from galton import cycles, decode, golden
from galton.format import IDENTITY, MEMORY_DATA, POSITION, PROFILE, STATUS
from galton.image import Image
from galton.words import input_words, memories, profiles, real_outputs
from galton_sim.simulate import expect_outputs, expect_profiles


class Registers(ABC):
    """A host's registers by name; a driver of a bus gives `read` and `write`."""

    @abstractmethod
    async def read(self, register: str) -> int:
        """The value of a register."""

    @abstractmethod
    async def write(self, register: str, data: int) -> None:
        """Set a register."""

    async def load(self, select: int, address: int, words: Iterable[int]) -> None:
        """Write words into a memory."""
        await self.write("memory_position", *POSITION.pack({"select": select, "address": address}))
        for word in words:
            await self.write("memory_data", int(word))

    async def dump(self, select: int, address: int, count: int) -> list[int]:
        """Read words of a memory."""
        await self.write("memory_position", *POSITION.pack({"select": select, "address": address}))
        return [await self.read("memory_data") for _ in range(count)]


class CoreBench(ABC):
    """The image and inputs that the environment names (cocotb_runner.run), what the models say of them, and a core for them.

    Members: `bus`, of the core, which a bench of a bus gives; `image`; `header` of its NETWORK; `raw` inputs and their `words`
    (n, words); `outputs`; `counters`, of each inference and layer; `stall`, the probability of a pause; `seed`.
    """

    bus: Registers

    def __init__(self) -> None:
        self.image = Image.load(os.environ["GALTON_IMAGE"])
        raw = np.load(os.environ["GALTON_INPUTS"])
        self.raw, self.words = raw, input_words(raw)
        self.header = decode.header(self.image)
        self.outputs = golden.run(self.image, raw)
        self.counters = cycles.predict(self.image, raw)
        self.names = [layer["name"] for layer in self.image.meta["layers"]]
        self.stall, self.seed = float(os.environ["GALTON_STALL"]), os.environ["GALTON_SEED"]

    @abstractmethod
    async def start(self) -> None:
        """Clock, reset, memories."""

    @abstractmethod
    async def infer(self, *indices: int) -> None:
        """Send inputs, one after the other, and check their outputs."""

    @classmethod
    async def begun(cls, *arguments: Any, **options: Any) -> Self:
        """A bench whose core is loaded; arguments as of the class.

        Nothing is driven at time 0, where some simulators have not begun to watch for changes.
        """
        await Timer(1, "ns")
        bench = cls(*arguments, **options)
        await bench.start()
        return bench

    async def load(self) -> None:
        """Identity, then all memories; the core is disabled."""
        assert await self.bus.read("identity") == IDENTITY
        assert await self.bus.read("digest") == self.image.config.digest
        await self.bus.write("control", 0)
        for memory in memories(self.image):
            await self.bus.load(memory.select, memory.address, memory.words)

    async def one_at_a_time(self) -> None:
        """Outputs, counters and status of every input, the core enabled anew for each."""
        for index in range(len(self.words)):
            await self.bus.write("control", 1)
            await self.infer(index)
            await self.check_status(index)
            await self.check_counters(index)

    def check_output(self, index: int, words: Iterable[int]) -> None:
        """The words of the output of one input."""
        found = np.array([list(words)], np.uint32)
        expect_outputs(real_outputs(self.image, found), self.outputs[index : index + 1])

    async def check_counters(self, index: int) -> None:
        """The counters of the last inference, of input `index`; leaves the core disabled."""
        await self.bus.write("control", 0)
        words = await self.bus.dump(MEMORY_DATA, self.header["profile_base"], PROFILE.words * len(self.names))
        expect_profiles([profiles(words)], self.counters[index : index + 1], self.names)

    async def check_status(self, index: int) -> None:
        """STATUS after input `index`, for which the core was enabled."""
        saturations = sum(layer["saturations"] for layer in self.counters[index])
        expected = {"busy": 0, "saturated": int(saturations > 0), "layer": len(self.names)}
        assert STATUS.unpack([await self.bus.read("status")]) == expected

    def whole(self, index: int) -> int:
        """Cycles that the layers of one inference take."""
        return sum(layer["cycles"] for layer in self.counters[index])


def pauses(random: Any, stall: float) -> Iterable[bool]:
    """For each cycle whether a channel pauses, with probability `stall`."""
    while True:
        yield random.random() < stall
