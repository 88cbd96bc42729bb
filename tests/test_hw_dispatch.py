"""The dispatch in front of FIFOs: zeros vanish, groups agree, rows wait for the ring; every stall is accounted for."""

from random import Random

import circuits
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton_hw.dispatch import Dispatch, event_layout
from galton_hw.fifo import Fifo
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout
from galton_sim import streams

CONFIG = circuits.SMALL
RING_ROWS = 4


class Dispatched(wiring.Component):
    """A dispatch and a FIFO for each group, whose readiness, as the dispatch asks for, lasts until it is used."""

    def __init__(self):
        self.dispatch, self.fifos = Dispatch(CONFIG), [Fifo(event_layout(CONFIG), 2) for _ in range(CONFIG.groups)]
        items = count_layout(CONFIG.count_bits, tag_layout(CONFIG))
        outputs = Out(stream.Signature(event_layout(CONFIG))).array(CONFIG.groups)
        super().__init__({"i": In(stream.Signature(items)), "o": outputs})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatch = self.dispatch
        wiring.connect(m, wiring.flipped(self.i), self.dispatch.i)
        for index, fifo in enumerate(self.fifos):
            m.submodules[f"fifo_{index}"] = fifo
            wiring.connect(m, self.dispatch.o[index], fifo.i)
            wiring.connect(m, fifo.o, wiring.flipped(self.o[index]))
        return m


def draw_items(rng, rows):
    """Rows of counts behind their markers, and the marker that ends them; between 0 and 3 rows are claimed at a time."""
    items = []

    def add(**values):
        tag = {name: rng.getrandbits(field.width) for name, field in tag_layout(CONFIG)}
        items.append({"negative": rng.getrandbits(1), **values, "tag": tag | values["tag"]})

    for _ in range(rows):
        add(marker=1, magnitude=0, tag={"claim": rng.choice([0, 0, 1, 1, 2, 3]), "active": 1})
        for _ in range(rng.choice([0, 1, 5, 12])):
            add(marker=0, magnitude=rng.choice([0, 0, 0, 1, 255]), tag={"active": rng.random() < 0.8})
    add(marker=1, magnitude=0, tag={"claim": 0, "active": 1})
    return items


def expected_events(items):
    """What every group gets."""
    for item in items:
        if item["marker"] or (item["magnitude"] and item["tag"]["active"]):
            tag = {name: item["tag"][name] for name in ("short", "start", "column")}
            yield {"magnitude": item["magnitude"], "negative": item["negative"], **tag}


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_dispatch(stall, seed):
    rng = Random(f"{stall} {seed}")
    items, dut, seen = draw_items(rng, 25), Dispatched(), []
    events, dispatch = list(expected_events(items)), dut.dispatch
    claims = sum(item["tag"]["claim"] for item in items if item["marker"])
    # Some rows are drained before they are claimed: those that no input touches.
    early = rng.choice([0, 2])

    async def drain(ctx):
        # A model of the ring: never more drained than claimed, but for the early ones.
        drained = 0
        wait = rng.randrange(1, 9)
        while drained < claims:
            allowed = early + sum(cycle["i_valid"] and cycle["i_ready"] and cycle["marker"] and cycle["claim"] for cycle in seen)
            pulse = drained < min(allowed, claims) and wait == 0
            wait = rng.randrange(15) if pulse else max(wait - 1, 0)
            drained += pulse
            ctx.set(dispatch.row_drained, pulse)
            await ctx.tick()
        ctx.set(dispatch.row_drained, 0)

    item = dispatch.i.payload
    watched = {name: getattr(dispatch, name) for name in ("event", "fifo_stall", "ring_stall", "row_drained")}
    watched |= {"i_valid": dispatch.i.valid, "i_ready": dispatch.i.ready, "marker": item.marker, "claim": item.tag.claim}
    watched |= {"leaves": item.marker | ((item.magnitude != 0) & item.tag.active), "negative": item.negative}
    for index in range(CONFIG.groups):
        watched |= {f"valid_{index}": dispatch.o[index].valid, f"ready_{index}": dispatch.o[index].ready}
    transfers = streams.run(
        dut,
        inputs={"i": items},
        outputs={f"o.{index}": len(events) for index in range(CONFIG.groups)},
        stall=stall,
        seed=seed,
        setup=lambda ctx: ctx.set(dispatch.ring_rows, RING_ROWS),
        testbenches=[drain],
        background=[circuits.monitor(watched, seen)],
    )
    assert all(transfers.values[f"o.{index}"] == events for index in range(CONFIG.groups))
    check_cycles(seen)
    assert sum(cycle["event"] for cycle in seen) == sum(event["magnitude"] > 0 for event in events)
    if early == 0:
        assert any(cycle["ring_stall"] for cycle in seen)
    if stall == 0.6:
        assert any(cycle["fifo_stall"] for cycle in seen)


def check_cycles(seen):
    """In every cycle an item moves unless the rows claimed before it have no room or it needs a FIFO that is full."""
    claimed = drained = 0
    for cycle in seen:
        blocked = claimed - drained > RING_ROWS
        ready = all(cycle[f"ready_{index}"] for index in range(CONFIG.groups))
        if cycle["i_valid"]:
            assert cycle["ring_stall"] == blocked
            assert cycle["fifo_stall"] == (not blocked and cycle["leaves"] and not ready)
            assert cycle["i_ready"] == (not blocked and (not cycle["leaves"] or ready))
            assert cycle["event"] == (cycle["i_ready"] and cycle["leaves"] and not cycle["marker"])
        else:
            assert not (cycle["event"] or cycle["ring_stall"] or cycle["fifo_stall"])
        transfers = {bool(cycle[f"valid_{index}"] and cycle[f"ready_{index}"]) for index in range(CONFIG.groups)}
        assert transfers == {bool(cycle["i_valid"] and cycle["i_ready"] and cycle["leaves"])}
        drained += cycle["row_drained"]
        if cycle["i_valid"] and cycle["i_ready"] and cycle["marker"]:
            claimed += cycle["claim"]
