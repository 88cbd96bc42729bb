"""The dispatch in front of FIFOs: zeros vanish, groups agree or one alone gets a lane, rows wait for the ring; stalls add up."""

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


def draw_items(rng, rows, group_channels):
    """Rows of counts behind their markers, and the marker that ends them; between 0 and 3 rows are claimed at a time.

    group_channels: of an elementwise layer, whose rows are of whole pixels; 0 for other layers.
    """
    items = []

    def add(**values):
        tag = {name: rng.getrandbits(field.width) for name, field in tag_layout(CONFIG)}
        items.append({"negative": rng.getrandbits(1), **values, "tag": tag | values["tag"]})

    for _ in range(rows):
        add(marker=1, magnitude=0, tag={"claim": rng.choice([0, 0, 1, 1, 2, 3]), "active": 1})
        if not group_channels:
            for _ in range(rng.choice([0, 1, 5, 12])):
                add(marker=0, magnitude=rng.choice([0, 0, 0, 1, 255]), tag={"active": rng.random() < 0.8, "vector_end": 0})
        for _ in range(rng.choice([0, 1, 4]) if group_channels else 0):
            active = rng.random() < 0.8
            for channel in range(group_channels * CONFIG.groups):
                owned = channel % group_channels
                ends = {"group_end": int(owned == group_channels - 1)}
                ends["vector_end"] = int(ends["group_end"] or owned % CONFIG.lanes == CONFIG.lanes - 1)
                add(marker=0, magnitude=rng.choice([0, 0, 0, 1, 255]), tag={"active": active, **ends})
    add(marker=1, magnitude=0, tag={"claim": 0, "active": 1})
    return items


def deliveries(items, group_channels):
    """For every item what each group gets of it, {group: event}."""
    found, channel, begun = [], 0, False
    for item in items:
        tag, groups, lane = item["tag"], range(CONFIG.groups), 0
        counted = bool(item["magnitude"] and tag["active"])
        if group_channels and not item["marker"]:
            groups, lane = [channel // group_channels], channel % group_channels % CONFIG.lanes
            channel = (channel + 1) % (group_channels * CONFIG.groups)
            begun = counted or (begun and lane > 0)
            counted = counted or bool(begun and tag["vector_end"])
        event = {name: item[name] for name in ("magnitude", "negative", "marker")} | {"last": tag["vector_end"], "lane": lane}
        event |= {name: tag[name] for name in ("short", "start", "column")}
        found.append(dict.fromkeys(groups, event) if item["marker"] or counted else {})
    return found


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("group_channels", [0, 1, 3, 4, 8])
def test_dispatch(stall, group_channels):
    rng = Random(f"{stall} {group_channels}")
    items, dut, seen = draw_items(rng, 25, group_channels), Dispatched(), []
    due, dispatch = deliveries(items, group_channels), dut.dispatch
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
            wait = rng.randrange(60 if group_channels else 15) if pulse else max(wait - 1, 0)
            drained += pulse
            ctx.set(dispatch.row_drained, pulse)
            await ctx.tick()
        ctx.set(dispatch.row_drained, 0)

    def setup(ctx):
        ctx.set(dispatch.ring_rows, RING_ROWS)
        ctx.set(dispatch.elementwise, group_channels > 0)

    item = dispatch.i.payload
    watched = {name: getattr(dispatch, name) for name in ("event", "fifo_stall", "ring_stall", "row_drained")}
    watched |= {"i_valid": dispatch.i.valid, "i_ready": dispatch.i.ready, "marker": item.marker, "claim": item.tag.claim}
    for index in range(CONFIG.groups):
        watched |= {f"valid_{index}": dispatch.o[index].valid, f"ready_{index}": dispatch.o[index].ready}

    async def source(ctx):
        # Where the groups are slow, items wait all the time.
        await streams.send(ctx, dut.i, items, stall=stall if stall < 0.5 else 0, seed=group_channels)

    events = [[groups[index] for groups in due if index in groups] for index in range(CONFIG.groups)]
    transfers = streams.run(
        dut,
        inputs={},
        outputs={f"o.{index}": len(events[index]) for index in range(CONFIG.groups)},
        stall=stall,
        seed=group_channels,
        setup=setup,
        testbenches=[drain, source],
        background=[circuits.monitor(watched, seen)],
    )
    for index in range(CONFIG.groups):
        assert transfers.values[f"o.{index}"] == events[index]
    if group_channels > 1:
        # Vectors that a zero ends, and lanes that no event is sent for.
        assert any(event["magnitude"] == 0 and not event["marker"] for event in events[0])
    check_cycles(seen, due)
    counted = [groups for item, groups in zip(items, due, strict=True) if groups and not item["marker"]]
    assert sum(cycle["event"] for cycle in seen) == len(counted)
    if early == 0:
        assert any(cycle["ring_stall"] for cycle in seen)
    if stall == 0.6:
        assert any(cycle["fifo_stall"] for cycle in seen)
        alone = [cycle for cycle in seen if cycle["event"] and not all(cycle[f"ready_{g}"] for g in range(CONFIG.groups))]
        assert bool(alone) == (group_channels > 0)


def check_cycles(seen, due):
    """In every cycle an item moves unless the rows claimed before it have no room or a FIFO that it needs is full."""
    claimed = drained = place = 0
    for cycle in seen:
        blocked = claimed - drained > RING_ROWS
        if cycle["i_valid"]:
            wanted = due[place]
            ready = all(cycle[f"ready_{index}"] for index in wanted)
            assert cycle["ring_stall"] == blocked
            assert cycle["fifo_stall"] == (not blocked and not ready)
            assert cycle["i_ready"] == (not blocked and ready)
            assert cycle["event"] == (cycle["i_ready"] and bool(wanted) and not cycle["marker"])
        else:
            wanted = {}
            assert not (cycle["event"] or cycle["ring_stall"] or cycle["fifo_stall"])
        moved = {index for index in range(CONFIG.groups) if cycle[f"valid_{index}"] and cycle[f"ready_{index}"]}
        assert moved == (set(wanted) if cycle["i_ready"] else set())
        drained += cycle["row_drained"]
        if cycle["i_valid"] and cycle["i_ready"]:
            claimed += cycle["marker"] and cycle["claim"]
            place += 1
    assert place == len(due)
