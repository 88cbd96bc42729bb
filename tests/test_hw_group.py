"""A whole group's accumulators against sums of count times weights."""

from dataclasses import replace
from random import Random

import circuits
import pytest
from events import DONE_BITS, RING, draw_count, draw_events, draw_vectors, segments_of
from tiers import spread

from galton.format import TABLE
from galton_hw.group import Group
from galton_hw.lanes import fetch_latency
from galton_sim import streams

SPARE = range(48, 64)
"""Words outside the ring: the drain of these tests takes its cycles there."""


class Machine:
    """A group with weights and table at random, and the model of its accumulators."""

    def __init__(self, config, layer, seed, table=None):
        self.config, self.layer, self.table = config, layer, table
        rng = Random(f"machine {seed}")
        low, high = -config.weight_limit - 1, config.weight_limit
        self.steps = [rng.choice([0, 0, 0, 1, 2]) if config.sparse else 0 for _ in range(128)]
        self.weights = []
        for address in range(128):
            # High planes lie at odd addresses here; arith.split_planes never gives them the most negative number.
            least = low + (layer["two_planes"] & address)
            self.weights.append([rng.choice([least, high, rng.randint(least, high)]) for _ in range(config.lanes)])
        self.dut = circuits.Resting(Group(config))
        self.expected = [[0] * config.lanes for _ in range(config.accumulator_words)]
        self.entries = self.rows_done = 0

    def entry(self, address):
        """The bits of an entry: lanes, low first, then the step."""
        bits = self.config.weight_bits
        lanes = sum((weight & ((1 << bits) - 1)) << (lane * bits) for lane, weight in enumerate(self.weights[address]))
        return lanes | self.steps[address] << (bits * self.config.lanes)

    def walk(self, events):
        """Add what `events` add to the expected accumulators, entries and finished rows."""
        planes = 1 + self.layer["two_planes"]
        apart = self.layer["accumulator_skip"] if self.layer["elementwise"] else 1
        for segment in segments_of(events, self.layer, self.table, self.config):
            self.rows_done += segment.get("done", 0)
            word = segment.get("word", 0)
            for place in range(segment["entries"]):
                address, plane = segment["start"] + place, place % planes
                word += self.steps[address]
                for lane, weight in enumerate(self.weights[address]):
                    self.expected[word][lane] += (segment["counts"][lane] << (plane * self.config.weight_bits)) * weight
                word += apart if plane == planes - 1 else 0
                self.entries += 1

    async def load(self, ctx):
        """Write weights and table, read some back, and start."""
        dut = self.dut
        ctx.set(dut.layer, self.layer)
        ctx.set(dut.host, 1)
        for name, values in (("weight", [self.entry(a) for a in range(128)]), ("table", self.table or [])):
            for address, value in enumerate(values):
                ctx.set(getattr(dut, f"{name}_write"), 1)
                ctx.set(dut.host_address, address)
                ctx.set(
                    dut.table_word if name == "table" else dut.weight_data, TABLE.pack(value)[0] if name == "table" else value
                )
                await ctx.tick()
            if values:
                ctx.set(getattr(dut, f"{name}_write"), 0)
        ctx.set(dut.host_address, 5)
        await ctx.tick()
        assert ctx.get(dut.weight_read_data) == self.entry(5)
        if self.table:
            assert ctx.get(dut.table_read_data) == TABLE.pack(self.table[5])[0]
        ctx.set(dut.host, 0)
        ctx.set(dut.rest, 0)

    def run(self, events, steal, seed):
        """Send `events`, taking cycles with probability `steal`; (accumulators, what was seen in each cycle)."""
        self.walk(events)
        dut, rng, seen, found = self.dut, Random(f"run {seed}"), [], []
        latency = fetch_latency(self.config)

        async def testbench(ctx):
            await self.load(ctx)
            # The drain's cycles, while the events run and until no entry has been walked for a while.
            for event in events:
                ctx.set(dut.i.payload, event)
                ctx.set(dut.i.valid, 1)
                ready = 0
                while not ready:
                    ctx.set(dut.fetch, rng.random() < steal)
                    ctx.set(dut.fetch_word, rng.choice(SPARE))
                    *_, ready = await ctx.tick().sample(dut.i.ready)
                ctx.set(dut.i.valid, 0)
            while sum(cycle["entry"] for cycle in seen) < self.entries:
                assert len(seen) < 20_000
                ctx.set(dut.fetch, rng.random() < steal)
                ctx.set(dut.fetch_word, rng.choice(SPARE))
                await ctx.tick()
            ctx.set(dut.fetch, 0)
            for _ in range(20):
                await ctx.tick()
            for word in [*range(48), *[None] * latency]:
                ctx.set(dut.fetch, word is not None)
                ctx.set(dut.fetch_word, word or 0)
                *_, accumulators = await ctx.tick().sample(dut.accumulators)
                found.append(streams.plain(accumulators))
            assert ctx.get(dut.rows_done) == self.rows_done % 512

        watched = {name: getattr(dut, name) for name in ("entry", "stolen", "fetch")}
        circuits.simulate(dut, testbench, background=[circuits.monitor(watched, seen)])
        return found[latency:], seen


