"""Stream components in Amaranth's simulator: random stalls on both sides, contract checkers, and a watchdog.

A test is one call::

    transfers = streams.run(dut, inputs={"i": [1, 2, 3]}, outputs={"o": 3}, stall=0.3, seed=7)
    assert transfers.values["o"] == model([1, 2, 3])

The contract (Amaranth RFC 61 and 77): `valid` never waits for `ready`, and `valid` and `payload` hold until the transfer.
Sinks that stall sometimes stay unready until they have seen `valid`, so that a component that waits for `ready` is caught by the
watchdog; sources that stall drive a random payload while `valid` is 0, so that one that looks too early computes nonsense.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import data, enum
from amaranth.sim import Simulator

IDLE_CYCLES = 32
"""Cycles without any transfer after which a run whose streams have all been served is over."""


class StreamError(AssertionError):
    """A stream broke its contract, or the component stopped moving."""


@dataclass
class Transfers:
    """What a run moved.

    values: payloads by stream name, in order; structured payloads as dictionaries and lists of integers.
    times: the cycle (0 is the first after reset) of every transfer, by stream name, inputs too.
    cycles: cycles simulated.
    """

    values: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[int]] = field(default_factory=dict)
    cycles: int = 0


def plain(value: Any) -> Any:
    """A simulated value as integers: structures become dictionaries, arrays lists, everything else an int."""
    if isinstance(value, data.Const):
        layout = value.shape()
        if isinstance(layout, data.ArrayLayout):
            return [plain(value[index]) for index in range(layout.length)]
        return {name: plain(value[name]) for name, _ in layout}
    if isinstance(value, enum.Enum):
        return value.value
    return int(value)


def member(component: Any, path: str) -> Any:
    """The interface called `path`: attribute names and indices joined by dots, as in ``"o"`` or ``"events.1"``."""
    for name in path.split("."):
        component = component[int(name)] if name.isdigit() else getattr(component, name)
    return component


async def send(ctx: Any, stream: Any, payloads: Iterable[Any], *, stall: float = 0.0, seed: Any = 0) -> None:
    """Drive `payloads` into an input stream, pausing with probability `stall` before each cycle that could offer one."""
    rng, bits = random.Random(f"send {seed}"), Value.cast(stream.payload)
    for payload in payloads:
        while rng.random() < stall:
            ctx.set(bits, rng.getrandbits(len(bits)))
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        ready = False
        while not ready:
            *_, ready = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)
    if stall:
        ctx.set(bits, rng.getrandbits(len(bits)))


async def receive(ctx: Any, stream: Any, take: Callable[[Any], None], *, stall: float = 0.0, seed: Any = 0) -> None:
    """Accept payloads from an output stream for ever and hand each to `take`.

    With `stall` > 0 each transfer is preceded by random unready cycles, half of the time by waiting for `valid` first.
    """
    rng = random.Random(f"receive {seed}")

    def pause() -> tuple[int, bool]:
        cycles = 0
        while rng.random() < stall:
            cycles += 1
        return cycles, stall > 0 and rng.random() < 0.5

    wait, lazy = pause()
    ctx.set(stream.ready, wait == 0 and not lazy)
    async for _, _, payload, valid, ready in ctx.tick().sample(stream.payload, stream.valid, stream.ready):
        if valid and ready:
            take(plain(payload))
            wait, lazy = pause()
        else:
            wait, lazy = max(wait - 1, 0), lazy and not valid
        ctx.set(stream.ready, wait == 0 and not lazy)


async def check(ctx: Any, stream: Any, name: str) -> None:
    """Raise StreamError when a stream takes an offer back or changes it before its transfer."""
    offered = None
    cycle = 0
    async for _, reset, payload, valid, ready in ctx.tick().sample(Value.cast(stream.payload), stream.valid, stream.ready):
        if offered is not None and not reset:
            if not valid:
                raise StreamError(f"{name} withdrew {offered:#x} in cycle {cycle} before it was taken")
            if payload != offered:
                raise StreamError(f"{name} changed {offered:#x} to {payload:#x} in cycle {cycle} before it was taken")
        offered = payload if valid and not ready and not reset else None
        cycle += 1


def run(
    dut: Any,
    *,
    inputs: Mapping[str, Iterable[Any]],
    outputs: Mapping[str, int],
    stall: float = 0.0,
    seed: Any = 0,
    limit: int = 100_000,
    setup: Callable[[Any], None] | None = None,
    testbenches: Iterable[Any] = (),
    background: Iterable[Any] = (),
    vcd: str | None = None,
) -> Transfers:
    """Simulate a component until every input is sent and every output served.

    Parameters
    ----------
    dut: component with a clock domain ``sync``.
    inputs: payloads for each input stream, by `member` path.
    outputs: payloads to wait for at least, for each output stream. The run goes on until nothing moves for IDLE_CYCLES, so a
        component that gives too many shows them.
    stall: probability of a pause, on both sides; 0 is full speed. seed: anything printable; it fixes every pause.
    limit: cycles after which the watchdog raises StreamError with what was still missing.
    setup: called with the simulator's context before the first cycle, to set ports that are not streams.
    testbenches: further ``async def (ctx)`` functions, run beside the streams; the run lasts at least as long as they do.
    background: the same, but nobody waits for their end: monitors, and models of what surrounds the component.
    vcd: a file to write waveforms to.
    """
    inputs = {name: list(payloads) for name, payloads in inputs.items()}
    result = Transfers({name: [] for name in outputs}, {name: [] for name in [*inputs, *outputs]})
    last = 0

    top = Module()
    top.domains.sync = ClockDomain()
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_clock(1e-6)

    def missing() -> dict[str, int]:
        left = {name: len(payloads) - len(result.times[name]) for name, payloads in inputs.items()}
        left |= {name: count - len(result.values[name]) for name, count in outputs.items()}
        return {name: count for name, count in left.items() if count > 0}

    def source(name: str) -> Callable[[Any], Any]:
        async def testbench(ctx: Any) -> None:
            await send(ctx, member(dut, name), inputs[name], stall=stall, seed=(seed, name))

        return testbench

    def sink(name: str) -> Callable[[Any], Any]:
        async def testbench(ctx: Any) -> None:
            await receive(ctx, member(dut, name), result.values[name].append, stall=stall, seed=(seed, name))

        return testbench

    def checker(name: str) -> Callable[[Any], Any]:
        async def testbench(ctx: Any) -> None:
            await check(ctx, member(dut, name), name)

        return testbench

    def clock(name: str) -> Callable[[Any], Any]:
        async def testbench(ctx: Any) -> None:
            nonlocal last
            stream, cycle = member(dut, name), 0
            async for _, _, valid, ready in ctx.tick().sample(stream.valid, stream.ready):
                if valid and ready:
                    result.times[name].append(cycle)
                    last = cycle
                cycle += 1

        return testbench

    async def supervise(ctx: Any) -> None:
        if setup is not None:
            setup(ctx)
        while missing() or result.cycles < last + IDLE_CYCLES:
            if result.cycles >= limit:
                raise StreamError(f"Nothing more after {limit} cycles (last transfer in {last}); still to move: {missing()}")
            await ctx.tick()
            result.cycles += 1

    simulator.add_testbench(supervise)
    for name in inputs:
        simulator.add_testbench(source(name), background=True)
        simulator.add_testbench(clock(name), background=True)
    for name in outputs:
        simulator.add_testbench(clock(name), background=True)
        simulator.add_testbench(checker(name), background=True)
        simulator.add_testbench(sink(name), background=True)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    if vcd is None:
        simulator.run()
    else:
        with simulator.write_vcd(vcd):
            simulator.run()
    return result
