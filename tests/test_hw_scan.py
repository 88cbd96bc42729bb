"""The scan of random networks' layers against their LAYER and ROW records, and the reader beneath it."""

from itertools import pairwise
from random import Random

import circuits
import networks
import numpy as np
import pytest
from tiers import spread

from galton import compile, decode
from galton.format import ROW
from galton.network import Activation, Layer, Network
from galton_hw.reader import Reader, WindowReader
from galton_hw.scan import Scan
from galton_sim import streams

CONFIGS = {name: networks.EVERY[name] for name in ("tiny", "three-by-five", "two-sparse", "four-at-once", "quads")}


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("first", [0, 1], ids=["other's turn", "own turn"])
def test_reader_of_every_second_turn(stall, first):
    rng = Random(f"{stall} {first}")
    words, base, given, seen = [rng.getrandbits(32) for _ in range(64)], 5, [], []
    dut = Reader(6)

    async def cycles(ctx):
        ctx.set(dut.base, base)
        for _ in range(300):
            await ctx.tick()

    async def sink(ctx):
        await streams.receive(ctx, dut.o, given.append, stall=stall, seed=first)

    async def contract(ctx):
        await streams.check(ctx, dut.o, "o")

    memory = [circuits.turns(dut, first), circuits.data_memory(dut, words)]
    circuits.simulate(dut, cycles, background=[*memory, sink, contract, circuits.monitor({"valid": dut.o.valid}, seen)])
    octets = [word >> (8 * place) & 255 for word in words[base:] + words[:base] for place in range(4)]
    assert given == (octets * (1 + len(given) // len(octets)))[: len(given)]
    # From the first byte on there is one in every cycle, whatever the stalls.
    begin = 3 if first else 4
    assert [cycle["valid"] for cycle in seen] == [cycle >= begin for cycle in range(len(seen))]
    assert len(given) > 60


@pytest.mark.parametrize(("stall", "first", "taken"), spread(5, [0.0, 0.2, 0.6], range(4), ["always", "at random", "bursts"]))
def test_reader_of_what_turns_are_left(stall, first, taken):
    """It keeps up where another reader or writer leaves it one turn in any four cycles."""
    rng = Random(f"{stall} {first} {taken}")
    words, base, given, seen = [rng.getrandbits(32) for _ in range(64)], 5, [], []
    dut = Reader(6)

    async def cycles(ctx):
        ctx.set(dut.base, base)
        for _ in range(400):
            await ctx.tick()

    async def turns(ctx):
        # Every second cycle is free; of two of these one at most is taken: the writer has a word in four cycles at most.
        since = 2
        for cycle in range(400):
            free = cycle % 2 == first % 2
            wants = {"always": True, "at random": rng.random() < 0.5, "bursts": cycle // 40 % 2 == 0}[taken]
            take = free and since >= 2 and wants and cycle > first
            since = 1 if take else since + free
            ctx.set(dut.turn, free and not take)
            await ctx.tick()

    async def sink(ctx):
        await streams.receive(ctx, dut.o, given.append, stall=stall, seed=first)

    async def contract(ctx):
        await streams.check(ctx, dut.o, "o")

    memory = [turns, circuits.data_memory(dut, words)]
    circuits.simulate(dut, cycles, background=[*memory, sink, contract, circuits.monitor({"valid": dut.o.valid}, seen)])
    octets = [word >> (8 * place) & 255 for word in words[base:] + words[:base] for place in range(4)]
    assert given == (octets * (1 + len(given) // len(octets)))[: len(given)]
    begin = next(index for index, cycle in enumerate(seen) if cycle["valid"])
    assert begin <= 7
    assert all(cycle["valid"] for cycle in seen[begin:])
    assert len(given) > 80


@pytest.mark.parametrize("turns", [1.0, 0.6])
@pytest.mark.parametrize("most", [1, 3, 4])
@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_window_reader(turns, most, rest):
    """Any number of bytes in any cycle; where all turns are its own, there is a window in every cycle from the third one on."""
    rng = Random(f"{turns} {most} {rest}")
    words, base, given, seen, dut = [rng.getrandbits(32) for _ in range(64)], 5, [], [], WindowReader(6)

    async def cycles(ctx):
        ctx.set(dut.base, base)
        for _ in range(400):
            ctx.set(dut.turn, rng.random() < turns)
            valid = ctx.get(dut.valid)
            seen.append(valid)
            taken = 0 if not valid or rng.random() < rest else rng.choice([most, rng.randint(0, most)])
            given.extend(streams.plain(ctx.get(dut.window))[:taken])
            ctx.set(dut.taken, taken)
            await ctx.tick()

    circuits.simulate(dut, cycles, background=[circuits.data_memory(dut, words)])
    octets = [word >> (8 * place) & 255 for word in words[base:] + words[:base] for place in range(4)]
    assert given == (octets * (1 + len(given) // len(octets)))[: len(given)]
    assert len(given) > 100
    if turns == 1:
        assert seen == [cycle >= WindowReader.first_window for cycle in range(len(seen))]


def expected_items(parsed, octets, config):
    """For each item what must be right of it: markers whole, activations without weights only as such."""
    _, _, channels = parsed.input_shape
    firsts = [*np.flatnonzero(decode.bundle_starts(parsed, config)).tolist(), channels]
    owned = parsed.layer["group_channels"]
    row_bits = next(field.bits for field in ROW.fields if field.name == "done")
    place = 0
    for row in parsed.rows:
        tag = {"start": row["done"] | row["segments"] << row_bits, "active": 1}
        several = {"woken": (1 << config.groups) - 1} if config.groups > 1 else {}
        yield {"marker": 1, "tag": tag | several | ({"short": row["short"]} if config.scan_width > 1 else {})}
        if row is parsed.rows[-1]:
            return
        for x in range(parsed.input_shape[1]):
            label = x % parsed.stride_x
            active = int(row["segments"] > 0 and label in parsed.labels)
            starts = parsed.segment_addresses(row, label)[:, 0] if active else None
            if config.groups > 1:
                several = {"label": label, "woken": sum(int(n > 0) << group for group, n in enumerate(parsed.own_entries(label)))}
            for channel, following in pairwise(firsts):
                # Of an elementwise layer's group: the vector.
                vector = channel % owned // config.lanes
                tag = {"active": active, "vector_end": 0}
                if parsed.elementwise:
                    tag["group_end"] = int(following % owned == 0)
                    tag["vector_end"] = int(tag["group_end"] or following % owned % config.lanes == 0)
                if starts is not None:
                    tag |= several
                    tag |= {"short": int(parsed.is_short(label)), "start": int(starts[vector if parsed.elementwise else channel])}
                    tag["column"] = int(parsed.starts[x]) + (vector if parsed.elementwise else 0)
                count = following - channel
                yield {"raw": octets[place : place + count] + [0] * (config.scan_width - count), "marker": 0, "tag": tag}
                place += count


def scanned(parsed, config, words, stall, seed):
    """(items, times since the start) of a layer."""
    dut = circuits.Resting(Scan(config))
    table = [(y, index, word) for y, row in enumerate(parsed.rows) for index, word in enumerate(ROW.pack(row))]
    bundles = np.count_nonzero(decode.bundle_starts(parsed, config))
    items = len(parsed.rows) + int(np.prod(parsed.input_shape[:2])) * bundles
    loaded = len(table)

    async def load(ctx):
        ctx.set(dut.layer, parsed.layer)
        for y, _, word in table:
            ctx.set(dut.table_write, 1)
            ctx.set(dut.table_address, y)
            ctx.set(dut.table_word, word)
            await ctx.tick()
        ctx.set(dut.table_write, 0)
        ctx.set(dut.rest, 0)

    async def always(ctx):
        ctx.set(dut.turn, 1)

    turns = circuits.turns(dut) if config.scan_width == 1 else always
    memory = [turns, circuits.data_memory(dut, words, seed)]
    transfers = streams.run(dut, inputs={}, outputs={"o": items}, stall=stall, seed=seed, testbenches=[load], background=memory)
    return transfers.values["o"], [time - loaded for time in transfers.times["o"]]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(4))
def test_items(name, seed):
    config, rng = CONFIGS[name], Random(f"{name} {seed}")
    network = networks.random_network(seed, config, layers=3, size=8, channels=6)
    check_items(network, config, rng, rng.choice([0.0, 0.3, 0.6]))


WINDOWS = [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((1, 4), (1, 3)), ((2, 5), (1, 3)), ((3, 2), (2, 4))]
"""Kernels and strides."""


@pytest.mark.parametrize(("name", "window"), spread(2, CONFIGS, WINDOWS))
def test_elementwise_items(name, window):
    """Labels with a tap less and without any, and columns after which the accumulators do not advance."""
    kernel, stride = window
    config, rng = CONFIGS[name], Random(f"{name} {kernel} {stride}")
    weights, ones = np.random.default_rng(3).integers(-3, 4, size=(7, *kernel, 1)), np.ones(7, np.int64)
    numbers = {"multiplier": ones, "bias": ones, "shift": 12, "low": 0, "high": 255}
    first = Layer("first", (5, 7, 2), np.ones((7, 1, 1, 2), np.int64), **numbers)
    depthwise = Layer("depthwise", (5, 7, 7), weights, **numbers, stride=stride, padding=(1, 1, 1, 0), elementwise=True)
    parsed = check_items(Network("both", (5, 7, 2), (first, depthwise)), config, rng, rng.choice([0.0, 0.4]))[1]
    assert parsed.elementwise
    assert len(parsed.labels) == min(stride[1], kernel[1])


def test_groups_with_kernels_of_their_own():
    """Four pixels side by side in eight groups: each column wakes the groups of the pixels that it reaches."""
    config, rng = networks.EVERY["fours"], Random(7)
    weights, ones = np.random.default_rng(3).integers(1, 4, size=(16, 3, 3, 2)), np.ones(16, np.int64)
    layer = Layer("wide", (5, 8, 2), weights, ones, ones, 12, 0, 255, Activation(), padding=(1, 1, 1, 1))
    parsed = check_items(Network("wide", layer.input_shape, (layer,)), config, rng, 0.0)[0]
    assert parsed.pixels == 4
    assert [(parsed.own_entries(label) > 0).tolist() for label in range(4)] == [
        [True, True, True, True, False, False, True, True],
        [True, True, True, True, True, True, False, False],
        [False, False, True, True, True, True, True, True],
        [True, True, False, False, True, True, True, True],
    ]


def check_items(network, config, rng, stall):
    """Scan every layer; the parsed layers."""
    layers = decode.parse(compile(network, config).image)
    for parsed in layers:
        words = [rng.getrandbits(32) for _ in range(config.data_words)]
        base, size = parsed.layer["input_base"], int(np.prod(parsed.input_shape))
        octets = [word >> (8 * place) & 255 for word in words[base:] for place in range(4)][:size]
        found, times = scanned(parsed, config, words, stall, network.name)
        expected = list(expected_items(parsed, octets, config))
        assert len(found) == len(expected)
        for item, due in zip(found, expected, strict=True):
            assert {"marker": item["marker"]} | {key: item[key] for key in due if key != "tag"} == {
                key: due[key] for key in due if key != "tag"
            }
            assert {key: item["tag"][key] for key in due["tag"]} == due["tag"]
        if not stall:
            first = Scan(config).first_item
            assert times == list(range(first, first + len(found)))
    return layers
