"""The register bus: what each register shows and does, and the window into the memories."""

from dataclasses import replace
from random import Random

import circuits
import pytest

from galton.config import Config
from galton.format import IDENTITY, MEMORY_DATA, MEMORY_TABLE, MEMORY_WEIGHTS, POSITION, PROFILE, REGISTERS, STATUS
from galton_hw.registers import Registers

CONFIG = circuits.SMALL
WIDE = replace(CONFIG, name="wide", lanes=9, planes=1, weight_bits=8, step_bits=1)
FAR = replace(CONFIG, name="far", groups=3)


def memory_of(dut: Registers, words: dict[tuple[int, int], int]):
    """A background testbench: the memories by (select, address), a word `memory_latency` cycles after its address."""

    async def testbench(ctx):
        memory, coming = dut.memory, [0] * dut.memory_latency
        signals = (memory.select, memory.address, memory.write, memory.write_data)
        async for _, _, select, address, write, value in ctx.tick().sample(*signals):
            coming = [*coming[1:], words.get((select, address), 0)]
            ctx.set(memory.read_data, coming[0])
            if write:
                words[select, address] = value

    return testbench


async def access(ctx, dut, name, value=None, *, cycles: int | None = 2, pause=0):
    """Read a register, or write `value`; the answer. Asserts how many cycles it took, or None for any."""
    for _ in range(pause):
        await ctx.tick()
    bus = dut.bus
    ctx.set(bus.valid, 1)
    ctx.set(bus.write, value is not None)
    ctx.set(bus.address, REGISTERS[name])
    ctx.set(bus.write_data, value or 0)
    took = 0
    ready = 0
    while not ready:
        *_, ready, answer = await ctx.tick().sample(bus.ready, bus.read_data)
        took += 1
    assert took == cycles if cycles else 2 <= took < 40
    ctx.set(bus.valid, 0)
    return answer


def position(select, address):
    """The word of POSITION."""
    return POSITION.pack({"select": select, "address": address})[0]


async def status(ctx, dut):
    """The fields of STATUS."""
    return STATUS.unpack([await access(ctx, dut, "status")])


def counters_of(dut: Registers, totals: list[int], index: int = 0):
    """A background testbench: the counters from number `index` on, the next one two cycles after each turn."""

    async def testbench(ctx):
        place, before = index, 0
        ctx.set(dut.counter_index, place)
        ctx.set(dut.counter, totals[place])
        async for *_, turn in ctx.tick().sample(dut.counter_turn):
            place, before = (place + before) % len(totals), turn
            ctx.set(dut.counter_index, place)
            ctx.set(dut.counter, totals[place])

    return testbench


@pytest.mark.parametrize("index", [0, 4, 6])
def test_identity_and_counters(index):
    dut = Registers(CONFIG)
    totals = [0x11111111 * (index + 3) for index in range(PROFILE.words)]

    async def testbench(ctx):
        assert await access(ctx, dut, "identity") == IDENTITY
        assert await access(ctx, dut, "digest") == CONFIG.digest
        for number, field in enumerate(PROFILE.fields):
            assert await access(ctx, dut, field.name, cycles=None, pause=number % 3) == totals[number]

    circuits.simulate(dut, testbench, background=[counters_of(dut, totals, index)])


def test_counters_stand_still_while_an_inference_runs():
    dut = Registers(CONFIG)

    async def testbench(ctx):
        ctx.set(dut.busy, 1)
        for field in PROFILE.fields:
            assert await access(ctx, dut, field.name) == 5
        ctx.set(dut.busy, 0)
        assert await access(ctx, dut, PROFILE.fields[3].name, cycles=2 + 4) == 8

    circuits.simulate(dut, testbench, background=[counters_of(dut, list(range(5, 5 + PROFILE.words)))])


def test_every_address_answers():
    dut = Registers(CONFIG)
    totals = [7] * PROFILE.words

    async def testbench(ctx):
        for address in range(64):
            ctx.set(dut.bus.valid, 1)
            ctx.set(dut.bus.address, address)
            for _ in range(2 * len(totals) + 2):
                *_, ready = await ctx.tick().sample(dut.bus.ready)
                if ready:
                    break
            assert ready, address

    circuits.simulate(dut, testbench, background=[counters_of(dut, totals)])


