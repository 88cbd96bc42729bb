"""The drain with modelled groups: which word it takes from whom and when, and the tensor that it writes."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import circuits
import numpy as np
import pytest
from tiers import spread

from galton import arith, cycles
from galton.config import WIDTHS
from galton.format import SHIFTS, WORD_BYTES
from galton_hw.drain import Drain
from galton_hw.norm import Norm

CONFIG = circuits.DENSE
BASE, RESIDUAL_BASE = 100, 300
SHAPES = {
    "plain": {"output_rows": 3, "columns": 3, "group_channels": 3, "left": 0, "right": 0, "ring_rows": 2},
    "borders": {"output_rows": 4, "columns": 2, "group_channels": 4, "left": 2, "right": 4, "ring_rows": 2},
    "left": {"output_rows": 2, "columns": 1, "group_channels": 1, "left": 1, "right": 0, "ring_rows": 1},
    "right": {"output_rows": 5, "columns": 1, "group_channels": 5, "left": 0, "right": 2, "ring_rows": 3},
    "one byte over": {"output_rows": 1, "columns": 1, "group_channels": 17, "left": 0, "right": 0, "ring_rows": 1, "groups": 1},
    "pooled": {"output_rows": 4, "columns": 4, "group_channels": 2, "left": 0, "right": 1, "ring_rows": 3, "pool": (2, 2)},
    "one word": {
        "output_rows": 6,
        "columns": 6,
        "group_channels": 4,
        "left": 0,
        "right": 0,
        "ring_rows": 2,
        "pool": (3, 3),
        "groups": 1,
    },
    "few": {"output_rows": 3, "columns": 5, "group_channels": 1, "left": 1, "right": 1, "ring_rows": 2, "groups": 8},
    "pairs": {"output_rows": 3, "columns": 2, "group_channels": 2, "left": 1, "right": 1, "ring_rows": 2, "groups": 4},
}


class Drained:
    """A layer's accumulators at random, the groups that hand them out, and the data memory that gives and takes tensors.

    residual: "signed" or "unsigned" bytes are added, or None. width: Config.drain_width. in_place: the output overwrites them.
    """

    def __init__(self, shape, seed, done_gap, residual=None, width=1, in_place=False):
        self.config = replace(CONFIG, groups=shape.get("groups", CONFIG.groups), drain_width=width)
        self.residual_base = BASE if in_place else RESIDUAL_BASE
        rng = self.rng = Random(f"{shape} {seed}")
        self.rows, self.columns, self.done_gap = shape["output_rows"], shape["columns"], done_gap
        self.channels = shape["group_channels"]
        self.pool = shape.get("pool", (1, 1))
        vectors = -(-self.channels // self.config.lanes)
        row_words = shape["left"] + self.columns * vectors + shape["right"]
        self.layer = circuits.layer(
            output_base=BASE,
            output_rows=self.rows,
            output_columns=self.columns - 1,
            group_channels=self.channels,
            output_channels=self.channels * self.config.groups,
            vectors=vectors - 1,
            left_words=shape["left"],
            right_words=shape["right"],
            row_words=row_words,
            ring_rows=shape["ring_rows"],
            ring_words=row_words * shape["ring_rows"],
            shift=rng.randrange(len(SHIFTS)),
            low=-128,
            high=127,
            signed_output=1,
            pooled=self.pool != (1, 1),
            pool_y=self.pool[0] - 1,
            pool_x=self.pool[1] - 1,
            residual=int(residual is not None),
            residual_base=self.residual_base if residual else 0,
            signed_residual=int(residual == "signed"),
            residual_multiplier=rng.choice([1, 999, (1 << 16) - 1]) if residual else 0,
        )
        words = range(self.config.accumulator_words)
        self.accumulators = [
            [[[rng.randint(-5000, 5000) for _ in range(self.config.lanes)] for _ in words] for _ in range(self.config.groups)]
            for _ in range(self.rows)
        ]
        count = self.layer["output_channels"]
        self.multipliers = [rng.randrange(1 << 16) for _ in range(count)]
        self.biases = [rng.randrange(-(1 << 24), 1 << 24) for _ in range(count)]
        self.memory = [rng.getrandbits(32) for _ in range(self.config.data_words)]
        self.before = list(self.memory)
        self.seen, self.row = [], 0

    def run(self):
        """Simulate until `finished`; the cycles seen, from the start on."""
        dut = circuits.Resting(Drain(self.config))
        watched = ("fetch", "fetch_word", "row_drained", "finished", "final", "write_data", "rest")
        signals = {name: getattr(dut, name) for name in watched} | {"done": dut.rows_done}

        async def load(ctx):
            ctx.set(dut.layer, self.layer)
            ctx.set(dut.load.active, 1)
            ctx.set(dut.load.factor, 1 << SHIFTS[0])
            for channel, (bias, multiplier) in enumerate(zip(self.biases, self.multipliers, strict=True)):
                ctx.set(dut.load.channel, channel)
                for place, word, name in (
                    (dut.load.word, bias & 0xFFFFFFFF, dut.load.bias),
                    (dut.load.word, multiplier, dut.load.multiplier),
                ):
                    ctx.set(place, word)
                    ctx.set(name, 1)
                    await ctx.tick()
                    ctx.set(name, 0)
            for _ in range(cycles.LOAD_TAIL):
                await ctx.tick()
            ctx.set(dut.load.active, 0)
            ctx.set(dut.rest, 0)
            # Groups finish rows one by one, out of step.
            done = [0] * self.config.groups
            while not ctx.get(dut.finished):
                for group in range(self.config.groups):
                    if done[group] < self.rows and self.rng.random() > self.done_gap:
                        done[group] += 1
                ctx.set(dut.rows_done, done)
                await ctx.tick()
            await ctx.tick()

        async def groups(ctx):
            """Words arrive `fetch_latency` cycles after their fetch, nonsense in all other cycles."""
            on_the_way = [None] * (Drain(self.config).fetch_latency - 1)
            async for _, _, fetch, word, drained in ctx.tick().sample(dut.fetch, dut.fetch_word, dut.row_drained):
                on_the_way.append((fetch, self.accumulators[min(self.row, self.rows - 1)], word))
                self.row += drained
                arrived = on_the_way.pop(0)
                for group in range(self.config.groups):
                    values = [self.rng.randint(-9999, 9999) for _ in range(self.config.lanes)]
                    if arrived and arrived[0] >> group & 1:
                        values = arrived[1][group][arrived[2]]
                    ctx.set(dut.accumulators[group], values)

        port = "turn" if self.config.data_ports == 1 else None
        memory = [circuits.turns(dut, 0), circuits.data_memory(dut, self.memory, turn=port)]
        circuits.simulate(dut, load, background=[*memory, groups, circuits.monitor(signals, self.seen)])
        return [cycle for cycle in self.seen if not cycle["rest"]]

    def fetches(self):
        """What the cycle model says of one row."""
        return cycles.fetches(SimpleNamespace(layer=self.layer), self.config)

    def tensor(self):
        """The bytes that must stand in memory."""
        layer, groups = self.layer, range(self.config.groups)
        raw = np.zeros((self.rows, self.columns, layer["output_channels"]), np.int64)
        octets = np.array(self.before[self.residual_base :], "<u4").view(np.int8 if layer["signed_residual"] else np.uint8)
        added = octets[: raw.size].reshape(raw.shape).astype(np.int64) * layer["residual_multiplier"]
        for y, x, channel in np.ndindex(raw.shape):
            group, within = divmod(channel, self.channels)
            assert group in groups
            vector, lane = divmod(within, self.config.lanes)
            word = y % layer["ring_rows"] * layer["row_words"] + layer["left_words"] + x * (layer["vectors"] + 1) + vector
            sums = self.accumulators[y][group][word][lane]
            numbers = self.multipliers[channel], self.biases[channel], SHIFTS[layer["shift"]], layer["low"], layer["high"]
            raw[y, x, channel] = arith.requantize(sums, *numbers, int(added[y, x, channel]))
        pool_y, pool_x = self.pool
        pooled = raw.reshape(self.rows // pool_y, pool_y, self.columns // pool_x, pool_x, -1).max(axis=(1, 3))
        octets = (pooled.reshape(-1) & 255).astype(np.uint8)
        return np.pad(octets, (0, -len(octets) % WORD_BYTES)).view("<u4").tolist()


CASES = [(shape, None) for shape in SHAPES] + [
    (shape, residual) for shape in SHAPES if "pool" not in SHAPES[shape] for residual in ("unsigned", "signed")
]


@pytest.mark.parametrize(("case", "done_gap", "width"), spread(3, CASES, [0.0, 0.8], WIDTHS))
def test_drain(case, done_gap, width):
    """With one activation a cycle, a residual changes the tensor, but not which word is fetched and when."""
    shape, residual = case
    check(Drained(SHAPES[shape], done_gap, done_gap, residual, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", ["plain", "borders", "one byte over", "few", "pairs"])
def test_output_over_the_residual(shape, width):
    check(Drained(SHAPES[shape], 5, 0.3, "signed", width, in_place=True))


def check(drained):
    """The tensor, the fetches of every row, the end."""
    seen, layer = drained.run(), drained.layer

    # The tensor, and nothing else.
    expected = drained.tensor()
    assert drained.memory[BASE : BASE + len(expected)] == expected
    assert drained.memory[:BASE] + drained.memory[BASE + len(expected) :] == (
        drained.before[:BASE] + drained.before[BASE + len(expected) :]
    )
    assert sum(cycle["final"] for cycle in seen) == len(expected)

    # Every row's fetches: order, owners, words, times.
    row = drained.fetches()
    owners = [(1 << beyond) - (1 << first) for first, beyond in row.groups.tolist()]
    found = [(time, cycle["fetch"], cycle["fetch_word"]) for time, cycle in enumerate(seen) if cycle["fetch"]]
    assert len(found) == len(owners) * drained.rows
    begun = before = before_end = None
    for y in range(drained.rows):
        part = found[y * len(owners) : (y + 1) * len(owners)]
        begun = part[0][0]
        assert [time - begun for time, _, _ in part] == row.offsets.tolist()
        assert [fetch for _, fetch, _ in part] == owners
        ring = y % layer["ring_rows"] * layer["row_words"]
        assert [word for _, _, word in part] == words_of(layer, ring, drained.config)
        # As early as the groups, the last fetch before and its activations allow, and no earlier.
        done = next(time for time, cycle in enumerate(seen) if min(cycle["done"]) > y)
        earliest = [done + 1] if before is None else [done + 1, before + 2, before_end]
        assert begun == max(earliest)
        before, before_end = part[-1][0], begun + row.end
        assert seen[before]["row_drained"]
    assert sum(cycle["row_drained"] for cycle in seen) == drained.rows
    finished = [time for time, cycle in enumerate(seen) if cycle["finished"]]
    assert finished[0] == before_end + cycles.drain_finish(drained.config)

    # The sequencer takes the norm three cycles later. It has all of it: a flushed word leaves time to count the one before.
    words = [{"write": cycle["final"], "word": cycle["write_data"]} for cycle in seen[: finished[0] + 1]] + [{"write": 0}] * 3
    norm = circuits.run(Norm(wide=drained.config.drain_width > 1), words, ["total"], idle={"signed_raw": 1, "dead_zone": 3})
    octets = np.array(expected, "<u4").view(np.int8).tolist()
    assert norm[-1]["total"] == arith.norm(octets, 3)


def words_of(layer, ring, config):
    """Accumulator words of a row's fetches: every group, or few together, walk a pixel's vectors anew."""
    vectors = layer["vectors"] + 1
    words = list(range(ring, ring + layer["left_words"]))
    place = ring + layer["left_words"]
    for _ in range(layer["output_columns"] + 1):
        words += list(range(place, place + vectors)) * (config.groups // config.fetched_groups(layer["group_channels"]))
        place += vectors
    return words + list(range(place, place + layer["right_words"]))
