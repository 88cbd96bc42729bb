"""The writer against NumPy: words packed in order, max-pooling in memory, the last word flushed, every word final once."""

from random import Random

import circuits
import numpy as np
import pytest
from tiers import spread

from galton.format import WORD_BYTES
from galton_hw.writer import Writer
from galton_hw.writer_wide import WideWriter

CONFIG = circuits.DENSE
BASE = 37
IDLE = {"valid": 0, "flush": 0}
BOTH = pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])


def write(raw, pool, signed, gap, seed, wide=False):
    """(memory afterwards, memory before, cycles seen) of a map (rows, columns, channels)."""
    rng = Random(f"{seed}")
    _, columns, channels = raw.shape
    if wide:
        return write_bundles(rng, raw, pool, signed, gap, seed)
    values = circuits.layer(output_base=BASE, signed_output=signed, pooled=pool != (1, 1), pool_y=pool[0] - 1, pool_x=pool[1] - 1)
    stimuli = [{"layer": values}]
    for y, x, channel in np.ndindex(raw.shape):
        while rng.random() < gap:
            stimuli.append({"raw": rng.getrandbits(8), "last_channel": rng.getrandbits(1), "last_column": rng.getrandbits(1)})
        ends = {"last_channel": channel == channels - 1, "last_column": x == columns - 1}
        stimuli.append({"valid": 1, "raw": int(raw[y, x, channel]) & 255, **ends})
    stimuli += [{"raw": rng.getrandbits(8)}] * rng.randrange(4, 9) + [{"flush": 1}] + [{}] * 6
    before = [rng.getrandbits(32) for _ in range(CONFIG.data_words)]
    words, dut = list(before), Writer(CONFIG)
    watch = ["write", "final", "address", "write_data"]
    memory = [circuits.turns(dut, rng.randrange(2)), circuits.data_memory(dut, words, seed)]
    return words, before, circuits.run(dut, stimuli, watch, idle=IDLE, background=memory)


def write_bundles(rng, raw, pool, signed, gap, seed):
    """`write` with bundles of any sizes, as often as they may come."""
    rows, columns, channels = raw.shape
    pooled, residual = pool != (1, 1), int(pool == (1, 1) and gap > 0)
    values = circuits.layer(output_base=BASE, signed_output=signed, pooled=pooled, pool_y=pool[0] - 1, pool_x=pool[1] - 1)
    stimuli = [{"layer": values | {"residual": residual}}]

    def noise():
        return [rng.getrandbits(8) for _ in range(WORD_BYTES)]

    for y, x in np.ndindex(rows, columns):
        first = 0
        while first < channels:
            while rng.random() < gap:
                stimuli.append({"raws": noise(), "count": rng.randrange(1, WORD_BYTES + 1), "last_channel": rng.getrandbits(1)})
            count = min(rng.choice([1, 2, 3, 4, 4, 4]), channels - first)
            raws = [int(value) & 255 for value in raw[y, x, first : first + count]] + noise()
            first += count
            ends = {"last_channel": first == channels, "last_column": x == columns - 1}
            stimuli.append({"valid": 1, "raws": raws[:WORD_BYTES], "count": count, **ends})
            if pooled or residual:
                stimuli.append({"raws": noise()})
    stimuli += [{"raws": noise()}] * rng.randrange(2, 5) + [{"flush": 1}] + [{}] * 6
    before = [rng.getrandbits(32) for _ in range(CONFIG.data_words)]
    words, dut = list(before), WideWriter(CONFIG)
    memory = [circuits.turns(dut, rng.randrange(2)), circuits.data_memory(dut, words, seed, turn=None)]
    seen = circuits.run(dut, stimuli, ["write", "final", "address", "write_data", "turn"], idle=IDLE, background=memory)
    assert not residual or all(cycle["turn"] for cycle in seen if cycle["write"])
    return words, before, seen


def as_words(raw):
    """A tensor's words, the last one filled up with zeros."""
    octets = (raw.reshape(-1) & 255).astype(np.uint8)
    return np.pad(octets, (0, -len(octets) % WORD_BYTES)).view("<u4").tolist()


def check(raw, pool, signed, gap, seed, wide):
    """The tensor is in place, all around it as before, and each of its words was final exactly once, in order."""
    rows, columns, channels = raw.shape
    pooled = raw.reshape(rows // pool[0], pool[0], columns // pool[1], pool[1], channels).max(axis=(1, 3))
    words, before, seen = write(raw, pool, signed, gap, seed, wide)
    expected = as_words(pooled)
    assert words[BASE : BASE + len(expected)] == expected
    assert words[:BASE] + words[BASE + len(expected) :] == before[:BASE] + before[BASE + len(expected) :]
    final = [(cycle["address"], cycle["write_data"]) for cycle in seen if cycle["final"]]
    assert final == [(BASE + index, word) for index, word in enumerate(expected)]
    assert all(cycle["write"] for cycle in seen if cycle["final"])
    assert sum(cycle["write"] for cycle in seen) == len(as_words(raw))


def draw(rng, shape, signed):
    """Raw activations with extremes."""
    low, high = (-128, 127) if signed else (0, 255)
    raw = rng.integers(low, high + 1, size=shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([low, high, 0], size=shape), raw)


@BOTH
@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("gap", [0.0, 0.4])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 2), (3, 5, 3), (1, 1, 10), (4, 2, 8)])
def test_packing(shape, gap, signed, wide):
    check(draw(np.random.default_rng([*shape, signed]), shape, signed), (1, 1), signed, gap, (shape, gap), wide)


PIXELS = [(1, 1, 4), (2, 1, 8), (1, 3, 4), (3, 2, 12)]
"""Pooled rows, columns, channels."""
POOLS = [(1, 2), (2, 1), (2, 2), (3, 2), (2, 5)]


@pytest.mark.parametrize(("pixels", "pool", "gap", "signed", "wide"), spread(7, PIXELS, POOLS, [0.0, 0.3], [0, 1], [False, True]))
def test_pooling(pixels, pool, gap, signed, wide):
    rows, columns, channels = pixels
    shape = (rows * pool[0], columns * pool[1], channels)
    raw = draw(np.random.default_rng([*shape, signed]), shape, signed)
    check(raw, pool, signed, gap, (shape, gap, signed), wide)


@BOTH
def test_nothing_to_flush(wide):
    """After whole words a flush writes nothing."""
    raw = np.arange(8).reshape(1, 1, 8)
    _, _, seen = write(raw, (1, 1), 0, 0.0, 0, wide)
    assert sum(cycle["write"] for cycle in seen) == 2