@pytest.mark.parametrize(("two_planes", "steal", "seed"), spread(3, [0, 1], [0.0, 0.4], range(2)))
def test_dense_group(two_planes, steal, seed):
    rng = Random(f"{two_planes} {steal} {seed}")
    planes = 1 + two_planes
    sizes = {"entries_long": 3 * planes, "entries_short": 2 * planes, "accumulator_skip": 2}
    layer = circuits.layer(pitch=3 * planes, two_planes=two_planes, **sizes, **RING)
    machine = Machine(circuits.DENSE, layer, seed)
    events = draw_events(rng, 12, range(0, 100, planes), range(8), count_limit=40)
    for event in events:
        # A marker's column is not a column.
        event["late"] = 0 if event.get("marker") else rng.getrandbits(1)
    check(machine, events, steal, seed)


@pytest.mark.parametrize(("two_planes", "steal", "seed"), spread(3, [0, 1], [0.0, 0.4], range(2)))
def test_sparse_group(two_planes, steal, seed):
    rng = Random(f"{two_planes} {steal} {seed}")
    layer = circuits.layer(pitch=1, entries_long=6, entries_short=6, two_planes=two_planes, **RING)
    table = [{"start": rng.randrange(100), "entries": rng.choice([0, 2, 4])} for _ in range(64)]
    machine = Machine(circuits.SMALL, layer, seed, table)
    if two_planes:
        # The high entry of a pair shares its vector.
        for entry in table:
            entry["start"] &= ~1
        machine.steps[1::2] = [0] * 64
    events = draw_events(rng, 12, range(60), [0, 1], count_limit=40)
    check(machine, events, steal, seed)


@pytest.mark.parametrize(("name", "two_planes", "steal"), spread(5, circuits.CONFIGS, [0, 1], [0.0, 0.4]))
def test_elementwise_group(name, two_planes, steal):
    config = circuits.CONFIGS[name]
    rng, planes = Random(f"{config.name} {two_planes} {steal}"), 1 + two_planes
    pitch = 1 if config.sparse else 3 * planes
    sizes = {"entries_long": 3 * planes, "entries_short": 2 * planes, "accumulator_skip": 2}
    layer = circuits.layer(pitch=pitch, two_planes=two_planes, elementwise=1, **sizes, **RING)
    table = None
    if config.sparse:
        table = [{"start": 2 * rng.randrange(50), "entries": rng.choice([2, 4])} for _ in range(64)]
    machine = Machine(config, layer, steal, table)
    # Elementwise layers have no steps.
    machine.steps = [0] * 128
    starts = range(60) if config.sparse else range(0, 100, planes)
    check(machine, draw_vectors(rng, 12, starts, range(6), config, count_limit=40), steal, steal)


