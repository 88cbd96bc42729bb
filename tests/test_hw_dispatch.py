"""The dispatch in front of FIFOs: zeros vanish, all groups get an event or one alone, rows wait for the ring; stalls add up."""

from dataclasses import replace
from random import Random

import circuits
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from tiers import spread

from galton.format import ROW
from galton_hw.dispatch import Dispatch, event_layout
from galton_hw.fifo import Fifo
from galton_hw.layout import field_bits
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout
from galton_sim import streams

CONFIG = circuits.SMALL
CONFIGS = {1: CONFIG, 4: replace(CONFIG, lanes=6, scan_width=4)}
RING_ROWS = 4
DONE_BITS = field_bits(ROW, "done")
DONE = (1 << DONE_BITS) - 1
ALL = 0b11
FEWER, LATE = 0b0011_1010, 0b1010_0110
"""Bits of two groups' four labels."""


class Dispatched(wiring.Component):
    """A dispatch and a FIFO for each group, whose readiness, as the dispatch asks for, lasts until it is used."""

    def __init__(self, config):
        self.dispatch, self.fifos = Dispatch(config), [Fifo(event_layout(config), 2) for _ in range(config.groups)]
        items = count_layout(config.count_bits, tag_layout(config), config.scan_width)
        outputs = Out(stream.Signature(event_layout(config))).array(config.groups)
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


def draw_items(rng, rows, group_channels, config):
    """Rows of counts behind their markers, and the marker that ends them; between 0 and 3 rows are done at a time, as many as had
    segments before.

    group_channels: of an elementwise layer, whose rows are of whole pixels; 0 for other layers.
    """
    items, width, segments = [], config.scan_width, 0

    def add(size, **values):
        tag = {name: rng.getrandbits(field.width) for name, field in tag_layout(config)}
        magnitudes = [rng.choice([0, 0, 0, 1, 255]) for _ in range(size)] + [0] * (width - size)
        counts = [{"magnitude": magnitude, "negative": rng.getrandbits(1)} for magnitude in magnitudes]
        items.append({"counts": counts, **values, "tag": tag | values["tag"]})

    for _ in range(rows):
        done = min(segments, rng.choice([0, 0, 1, 1, 2, 3]))
        segments = min(segments - done + rng.choice([0, 0, 1, 1, 2, 3]), RING_ROWS)
        add(0, marker=1, tag={"start": done | segments << DONE_BITS, "active": 1, "woken": ALL})
        if not group_channels:
            for _ in range(rng.choice([0, 1, 5, 12])):
                add(1, marker=0, tag={"active": rng.random() < 0.8, "vector_end": 0, "woken": rng.randint(1, ALL)})
        for _ in range(rng.choice([0, 1, 4]) if group_channels else 0):
            active = rng.random() < 0.8
            for _ in range(config.groups):
                for first in range(0, group_channels, config.lanes):
                    lanes = min(config.lanes, group_channels - first)
                    for bundle in range(0, lanes, width):
                        ends = {"vector_end": int(bundle + width >= lanes)}
                        ends["group_end"] = int(ends["vector_end"] and first + lanes == group_channels)
                        add(min(width, lanes - bundle), marker=0, tag={"active": active, "woken": ALL, **ends})
    add(0, marker=1, tag={"start": segments, "active": 1, "woken": ALL})
    return items


def deliveries(items, group_channels, config):
    """For every item what each group gets of it, {group: event}."""
    found, group, bundle, begun = [], 0, 0, False
    for item in items:
        tag, groups = item["tag"], range(config.groups)
        counted = bool(tag["active"] and any(count["magnitude"] for count in item["counts"]))
        event = {name: item[name] for name in ("counts", "marker")} | {"last": tag["vector_end"], "bundle": bundle}
        event |= {name: tag[name] for name in ("start", "column")}
        if not group_channels:
            groups = [group for group in groups if tag["woken"] >> group & 1]
        if group_channels and not item["marker"]:
            groups, begun = [group], counted or begun
            counted = counted or bool(begun and tag["vector_end"])
            group, bundle = (group + (tag["vector_end"] and tag["group_end"])) % config.groups, bundle + 1
            if tag["vector_end"]:
                bundle, begun = 0, False
        own = {place: {"short": tag["short"] | bit(FEWER, place, tag), "late": bit(LATE, place, tag)} for place in groups}
        if item["marker"]:
            own = {place: {"short": values["short"], "late": 0} for place, values in own.items()}
        found.append({place: event | values for place, values in own.items()} if item["marker"] or counted else {})
    return found


def bit(field, group, tag):
    """Of a LAYER field with a bit for each group and label."""
    return field >> (4 * group + tag["label"]) & 1


