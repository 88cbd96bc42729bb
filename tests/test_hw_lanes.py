"""The lanes under any sequence of entries, clears and idle cycles, against sums in Python."""

from dataclasses import replace
from random import Random

import circuits
import pytest
from amaranth.hdl import Const, Module, Signal, signed
from tiers import spread

from galton_hw.lanes import Lanes, signed_weight

CONFIG = circuits.SMALL
WORDS = 6
"""Few words, so that operations meet; the contract forbids only to clear a word in the cycle after an update or clear of it."""


def draw(rng, two_planes, busy, pixel, apart):
    """(stimulus, operation) of each cycle; an operation is ("add", word, [values]), ("clear", word) or None.

    pixel: words from tap to tap of an elementwise layer, 0 for other layers. apart: how many cycles after an update
    a word is not cleared.
    """
    bits, lanes = CONFIG.weight_bits, CONFIG.lanes
    found, word, high, entry, updated, counts = [], None, 0, rng.getrandbits(CONFIG.entry_bits), [None] * apart, None
    for _ in range(400):
        offered = [{"magnitude": rng.getrandbits(8), "negative": rng.getrandbits(1)} for _ in range(lanes)]
        stimulus, operation = {"entry": entry, "word": rng.randrange(WORDS), "counts": offered}, None
        stimulus |= {"first": rng.getrandbits(1), "high": high}
        # What arrives in the next cycle.
        weights, step = [rng.randint(-7, 7) for _ in range(lanes)], 0 if high else rng.choice([0, 0, 1, 3])
        entry = sum((weight & 15) << (lane * bits) for lane, weight in enumerate(weights)) | step << (lanes * bits)
        # Counts are taken over whenever they are loaded, with and without an entry in that cycle, and stay.
        if counts is None or (not high and rng.random() < 0.3):
            counts, stimulus["load"] = offered, 1
        if rng.random() < busy:
            # A segment ends after a whole pair of planes; its words stay among the first few.
            first = not high and (word is None or word >= WORDS or rng.random() < 0.3)
            word = (stimulus["word"] if first else word) + step
            stimulus |= {"issue": 1, "first": first}
            values = [(-count["magnitude"] if count["negative"] else count["magnitude"]) for count in counts]
            shift = bits if high else 0
            operation = ("add", word, [(value << shift) * weight for value, weight in zip(values, weights, strict=True)])
            updated.append(word)
            high = two_planes and not high
            word += 0 if high else pixel or 1
        elif stimulus["word"] not in updated[-apart:] and rng.random() < 0.5:
            stimulus["clear"] = 1
            operation = ("clear", stimulus["word"])
            updated.append(stimulus["word"])
        else:
            updated.append(None)
        found.append((stimulus, operation))
    return found


@pytest.mark.parametrize(("two_planes", "busy", "pixel", "groups"), spread(5, [0, 1], [0.4, 0.9], [0, 1, 3], [2, 3]))
def test_lanes(two_planes, busy, pixel, groups):
    dut = Lanes(replace(CONFIG, groups=groups))
    cycles = draw(Random(f"{two_planes} {busy} {pixel}"), two_planes, busy, pixel, dut.latency - 2)
    latency = dut.latency
    # Layers that are not elementwise have a pixel, too, which says nothing there.
    layer = {"two_planes": two_planes, "elementwise": pixel > 0, "pixel": pixel or 5}
    stimuli = [{**layer, **stimulus} for stimulus, _ in cycles] + [{}] * latency
    seen = circuits.run(dut, stimuli, ["accumulators"], idle={"issue": 0, "clear": 0, "load": 0})
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
    assert cleared > 2


@pytest.mark.parametrize("bits", [2, 4, 7, 8])
def test_every_weight_and_its_negative(bits):
    least = -(1 << (bits - 1)) + (bits == 8)
    wanted = [(weight, negative) for weight in range(least, 1 << (bits - 1)) for negative in (0, 1)]
    m, outputs = Module(), [Signal(signed(8), name=f"weight_{index}") for index in range(len(wanted))]
    for output, (weight, negative) in zip(outputs, wanted, strict=True):
        m.d.comb += output.eq(signed_weight(Const(weight, bits), Const(negative, 1), 8))

    async def testbench(ctx):
        assert [ctx.get(output) for output in outputs] == [-weight if negative else weight for weight, negative in wanted]

    circuits.simulate(m, testbench)
