"""The FIFO: order under stalls, and every valid and ready against a queue with the times of its docstring."""

from random import Random

import circuits
import pytest
from amaranth.lib import data

from galton_hw.fifo import Fifo
from galton_sim import streams


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("depth", [2, 4, 16])
def test_order(depth, stall):
    rng = Random(f"{depth} {stall}")
    shape = data.StructLayout({"a": 5, "b": 3})
    items = [{"a": rng.getrandbits(5), "b": rng.getrandbits(3)} for _ in range(100)]
    transfers = streams.run(Fifo(shape, depth), inputs={"i": items}, outputs={"o": len(items)}, stall=stall, seed=depth)
    assert transfers.values["o"] == items


@pytest.mark.parametrize("depth", [4, 16])
def test_full_speed(depth):
    transfers = streams.run(Fifo(8, depth), inputs={"i": range(50)}, outputs={"o": 50})
    assert transfers.times["i"] == list(range(50))
    assert transfers.times["o"] == [time + Fifo.latency for time in transfers.times["i"]]


@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_every_cycle(depth, seed):
    rng = Random(f"{depth} {seed}")
    dut = Fifo(8, depth)
    full = empty = 0

    async def testbench(ctx):
        nonlocal full, empty
        places, offer, busy = [], None, 0.5
        for cycle in range(400):
            # Bursts on either side fill and empty it.
            if cycle % 40 == 0:
                busy = rng.choice([0.1, 0.5, 0.9])
            if offer is None and rng.random() < busy:
                offer = rng.getrandbits(8)
            ready = rng.random() > busy
            ctx.set(dut.i.valid, offer is not None)
            ctx.set(dut.i.payload, offer or 0)
            ctx.set(dut.o.ready, ready)
            _, _, accepts, valid, payload = await ctx.tick().sample(dut.i.ready, dut.o.valid, dut.o.payload)
            assert accepts == (len(places) < depth)
            assert valid == bool(places and places[0][0] + Fifo.latency <= cycle)
            full, empty = full + (not accepts), empty + (not valid)
            if valid:
                assert payload == places[0][1]
            if valid and ready:
                places.pop(0)
            if offer is not None and accepts:
                places.append((cycle, offer))
                offer = None

    circuits.simulate(dut, testbench)
    assert full > 10
    assert empty > 10


@pytest.mark.parametrize("depth", [0, 1, 3, 12])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match=f"Depth must be a power of two and at least 2, not {depth}"):
        Fifo(8, depth)
