"""The whole core in Amaranth's simulator: what the compiled harness does not try."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.sim import Simulator
from networks import random_inputs, random_network

from galton import cycles, decode, golden
from galton.compiler import compile
from galton.config import Config, named
from galton.format import (
    CONTROL,
    IDENTITY,
    MEMORY_DATA,
    MEMORY_TABLE,
    MEMORY_WEIGHTS,
    POSITION,
    PROFILE,
    REGISTERS,
    STATUS,
)
from galton.link.places import places
from galton.words import input_words, memories, real_outputs
from galton_hw.core import Core

ENABLE = CONTROL.pack({"enable": 1})[0]


class Host:
    """The register bus and both streams of a core, for one testbench."""

    def __init__(self, ctx, core):
        self.ctx, self.core = ctx, core

    async def _request(self, name, write, value):
        ctx, bus = self.ctx, self.core.bus
        for signal, setting in (bus.valid, 1), (bus.write, write), (bus.address, REGISTERS[name]), (bus.write_data, int(value)):
            ctx.set(signal, setting)
        for _ in range(40):
            *_, ready, answer = await ctx.tick().sample(bus.ready, bus.read_data)
            if ready:
                ctx.set(bus.valid, 0)
                return answer
        raise AssertionError(f"register {name} never answered")

    async def write(self, name, value):
        await self._request(name, 1, value)

    async def read(self, name):
        return await self._request(name, 0, 0)

    async def load(self, image):
        await self.write("control", 0)
        for memory in memories(image):
            await self.write("memory_position", *POSITION.pack({"select": memory.select, "address": memory.address}))
            for word in memory.words:
                await self.write("memory_data", word)

    async def infer(self, words, count, *, abandon=None, limit=20_000):
        """Output words of one inference; with `abandon`, stop after that many cycles."""
        ctx, core = self.ctx, self.core
        sent, outputs = 0, []
        ctx.set(core.o.ready, 1)
        for cycle in range(limit):
            ctx.set(core.i.valid, sent < len(words))
            ctx.set(core.i.payload, int(words[min(sent, len(words) - 1)]))
            *_, taken, valid, payload = await ctx.tick().sample(core.i.ready & core.i.valid, core.o.valid, core.o.payload)
            sent += taken
            if valid:
                outputs.append(payload)
            if len(outputs) == count or cycle == abandon:
                break
        ctx.set(core.i.valid, 0)
        ctx.set(core.o.ready, 0)
        return np.array(outputs, np.uint32)


def run(config, testbench):
    core = Core(config)
    simulator = Simulator(core)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        await testbench(Host(ctx, core))

    simulator.add_testbench(bench)
    simulator.run()


@pytest.fixture(scope="module")
def compiled():
    config = named("tiny")
    network = random_network(3, config, size=6, channels=8, operations=10_000)
    raw = random_inputs(3, network)
    return compile(network, config).image, raw


@pytest.mark.parametrize("abandon", [5, 333, *(pytest.param(late, marks=pytest.mark.cosim) for late in (90, 500))])
def test_disabled_in_the_middle_it_starts_afresh(compiled, abandon):
    image, raw = compiled
    words, count = input_words(raw), decode.header(image)["output_words"]

    async def testbench(host):
        await host.load(image)
        await host.write("control", ENABLE)
        await host.infer(words[0], count, abandon=abandon + image.config.accumulator_words)
        await host.write("control", 0)
        await host.write("control", ENABLE)
        for index in range(len(raw)):
            outputs = await host.infer(words[index], count)
            assert np.array_equal(real_outputs(image, outputs[None])[0], golden.run(image, raw)[index])

    run(image.config, testbench)


def test_registers_tell_identity_status_and_counters(compiled):
    image, raw = compiled
    predicted = cycles.predict(image, raw[:1])[0]

    async def testbench(host):
        await host.load(image)
        assert await host.read("identity") == IDENTITY
        assert await host.read("digest") == image.config.digest
        await host.write("control", ENABLE)
        assert await host.read("control") == ENABLE
        await host.infer(input_words(raw)[0], decode.header(image)["output_words"])
        for _ in range(3):
            status = STATUS.unpack([await host.read("status")])
        assert status["busy"] == 0
        assert status["layer"] == len(predicted)
        assert status["saturated"] == (sum(layer["saturations"] for layer in predicted) > 0)
        for field in PROFILE.fields:
            assert await host.read(field.name) == sum(layer[field.name] for layer in predicted), field.name

    run(image.config, testbench)


def test_every_memory_reads_back_over_the_bus(compiled):
    image, _ = compiled

    async def testbench(host):
        await host.load(image)
        contents = [(MEMORY_DATA, image.program), (MEMORY_WEIGHTS, image.chunks[0].reshape(-1)), (MEMORY_TABLE, image.table[0])]
        for select, words in contents:
            await host.write("memory_position", *POSITION.pack({"select": select, "address": 0}))
            for word in words[:40]:
                assert await host.read("memory_data") == word

    run(image.config, testbench)


SMALL = {"lanes": 2, "accumulator_words": 64, "weight_words": 2560, "data_words": 512, "rows": 16, "channels": 32}


@pytest.mark.parametrize("more", [{}, {"groups": 3}, {"groups": 3, "step_bits": 2, "table_words": 64}])
def test_every_group_reads_back_over_the_bus_while_it_rests(more):
    """Both ends of each memory, and of its banks, near and far from the bus."""
    config = Config("resting", **SMALL, **more)
    edges = {2560: (0, 1, 2047, 2048, 2559), 512: (0, 511), 64: (0, 63)}

    async def testbench(host):
        await host.write("control", 0)
        for write in (True, False):
            for place in places(config):
                for address in edges[place.size]:
                    await host.write("memory_position", *POSITION.pack({"select": place.select, "address": address}))
                    value = (place.select << 12 ^ address + 5) & (1 << place.widths[0]) - 1
                    if write:
                        await host.write("memory_data", value)
                    else:
                        assert await host.read("memory_data") == value, (place.name, address)

    run(config, testbench)