@pytest.mark.parametrize(("lanes", "width", "taps", "cycles"), [(8, 1, 3, 9), (12, 1, 3, 13), (12, 4, 1, 4), (8, 4, 1, 3)])
def test_gathering_hides_behind_the_entries_before(lanes, width, taps, cycles):
    """Full 3x3 vectors of up to 8 lanes take nine cycles each, those of more bundles a cycle for each and one to copy them."""
    config = replace(circuits.DENSE, lanes=lanes, fifo_depth=16, scan_width=width)
    layer = circuits.layer(pitch=taps, entries_long=taps, entries_short=taps, elementwise=1, accumulator_skip=1, **RING)
    machine, rng = Machine(config, layer, "gathering"), Random(lanes)
    events = [{"marker": 1, "start": 1 | 3 << DONE_BITS}]
    for vector in range(10):
        event = {"short": 0, "start": 9 * vector, "column": vector}
        for bundle in range(lanes // width):
            counts = [draw_count(rng, 1, 9) for _ in range(width)]
            events.append({**event, "counts": counts, "bundle": bundle, "last": int(bundle == lanes // width - 1)})
    seen = check(machine, events, 0.0, "gathering")
    entries = [cycle for cycle, values in enumerate(seen) if values["entry"]]
    assert [later - earlier for earlier, later in zip(entries, entries[3 * taps :], strict=False)] == [cycles] * 27 * taps


@pytest.mark.parametrize("steal", [0.0, 0.3])
@pytest.mark.parametrize("columns", [[4], [4, 5], [4, 5, 6]], ids=["distance 1", "distance 2", "distance 3"])
def test_hazards(columns, steal):
    """Single entries that hit a word again in the next cycle, in the one after, or in the third."""
    layer = circuits.layer(pitch=1, entries_long=1, entries_short=1, **RING)
    machine = Machine(circuits.DENSE, layer, "hazards")
    events = [{"marker": 1, "start": 1 | 1 << DONE_BITS}]
    for index in range(60):
        event = {"counts": [{"magnitude": index % 7 + 1, "negative": index % 3 == 0}], "short": 0, "start": index}
        events.append({**event, "column": columns[index % len(columns)]})
    seen = check(machine, events, steal, "hazards")
    if not steal:
        entries = [cycle for cycle, values in enumerate(seen) if values["entry"]]
        assert entries == list(range(entries[0], entries[0] + 60))


def test_planes_hit_one_word():
    """Both planes of one vector, event after event: the same word in every cycle."""
    layer = circuits.layer(pitch=2, entries_long=2, entries_short=2, two_planes=1, **RING)
    machine = Machine(replace(circuits.DENSE, count_bits=4), layer, "planes")
    events = [{"marker": 1, "start": 1 << DONE_BITS}]
    counts = [{"magnitude": 15, "negative": sign} for sign in (0, 1)]
    events += [{"counts": [counts[index & 1]], "short": 0, "start": 2 * index, "column": 3} for index in range(30)]
    check(machine, events, 0.0, "planes")


def check(machine, events, steal, seed):
    """Run, and compare accumulators, entries and stolen cycles; what was seen in each cycle."""
    found, seen = machine.run(events, steal, seed)
    assert found == machine.expected[:48]
    assert any(any(word) for word in found)
    assert sum(cycle["entry"] for cycle in seen) == machine.entries
    assert not any(cycle["entry"] and cycle["fetch"] for cycle in seen)
    assert all(cycle["fetch"] for cycle in seen if cycle["stolen"])
    assert any(cycle["stolen"] for cycle in seen) == (steal > 0)
    return seen


def test_fetch_reads_and_clears():
    machine = Machine(circuits.DENSE, circuits.layer(pitch=1, entries_long=1, **RING), "fetch")
    dut, found = machine.dut, []
    marker = {"marker": 1, "start": 1 << DONE_BITS}
    events = [marker, {"counts": [{"magnitude": 3, "negative": 0}], "short": 0, "start": 9, "column": 2}]
    machine.walk(events)

    async def testbench(ctx):
        await machine.load(ctx)
        for event in events:
            ctx.set(dut.i.payload, event)
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(20):
            await ctx.tick()
        # A word and its neighbour by turns, in every cycle.
        for cycle in range(8):
            ctx.set(dut.fetch, cycle < 4)
            ctx.set(dut.fetch_word, 2 + cycle % 2)
            *_, accumulators = await ctx.tick().sample(dut.accumulators)
            found.append(streams.plain(accumulators))
        assert ctx.get(dut.rows_done) == 0

    circuits.simulate(dut, testbench)
    nothing = [0] * machine.config.lanes
    first = fetch_latency(machine.config)
    assert any(machine.expected[2])
    assert found[first : first + 4] == [machine.expected[2], nothing, nothing, nothing]
