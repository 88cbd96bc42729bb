"""Components in Amaranth's simulator, cycle by cycle, and models of what surrounds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from amaranth.hdl import ClockDomain, Const, Elaboratable, Module, ResetInserter, Signal, Value
from amaranth.sim import Simulator

from galton.config import Config
from galton.format import LAYER
from galton_sim.streams import member, plain

SMALL = Config(
    "small",
    groups=2,
    lanes=3,
    step_bits=2,
    accumulator_words=64,
    weight_words=2048,
    table_words=64,
    data_words=512,
    rows=16,
    channels=32,
    fifo_depth=4,
)
"""A sparse configuration that simulates quickly."""

DENSE = replace(SMALL, name="dense", step_bits=0, table_words=0)
WIDE = replace(DENSE, name="wide", lanes=6, scan_width=4)
"""Bundles of four activations, and lanes that they do not fill."""
CONFIGS = {config.name: config for config in (DENSE, SMALL, WIDE)}


class Resting(Elaboratable):
    """A component held in reset, its memories not, while `rest` is 1, as the core holds its engine between layers."""

    def __init__(self, part: Any) -> None:
        self.part, self.rest = part, Signal(init=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.part = ResetInserter(self.rest)(self.part)
        return m


def simulate(dut: Any, *testbenches: Any, background: Iterable[Any] = ()) -> None:
    """Run ``async def (ctx)`` functions until all of `testbenches` are done."""
    top = Module()
    top.domains.sync = ClockDomain()
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    simulator.run()


def run(
    dut: Any,
    stimuli: Iterable[Mapping[str, Any]],
    watch: Sequence[str],
    *,
    idle: Mapping[str, Any] | None = None,
    background: Iterable[Any] = (),
) -> list[dict[str, Any]]:
    """What the ports in `watch` showed in each cycle, with the inputs that `stimuli` gives for it.

    Inputs are set to `idle`, then to the cycle's own values; those in neither keep what they had.
    """
    seen: list[dict[str, Any]] = []

    async def testbench(ctx: Any) -> None:
        for stimulus in stimuli:
            for name, value in {**(idle or {}), **stimulus}.items():
                ctx.set(member(dut, name), value)
            _, _, *values = await ctx.tick().sample(*(member(dut, name) for name in watch))
            seen.append({name: plain(value) for name, value in zip(watch, values, strict=True)})

    simulate(dut, testbench, background=background)
    return seen


def monitor(signals: Mapping[str, Value], seen: list[dict[str, int]]) -> Any:
    """A background testbench that appends the value of every signal in every cycle to `seen`."""

    async def testbench(ctx: Any) -> None:
        async for _, _, *values in ctx.tick().sample(*signals.values()):
            seen.append({name: plain(value) for name, value in zip(signals, values, strict=True)})

    return testbench


def turns(dut: Any, first: int = 1) -> Any:
    """A background testbench that gives `dut.turn` in every second cycle after `dut.rest`, beginning with `first`."""

    async def testbench(ctx: Any) -> None:
        turn = first
        ctx.set(dut.turn, turn)
        if isinstance(dut, Resting):
            async for _, _, rest in ctx.tick().sample(dut.rest):
                turn = first if rest else 1 - turn
                ctx.set(dut.turn, turn)
        async for _ in ctx.tick():
            turn = 1 - turn
            ctx.set(dut.turn, turn)

    return testbench


def data_memory(dut: Any, words: list[int], seed: Any = 0, turn: str | None = "turn") -> Any:
    """A background testbench that serves `dut`'s port of the data memory from `words`; nonsense where nothing was asked for.

    `turn` names the signal that says whose the port is, None where it is always `dut`'s.
    """
    rng = Random(f"memory {seed}")
    write = getattr(dut, "write", None)

    async def testbench(ctx: Any) -> None:
        signals = [getattr(dut, turn) if turn else Const(1), dut.address] + ([write, dut.write_data] if write is not None else [])
        async for _, _, own, address, *rest in ctx.tick().sample(*signals):
            writing = bool(rest and rest[0])
            if writing:
                assert own, f"write to {address} out of turn"
                words[address] = rest[1]
            ctx.set(dut.read_data, words[address] if own and not writing else rng.getrandbits(32))

    return testbench


def layer(**values: int) -> dict[str, int]:
    """The fields of a LAYER record, 0 where not given."""
    unknown = set(values) - {field.name for field in LAYER.fields}
    assert not unknown, unknown
    return {field.name: values.get(field.name, 0) for field in LAYER.fields}
