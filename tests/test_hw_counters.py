"""The counters against plain sums: every increment, in whatever cycle, and none from before they were cleared."""

from dataclasses import replace
from random import Random

import circuits
import pytest

from galton.format import PROFILE, WORD_BITS
from galton_hw.counters import Counters

NONE = [0] * PROFILE.words


def run(dut: Counters, stimuli: list[dict]):
    """(index, total) in each cycle."""
    seen = []

    async def testbench(ctx):
        last = [-1] * PROFILE.words
        for stimulus in stimuli:
            for port, increment, old in zip(dut.increments, stimulus["increments"], last, strict=True):
                if increment != old:
                    ctx.set(port, increment)
            last = stimulus["increments"]
            ctx.set(dut.clear, stimulus["clear"])
            ctx.set(dut.turn, stimulus["turn"])
            *_, index, total = await ctx.tick().sample(dut.index, dut.total)
            seen.append((index, total))

    circuits.simulate(dut, testbench)
    return seen


@pytest.mark.parametrize("groups", [1, 3, 8])
def test_totals(groups):
    """Whole rounds of turns and single ones, between which the sums go on."""
    rng, dut = Random(groups), Counters(replace(circuits.DENSE, groups=groups))
    stimuli, expected, totals, index = [], {}, list(NONE), 0
    for _ in range(40):
        density = rng.choice([0.0, 0.1, 0.5])
        for _ in range(rng.randrange(12)):
            increments = [rng.randint(0, groups) if rng.random() < density else groups for _ in NONE]
            stimuli.append({"increments": increments, "turn": 0, "clear": 0})
            totals = [total + increment for total, increment in zip(totals, increments, strict=True)]
        for _ in range(PROFILE.words * rng.choice([1, 2])):
            stimuli.append({"increments": NONE, "turn": 1, "clear": 0})
            expected[len(stimuli)] = index, totals[index]
            index = (index + 1) % PROFILE.words
        if rng.random() < 0.2:
            turns = rng.randrange(PROFILE.words)
            stimuli += [{"increments": NONE, "turn": 1, "clear": 0}] * turns
            stimuli.append({"increments": NONE, "turn": 0, "clear": 1})
            totals, index = list(NONE), 0
    seen = run(dut, [*stimuli, {"increments": NONE, "turn": 0, "clear": 0}])
    assert len(expected) > 100
    assert {cycle: seen[cycle] for cycle in expected} == expected


def test_totals_carry():
    dut, cycles = Counters(replace(circuits.DENSE, groups=8)), (1 << 9) + 1
    busy = {"increments": [8] * PROFILE.words, "turn": 0, "clear": 0}
    rest = {"increments": NONE, "turn": 0, "clear": 0}
    seen = run(dut, [busy] * cycles + [rest] * Counters.latency)
    assert seen[-1] == (0, 8 * cycles)
    assert len(dut.total) == WORD_BITS
