"""The expander against its events: every segment, the counts that it gathers, a segment a cycle."""

from random import Random

import circuits
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from events import RING, draw_events, draw_vectors, segments_of, signed
from tiers import spread

from galton.format import TABLE
from galton_hw.group import Expander
from galton_sim import streams


class Copying(wiring.Component):
    """An expander, and `copied` as a walker gives it: in the cycle after it has taken a vector's first segment."""

    def __init__(self, config):
        self.expander = expander = Expander(config)
        members = {name: member for name, member in expander.signature.members.items() if name != "copied"}
        super().__init__(members | {"copied": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.expander = expander = self.expander
        for name, member in self.signature.members.items():
            if name not in ("i", "o", "copied"):
                outer, inner = getattr(self, name), getattr(expander, name)
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        wiring.connect(m, wiring.flipped(self.i), expander.i)
        wiring.connect(m, expander.o, wiring.flipped(self.o))
        segment = self.o.payload
        m.d.sync += self.copied.eq(self.o.valid & self.o.ready & self.layer.elementwise & segment.first & ~segment.marker)
        m.d.comb += expander.copied.eq(self.copied)
        return m


@pytest.mark.parametrize(("name", "elementwise", "stall"), spread(2, circuits.CONFIGS, [0, 1], [0.0, 0.3, 0.7]))
def test_expander(name, elementwise, stall):
    config = circuits.CONFIGS[name]
    rng = Random(f"{config.name} {stall} {elementwise}")
    pitch, short = 1 if config.sparse else 9, rng.choice([0, 6])
    layer = circuits.layer(pitch=pitch, entries_long=9, entries_short=short, elementwise=elementwise, **RING)
    table = None
    if config.sparse:
        table = [{"start": rng.randrange(2048), "entries": rng.choice([0, 1, 5])} for _ in range(config.table_words)]
    draw = (draw_vectors, {"config": config}) if elementwise else (draw_events, {})
    events = draw[0](rng, 15, range(60), range(12), **draw[1])
    expected, seen = list(segments_of(events, layer, table, config)), []
    dut = circuits.Resting(Copying(config))

    async def load(ctx):
        ctx.set(dut.layer, layer)
        if table is not None:
            ctx.set(dut.table_host, 1)
            for address, entry in enumerate(table):
                ctx.set(dut.table_write, 1)
                ctx.set(dut.table_address, address)
                ctx.set(dut.table_word, TABLE.pack(entry)[0])
                await ctx.tick()
            ctx.set(dut.table_write, 0)
            ctx.set(dut.table_address, 7)
            *_, _ = await ctx.tick().sample(dut.table_read_data)
            assert ctx.get(dut.table_read_data) == TABLE.pack(table[7])[0]
            ctx.set(dut.table_host, 0)
        await ctx.tick()
        ctx.set(dut.rest, 0)

    async def source(ctx):
        while ctx.get(dut.rest):
            await ctx.tick()
        await streams.send(ctx, dut.i, events, stall=stall, seed=stall)
        # For the walker to copy the last vector.
        for _ in range(60):
            await ctx.tick()

    transfers = streams.run(
        dut,
        inputs={},
        outputs={"o": len(expected)},
        stall=stall,
        seed=stall,
        testbenches=[load, source],
        background=[circuits.monitor({"copied": dut.copied, "gathered": dut.gathered}, seen)],
    )
    found = transfers.values["o"]
    assert len(found) == len(expected)
    for segment, due in zip(found, expected, strict=True):
        wanted = {name: value for name, value in due.items() if name != "counts"}
        assert {name: segment[name] for name in wanted} == wanted
    counts = [[signed(lane) for lane in cycle["gathered"]] for cycle in seen if cycle["copied"]]
    assert counts == [due["counts"] for due in expected if elementwise and due.get("first")]
    if not stall and not elementwise:
        # A segment in every cycle.
        times = transfers.times["o"]
        assert times == list(range(times[0], times[0] + len(times)))