SIZES = [(1, 0), (1, 1), (1, 3), (1, 4), (1, 8), (4, 0), (4, 3), (4, 8), (4, 17)]
"""Scan widths and channels of a group."""


@pytest.mark.parametrize(("stall", "sizes"), spread(2, [0.0, 0.3, 0.6], SIZES))
def test_dispatch(stall, sizes):
    width, group_channels = sizes
    rng, config = Random(f"{stall} {group_channels}"), CONFIGS[width]
    items, dut, seen = draw_items(rng, 25, group_channels, config), Dispatched(config), []
    due, dispatch = deliveries(items, group_channels, config), dut.dispatch
    rows = sum(item["tag"]["start"] & DONE for item in items if item["marker"])

    async def drain(ctx):
        # Never more drained than done.
        drained = 0
        wait = rng.randrange(1, 9)
        while drained < rows:
            done = sum(cycle["start"] & DONE for cycle in seen if cycle["i_valid"] and cycle["i_ready"] and cycle["marker"])
            pulse = drained < done and wait == 0
            wait = rng.randrange(60 if group_channels else 15) if pulse else max(wait - 1, 0)
            drained += pulse
            ctx.set(dispatch.row_drained, pulse)
            await ctx.tick()
        ctx.set(dispatch.row_drained, 0)

    def setup(ctx):
        ctx.set(dispatch.layer, circuits.layer(ring_rows=RING_ROWS, elementwise=int(group_channels > 0), fewer=FEWER, late=LATE))

    item = dispatch.i.payload
    watched = {name: getattr(dispatch, name) for name in ("events", "fifo_stall", "ring_stall", "row_drained")}
    watched |= {"i_valid": dispatch.i.valid, "i_ready": dispatch.i.ready, "marker": item.marker, "start": item.tag.start}
    for index in range(config.groups):
        watched |= {f"valid_{index}": dispatch.o[index].valid, f"ready_{index}": dispatch.o[index].ready}

    async def source(ctx):
        # Where the groups are slow, items wait all the time.
        await streams.send(ctx, dut.i, items, stall=stall if stall < 0.5 else 0, seed=group_channels)

    events = [[groups[index] for groups in due if index in groups] for index in range(config.groups)]
    transfers = streams.run(
        dut,
        inputs={},
        outputs={f"o.{index}": len(events[index]) for index in range(config.groups)},
        stall=stall,
        seed=group_channels,
        setup=setup,
        testbenches=[drain, source],
        background=[circuits.monitor(watched, seen)],
    )
    for index in range(config.groups):
        assert transfers.values[f"o.{index}"] == events[index]
    if group_channels > width:
        # Vectors that zeros end.
        assert any(not any(count["magnitude"] for count in event["counts"]) and not event["marker"] for event in events[0])
    check_cycles(seen, due)
    active = [count["magnitude"] for item in items if item["tag"]["active"] for count in item["counts"]]
    assert sum(cycle["events"] for cycle in seen) == len(active) - active.count(0)
    assert any(cycle["ring_stall"] for cycle in seen)
    if stall == 0.6:
        assert any(cycle["fifo_stall"] for cycle in seen)
        alone = [cycle for cycle in seen if cycle["events"] and not all(cycle[f"ready_{g}"] for g in range(config.groups))]
        assert alone


def check_cycles(seen, due):
    """In every cycle an item moves unless the rows claimed before it have no room or a FIFO that it needs is full."""
    done = claimed = drained = place = 0
    for cycle in seen:
        blocked = claimed - drained > RING_ROWS
        if cycle["i_valid"]:
            wanted = due[place]
            ready = all(cycle[f"ready_{index}"] for index in wanted)
            assert cycle["ring_stall"] == blocked
            assert cycle["fifo_stall"] == (not blocked and not ready)
            assert cycle["i_ready"] == (not blocked and ready)
            counts = [groups["counts"] for groups in wanted.values()][:1] if cycle["i_ready"] and not cycle["marker"] else []
            assert cycle["events"] == sum(bool(count["magnitude"]) for bundle in counts for count in bundle)
        else:
            wanted = {}
            assert not (cycle["events"] or cycle["ring_stall"] or cycle["fifo_stall"])
        moved = {index for index in range(CONFIG.groups) if cycle[f"valid_{index}"] and cycle[f"ready_{index}"]}
        assert moved == (set(wanted) if cycle["i_ready"] else set())
        drained += cycle["row_drained"]
        if cycle["i_valid"] and cycle["i_ready"]:
            if cycle["marker"]:
                done += cycle["start"] & DONE
                claimed = done + (cycle["start"] >> DONE_BITS)
            place += 1
    assert place == len(due)
