"""The writer against NumPy: words packed in order, max-pooling in memory, the last word flushed, every word final once."""

from random import Random

import circuits
import numpy as np
import pytest

from galton.format import WORD_BYTES
from galton_hw.writer import Writer

CONFIG = circuits.DENSE
BASE = 37
IDLE = {"valid": 0, "flush": 0}


def write(raw, pool, signed, gap, seed):
    """(memory afterwards, memory before, cycles seen) of a map (rows, columns, channels)."""
    rng = Random(f"{seed}")
    _, columns, channels = raw.shape
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


def as_words(raw):
    """A tensor's words, the last one filled up with zeros."""
    octets = (raw.reshape(-1) & 255).astype(np.uint8)
    return np.pad(octets, (0, -len(octets) % WORD_BYTES)).view("<u4").tolist()


def check(raw, pool, signed, gap, seed):
    """The tensor is in place, all around it as before, and each of its words was final exactly once, in order."""
    rows, columns, channels = raw.shape
    pooled = raw.reshape(rows // pool[0], pool[0], columns // pool[1], pool[1], channels).max(axis=(1, 3))
    words, before, seen = write(raw, pool, signed, gap, seed)
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


@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("gap", [0.0, 0.4])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 2), (3, 5, 3), (1, 1, 10), (4, 2, 8)])
def test_packing(shape, gap, signed):
    check(draw(np.random.default_rng([*shape, signed]), shape, signed), (1, 1), signed, gap, (shape, gap))


@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("gap", [0.0, 0.3])
@pytest.mark.parametrize("pool", [(1, 2), (2, 1), (2, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize(("rows", "columns", "channels"), [(1, 1, 4), (2, 1, 8), (1, 3, 4), (3, 2, 12)])
def test_pooling(rows, columns, channels, pool, gap, signed):
    shape = (rows * pool[0], columns * pool[1], channels)
    raw = draw(np.random.default_rng([*shape, signed]), shape, signed)
    check(raw, pool, signed, gap, (shape, gap, signed))


def test_nothing_to_flush():
    """After whole words a flush writes nothing."""
    raw = np.arange(8).reshape(1, 1, 8)
    _, _, seen = write(raw, (1, 1), 0, 0.0, 0)
    assert sum(cycle["write"] for cycle in seen) == 2
