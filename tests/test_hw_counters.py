"""The counters against plain sums: every increment, in whatever cycle, and none from before they were cleared."""

from dataclasses import replace
from random import Random

import circuits
import pytest

from galton.format import PROFILE
from galton_hw.counters import Counters

NAMES = range(PROFILE.words)
ROUND = Counters.round_cycles


def run(dut: Counters, stimuli: list[tuple[list[int], int]]):
    """What was shown in each cycle as (index, total), None in cycles without; stimuli: increments and `clear`."""
    seen = []

    async def testbench(ctx):
        last = [0] * PROFILE.words
        for increments, clear in stimuli:
            for port, increment, old in zip(dut.increments, increments, last, strict=True):
                if increment != old:
                    ctx.set(port, increment)
            last = increments
            ctx.set(dut.clear, clear)
            *_, valid, index, total = await ctx.tick().sample(dut.valid, dut.index, dut.total)
            seen.append((index, total) if valid else None)

    circuits.simulate(dut, testbench)
    return seen


def drawn(rng: Random, groups: int, cycles: int):
    """Increments with long full stretches: the short counters must not run over."""
    density = rng.choice([0.0, 0.1, 0.5])
    return [[rng.randint(0, groups) if rng.random() < density else groups for _ in NAMES] for _ in range(cycles)]


@pytest.mark.parametrize("groups", [1, 3, 8])
def test_totals(groups):
    rng, dut = Random(groups), Counters(replace(circuits.DENSE, groups=groups))
    stimuli, clears = [], []
    for _ in range(4):
        stimuli += [(increments, 0) for increments in drawn(rng, groups, rng.randint(3, 5) * ROUND + rng.randrange(ROUND))]
        clears.append(len(stimuli))
        stimuli.append(([rng.randint(0, groups) for _ in NAMES], 1))
    stimuli += [(increments, 0) for increments in drawn(rng, groups, 4 * ROUND)]
    seen = run(dut, stimuli)
    shown = 0
    for cycle, found in enumerate(seen):
        since = max([clear for clear in clears if clear < cycle], default=0)
        if found is None or found[0] >= PROFILE.words or cycle - since < 2 * ROUND:
            continue
        index, total = found
        assert total == sum(increments[index] for increments, _ in stimuli[since : cycle - 2]), (cycle, index)
        shown += 1
    assert shown > 50


def test_every_total_comes_once_a_round_and_carries():
    dut = Counters(replace(circuits.DENSE, groups=8))
    seen = run(dut, [([8] * PROFILE.words, 0)] * ((1 << 16) // 8 + 3 * ROUND))
    last = seen[-ROUND:]
    assert sorted(found[0] for found in last if found) == list(range(ROUND // 2))
    assert all(found[1] > 1 << 16 and found[1] % 8 == 0 for found in last if found and found[0] < PROFILE.words)