def test_status():
    dut = Registers(CONFIG)

    async def testbench(ctx):
        assert await status(ctx, dut) == {"busy": 0, "saturated": 0, "layer": 0}
        ctx.set(dut.busy, 1)
        ctx.set(dut.layers_done, 9999)
        assert await status(ctx, dut) == {"busy": 1, "saturated": 0, "layer": 9999}

    circuits.simulate(dut, testbench)


def test_saturation_sticks_until_enabled_again():
    dut = Registers(CONFIG)

    async def testbench(ctx):
        async def saturated():
            return (await status(ctx, dut))["saturated"]

        await access(ctx, dut, "control", 1)
        assert not await saturated()
        ctx.set(dut.saturated, 1)
        await ctx.tick()
        ctx.set(dut.saturated, 0)
        assert await saturated()
        # Neither enabling what is enabled nor disabling clears it.
        await access(ctx, dut, "control", 1)
        assert await saturated()
        await access(ctx, dut, "control", 0)
        assert await saturated()
        await access(ctx, dut, "control", 1)
        assert not await saturated()

    circuits.simulate(dut, testbench)


def test_enable():
    dut = Registers(CONFIG)

    async def testbench(ctx):
        for value in (1, 1, 0, 1, 0xFFFFFFFE):
            await access(ctx, dut, "control", value)
            await ctx.tick()
            assert ctx.get(dut.enable) == await access(ctx, dut, "control") == value & 1

    circuits.simulate(dut, testbench)


def test_registers_that_only_show_are_not_written():
    dut = Registers(CONFIG)

    async def testbench(ctx):
        for name in ("identity", "digest", "status"):
            before = await access(ctx, dut, name)
            await access(ctx, dut, name, 0xFFFFFFFF)
            assert await access(ctx, dut, name) == before
        await access(ctx, dut, "cycles", 0xFFFFFFFF)
        assert not ctx.get(dut.enable)

    circuits.simulate(dut, testbench)


@pytest.mark.parametrize("config", [CONFIG, WIDE, FAR], ids=["one word", "three words", "at a distance"])
@pytest.mark.parametrize("select", [MEMORY_DATA, MEMORY_WEIGHTS, MEMORY_WEIGHTS + 1, MEMORY_TABLE])
def test_memory_window(config: Config, select):
    rng, dut, words = Random(f"{config.name} {select}"), Registers(config), {}
    chunks = config.entry_chunks if MEMORY_WEIGHTS <= select < MEMORY_TABLE else 1
    parts = [[rng.getrandbits(32) for _ in range(chunks)] for _ in range(5)]

    async def testbench(ctx):
        await access(ctx, dut, "memory_position", position(select, 10))
        if chunks > 1:
            # Half an entry is forgotten with the next memory or address.
            await access(ctx, dut, "memory_data", 0xDEAD)
            await access(ctx, dut, "memory_position", position(select, 10))
        for entry in parts:
            for part in entry:
                await access(ctx, dut, "memory_data", part, pause=rng.randrange(3))
        assert await access(ctx, dut, "memory_position") == position(select, 10 + len(parts))
        await access(ctx, dut, "memory_position", position(select, 10))
        for entry in parts:
            for part in entry:
                cycles = 1 + dut.memory_latency
                assert await access(ctx, dut, "memory_data", cycles=cycles, pause=rng.randrange(3)) == part
        assert await access(ctx, dut, "memory_position") == position(select, 10 + len(parts))

    circuits.simulate(dut, testbench, background=[memory_of(dut, words)])
    mask = (1 << 32 * chunks) - 1
    entries = [sum(part << (32 * index) for index, part in enumerate(entry)) for entry in parts]
    assert {key: value & mask for key, value in words.items()} == {(select, 10 + i): e for i, e in enumerate(entries)}


def test_memory_window_is_dead_while_enabled():
    dut, words = Registers(CONFIG), {(MEMORY_DATA, 3): 77}

    async def testbench(ctx):
        await access(ctx, dut, "memory_position", position(MEMORY_DATA, 3))
        await access(ctx, dut, "control", 1)
        await access(ctx, dut, "memory_data", 5)
        await access(ctx, dut, "memory_data")
        assert await access(ctx, dut, "memory_position") == position(MEMORY_DATA, 3)
        await access(ctx, dut, "control", 0)
        assert await access(ctx, dut, "memory_data") == 77

    circuits.simulate(dut, testbench, background=[memory_of(dut, words)])
    assert words == {(MEMORY_DATA, 3): 77}
