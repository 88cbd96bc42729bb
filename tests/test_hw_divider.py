"""The step divider against arith.dynamic_step and arith.effective_norm, and its latency."""

from random import Random

import circuits
import pytest

from galton import arith
from galton.format import MULTIPLIER_BITS, NORM_BITS
from galton_hw.divider import StepDivider

LARGEST = (1 << NORM_BITS) - 1


def cases():
    """(norm, samples): extremes, equals, neighbours, and anything."""
    rng = Random("divider")
    edges = [0, 1, 2, (1 << 16) - 1, 1 << 16, LARGEST - 1]
    found = [(norm, samples) for norm in [*edges, LARGEST] for samples in edges]
    found += [(size + rng.randint(-1, 1), size) for size in (5, 777, 1 << 20)]
    return found + [(rng.getrandbits(rng.randint(1, 24)), rng.getrandbits(rng.randint(1, 23))) for _ in range(20)]


def test_quotients():
    rng, dut, names = Random("shifts"), StepDivider(), ("step", "factor", "done")
    for_each = []
    for norm, samples in cases():
        least = max(0, arith.effective_norm(norm, samples).bit_length() - MULTIPLIER_BITS)
        for_each.append((norm, samples, rng.randint(least, StepDivider.shift_cycles)))
    stimuli = []
    for norm, samples, shift in for_each:
        stimuli.append({"start": 1, "norm": norm, "samples": samples, "norm_shift": shift})
        stimuli += [{}] * (StepDivider.latency + 2)
    seen = circuits.run(dut, stimuli, names, idle={"start": 0})
    period = StepDivider.latency + 3
    for index, (norm, samples, shift) in enumerate(for_each):
        cycles = seen[index * period : (index + 1) * period]
        assert [cycle["done"] for cycle in cycles] == [time == StepDivider.latency for time in range(period)]
        for cycle in cycles[StepDivider.latency + 1 :]:
            assert cycle["step"] == arith.dynamic_step(norm, samples), (norm, samples)
            assert cycle["factor"] == arith.effective_norm(norm, samples) >> shift, (norm, samples, shift)


def test_silent_until_started():
    seen = circuits.run(StepDivider(), [{"norm": 9, "samples": 3}] * (StepDivider.latency + 5), ["done"])
    assert not any(cycle["done"] for cycle in seen)


@pytest.mark.parametrize("after", [1, 10, 20])
def test_a_new_start_forgets_the_old_one(after):
    stimuli = [{"start": 1, "norm": 1000, "samples": 999}, *[{}] * after, {"start": 1, "norm": 5, "samples": 2}]
    seen = circuits.run(StepDivider(), [*stimuli, *[{}] * (StepDivider.latency + 2)], ["step", "done"], idle={"start": 0})
    assert [cycle["done"] for cycle in seen].index(1) == after + 1 + StepDivider.latency
    assert seen[-1]["step"] == arith.dynamic_step(5, 2)
