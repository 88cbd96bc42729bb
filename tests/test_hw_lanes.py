"""The lanes under any sequence of entries, clears and idle cycles, against sums in Python."""

from random import Random

import circuits
import pytest

from galton_hw.group import Group
from galton_hw.lanes import Lanes

CONFIG = circuits.SMALL
WORDS = 6
"""Few words, so that operations meet; the contract forbids only to clear a word in the cycle after an update or clear of it."""


def draw(rng, two_planes, busy):
    """(stimulus, operation) of each cycle; an operation is ("add", word, [values]), ("clear", word) or None."""
    bits, lanes = CONFIG.weight_bits, CONFIG.lanes
    found, word, high, entry, updated = [], None, 0, rng.getrandbits(CONFIG.entry_bits), None
    for _ in range(300):
        stimulus, operation = {"entry": entry, "word": rng.randrange(WORDS), "magnitude": rng.getrandbits(8)}, None
        stimulus |= {"first": rng.getrandbits(1), "high": high, "negative": rng.getrandbits(1)}
        # What arrives in the next cycle.
        weights, step = [rng.randint(-7, 7) for _ in range(lanes)], 0 if high else rng.choice([0, 0, 1, 3])
        entry = sum((weight & 15) << (lane * bits) for lane, weight in enumerate(weights)) | step << (lanes * bits)
        if rng.random() < busy:
            # A segment ends after a whole pair of planes; its words stay among the first few.
            first = not high and (word is None or word >= WORDS or rng.random() < 0.3)
            word = (stimulus["word"] if first else word) + step
            stimulus |= {"issue": 1, "first": first}
            count = (-stimulus["magnitude"] if stimulus["negative"] else stimulus["magnitude"]) << (bits if high else 0)
            operation = ("add", word, [count * weight for weight in weights])
            updated = word
            high = two_planes and not high
            word += not high
        elif stimulus["word"] != updated and rng.random() < 0.5:
            stimulus["clear"] = 1
            operation = ("clear", stimulus["word"])
            updated = stimulus["word"]
        else:
            updated = None
        found.append((stimulus, operation))
    return found


@pytest.mark.parametrize("two_planes", [0, 1], ids=["one plane", "two planes"])
@pytest.mark.parametrize("busy", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("seed", range(2))
def test_lanes(two_planes, busy, seed):
    cycles = draw(Random(f"{two_planes} {busy} {seed}"), two_planes, busy)
    latency = Group.fetch_latency
    stimuli = [{"two_planes": two_planes, **stimulus} for stimulus, _ in cycles] + [{}] * latency
    seen = circuits.run(Lanes(CONFIG), stimuli, ["accumulators"], idle={"issue": 0, "clear": 0})
    sums = [[0] * CONFIG.lanes for _ in range(CONFIG.accumulator_words)]
    cleared = 0
    for time, (_, operation) in enumerate(cycles):
        if operation is None:
            continue
        word = operation[1]
        if operation[0] == "clear":
            assert seen[time + latency]["accumulators"] == sums[word], time
            cleared += any(sums[word])
            sums[word] = [0] * CONFIG.lanes
        else:
            sums[word] = [total + value for total, value in zip(sums[word], operation[2], strict=True)]
    assert cleared > 3
