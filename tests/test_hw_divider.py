"""The step divider against arith.dynamic_step and arith.effective_norm, and its latency."""

from random import Random

import circuits
import pytest

from galton import arith
from galton.format import FRACTION_BITS, MULTIPLIER_BITS, NORM_BITS
from galton_hw.divider import StepDivider

LARGEST = (1 << NORM_BITS) - 1


def cases():
    """(norm, samples): extremes, equals, neighbours, and anything."""
    rng = Random("divider")
    edges = [0, 1, 2, (1 << 16) - 1, 1 << 16, LARGEST - 1]
    found = [(norm, samples) for norm in [*edges, LARGEST] for samples in edges]
    found += [(size + rng.randint(-1, 1), size) for size in (5, 777, 1 << 20)]
    return found + [(rng.getrandbits(rng.randint(1, 24)), rng.getrandbits(rng.randint(1, 23))) for _ in range(20)]


def layer(norm, samples, shift, static_step):
    """Stimuli of a layer: what comes before the start, and the start."""
    return [
        {"clear": 1, "norm": norm},
        {"take_norm": 1},
        {"norm": 0},
        {"take_step": 1, "static_step": static_step},
        {"take_samples": 1, "samples": samples},
        {"samples": 12345, "static_step": 54321},
        {},
        {"start": 1, "norm_shift": shift},
    ]


IDLE = dict.fromkeys(("clear", "take_norm", "take_samples", "take_step", "start"), 0)


def test_quotients():
    rng, dut, names = Random("shifts"), StepDivider(), ("step", "factor", "done")
    for_each = []
    for norm, samples in cases():
        least = max(0, arith.effective_norm(norm, samples).bit_length() - MULTIPLIER_BITS)
        for_each.append((norm, samples, rng.randint(least, StepDivider.shift_cycles), rng.getrandbits(FRACTION_BITS)))
    stimuli = []
    for case in for_each:
        stimuli += [*layer(*case), *[{}] * (StepDivider.latency + 2)]
    seen = circuits.run(dut, stimuli, names, idle=IDLE)
    period = len(layer(0, 0, 0, 0)) + StepDivider.latency + 2
    start = period - StepDivider.latency - 3
    for index, (norm, samples, shift, static_step) in enumerate(for_each):
        cycles = seen[index * period : (index + 1) * period]
        assert [cycle["done"] for cycle in cycles] == [time == start + StepDivider.latency for time in range(period)]
        assert all(cycle["step"] == static_step for cycle in cycles[4 : start + 1])
        for cycle in cycles[start + StepDivider.latency + 1 :]:
            assert cycle["step"] == arith.dynamic_step(norm, samples), (norm, samples)
            assert cycle["factor"] == arith.effective_norm(norm, samples) >> shift, (norm, samples, shift)


def test_silent_until_started():
    seen = circuits.run(StepDivider(), [*layer(9, 3, 0, 7)[:-1], *[{}] * StepDivider.latency], ["done", "step"], idle=IDLE)
    assert not any(cycle["done"] for cycle in seen)
    assert seen[-1]["step"] == 7


@pytest.mark.parametrize("after", [1, 10, 20])
def test_a_new_layer_forgets_the_old_one(after):
    first, second = layer(1000, 999, 0, 7), layer(5, 2, 0, 8)
    stimuli = [*first, *[{}] * (StepDivider.latency + after), *second]
    seen = circuits.run(StepDivider(), [*stimuli, *[{}] * (StepDivider.latency + 2)], ["step", "done"], idle=IDLE)
    assert [cycle["done"] for cycle in seen[len(stimuli) :]].index(1) == StepDivider.latency - 1
    assert seen[-1]["step"] == arith.dynamic_step(5, 2)
