"""The way to a group: a cycle each way, and never more events on their way than the group's FIFO holds."""

from dataclasses import replace
from random import Random

import circuits
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from galton_hw.distance import Distance
from galton_hw.fifo import Fifo

CONFIG = replace(circuits.DENSE, groups=4, fifo_depth=4)


class Distant(Elaboratable):
    """A way with a FIFO at its end, which says when an event leaves it."""

    def __init__(self):
        self.way = Distance(CONFIG)
        self.fifo = Fifo(self.way.i.payload.shape(), CONFIG.fifo_depth)

    def elaborate(self, platform):
        m = Module()
        m.submodules.way, m.submodules.fifo = self.way, self.fifo
        wiring.connect(m, self.way.o, self.fifo.i)
        m.d.comb += self.way.left.eq(self.fifo.o.valid & self.fifo.o.ready)
        return m


@pytest.mark.parametrize("seed", range(3))
def test_events(seed):
    """An event is there a cycle later than without, its place is free a cycle later, and the FIFO takes whatever comes."""
    rng = Random(seed)
    dut = Distant()
    full = moved = 0

    async def testbench(ctx):
        nonlocal full, moved
        held, free, offer, busy = [], [0] * CONFIG.fifo_depth, None, 0.5
        for cycle in range(400):
            if cycle % 40 == 0:
                busy = rng.choice([0.1, 0.5, 0.9])
            if offer is None and rng.random() < busy:
                offer = rng.getrandbits(9)
            ready = rng.random() > busy
            ctx.set(dut.way.i.valid, offer is not None)
            ctx.set(dut.way.i.payload.start, offer or 0)
            ctx.set(dut.fifo.o.ready, ready)
            way, fifo = dut.way, dut.fifo
            sampled = way.i.ready, fifo.o.valid, fifo.o.payload.start, way.o.valid, way.o.ready
            _, _, accepts, valid, start, comes, takes = await ctx.tick().sample(*sampled)
            assert accepts == bool(free and free[0] <= cycle)
            assert valid == bool(held and held[0][0] + Fifo.latency + CONFIG.group_distance <= cycle)
            assert takes or not comes
            full += not accepts
            if valid:
                assert start == held[0][1]
            if valid and ready:
                held.pop(0)
                free.append(cycle + 1 + CONFIG.group_distance)
                moved += 1
            if offer is not None and accepts:
                held.append((cycle, offer))
                free.pop(0)
                offer = None

    circuits.simulate(dut, testbench)
    assert full > 10
    assert moved > 40


def test_fetches_and_accumulators():
    rng = Random(0)
    rows = [[rng.randint(-999, 999) for _ in range(CONFIG.lanes)] for _ in range(30)]
    stimuli = [{"fetch": rng.getrandbits(1), "fetch_word": rng.getrandbits(6), "group_accumulators": row} for row in rows]
    seen = circuits.run(Distance(CONFIG), stimuli, ["group_fetch", "group_fetch_word", "accumulators"])
    for before, after in zip(stimuli, seen[CONFIG.group_distance :], strict=False):
        assert [after["group_fetch"], after["group_fetch_word"]] == [before["fetch"], before["fetch_word"]]
        assert list(after["accumulators"]) == before["group_accumulators"]


def test_only_many_groups_are_at_a_distance():
    assert [replace(CONFIG, groups=groups).group_distance for groups in (1, 2, 3, 8)] == [0, 0, 1, 1]
