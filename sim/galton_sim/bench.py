"""What every cocotb testbench of a whole core is about, whatever bus it is on: an image, its inputs, and what must come out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from galton import cycles, decode, golden
from galton.format import IDENTITY, MEMORY_DATA, POSITION, PROFILE, STATUS
from galton.image import Image
from galton.words import input_words, memories, profiles, real_outputs
from galton_sim.simulate import expect_outputs, expect_profiles


class Registers:
    """A host's registers by name; a driver of a bus gives `read` and `write`."""

    async def read(self, register: str) -> int:
        """The value of a register."""
        raise NotImplementedError

    async def write(self, register: str, data: int) -> None:
        """Set a register."""
        raise NotImplementedError

    async def load(self, select: int, address: int, words: Iterable[int]) -> None:
        """Write words into a memory."""
        await self.write("memory_position", *POSITION.pack({"select": select, "address": address}))
        for word in words:
            await self.write("memory_data", int(word))

    async def dump(self, select: int, address: int, count: int) -> list[int]:
        """Read words of a memory."""
        await self.write("memory_position", *POSITION.pack({"select": select, "address": address}))
        return [await self.read("memory_data") for _ in range(count)]


class Expected:
    """The image and inputs that the environment names (cocotb_runner.run), and what the models say of them.

    Members: `image`; `header` of its NETWORK; `raw` inputs and their `words` (n, words);
    `outputs`; `counters`, of each inference and layer; `stall`, the probability of a pause; `seed`.
    """

    def __init__(self) -> None:
        self.image = Image.load(os.environ["GALTON_IMAGE"])
        raw = np.load(os.environ["GALTON_INPUTS"])
        self.raw, self.words = raw, input_words(raw)
        self.header = decode.header(self.image)
        self.outputs = golden.run(self.image, raw)
        self.counters = cycles.predict(self.image, raw)
        self.names = [layer["name"] for layer in self.image.meta["layers"]]
        self.stall, self.seed = float(os.environ["GALTON_STALL"]), os.environ["GALTON_SEED"]

    async def load(self, bus: Registers) -> None:
        """Identity, then all memories; the core is disabled."""
        assert await bus.read("identity") == IDENTITY
        assert await bus.read("digest") == self.image.config.digest
        await bus.write("control", 0)
        for memory in memories(self.image):
            await bus.load(memory.select, memory.address, memory.words)

    def check_output(self, index: int, words: Iterable[int]) -> None:
        """The words of the output of one input."""
        found = np.array([list(words)], np.uint32)
        expect_outputs(real_outputs(self.image, found), self.outputs[index : index + 1])

    async def check_counters(self, bus: Registers, index: int) -> None:
        """The counters of the last inference, of input `index`; leaves the core disabled."""
        await bus.write("control", 0)
        words = await bus.dump(MEMORY_DATA, self.header["profile_base"], PROFILE.words * len(self.names))
        expect_profiles([profiles(words)], self.counters[index : index + 1], self.names)

    async def check_status(self, bus: Registers, index: int) -> None:
        """STATUS after input `index`, for which the core was enabled."""
        saturations = sum(layer["saturations"] for layer in self.counters[index])
        expected = {"busy": 0, "saturated": int(saturations > 0), "layer": len(self.names)}
        assert STATUS.unpack([await bus.read("status")]) == expected

    def whole(self, index: int) -> int:
        """Cycles that the layers of one inference take."""
        return sum(layer["cycles"] for layer in self.counters[index])


def pauses(random: Any, stall: float) -> Iterable[bool]:
    """For each cycle whether a channel pauses, with probability `stall`."""
    while True:
        yield random.random() < stall
