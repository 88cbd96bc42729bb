"""Rescaling against arith.requantize, multipliers loaded as they are or scaled by arith.dynamic_multiplier."""

from dataclasses import replace
from random import Random

import circuits
import pytest
from tiers import spread

from galton import arith
from galton.config import WIDTHS
from galton.format import SHIFTS, TOTAL_BITS
from galton_hw.rescale import Rescale

CONFIG = replace(circuits.DENSE, groups=1)
EACH = pytest.mark.parametrize("width", WIDTHS)
IDLE = {"i_valid": 0, "load.bias": 0, "load.multiplier": 0}
LIMIT = 1 << (TOTAL_BITS - 1)
ACCUMULATOR = 1 << (CONFIG.accumulator_bits - 1)


def loading(biases, multipliers, factor, factor_shift, rng):
    """Stimuli that load channels as the sequencer does, and wait until the last multiplier can be used."""
    stimuli = []
    for channel, (bias, multiplier) in enumerate(zip(biases, multipliers, strict=True)):
        both = {"load.active": 1, "load.channel": channel, "load.factor": factor, "load.factor_shift": factor_shift}
        stimuli.append({**both, "load.bias": 1, "load.word": bias & (2 * LIMIT - 1)})
        stimuli.append({**both, "load.multiplier": 1, "load.word": multiplier})
    return stimuli + [{"load.word": rng.getrandbits(32)}] * Rescale.load_latency


def fitting(rng, multiplier, bias):
    """An accumulator, often at an edge, with which the total fits; `bias` with the residual's share."""
    assert -LIMIT <= bias < LIMIT
    low = max(-ACCUMULATOR, -((LIMIT + bias) // max(multiplier, 1)))
    high = min(ACCUMULATOR - 1, (LIMIT - 1 - bias) // max(multiplier, 1))
    return rng.choice([low, high, rng.randint(low, high), rng.randint(max(low, -300), min(high, 300))])


def bundles_of(channels, width):
    """The channels of each of a pixel's bundles."""
    vectors = [range(channels)[first : first + CONFIG.lanes] for first in range(0, channels, CONFIG.lanes)]
    return [vector[first : first + width] for vector in vectors for first in range(0, len(vector), width)]


def run(config_layer, stimuli, width, used, accumulators, biases, rng, gap, residuals=None):
    """Check raws, their times and the ends of pixels of `accumulators` after the loading in `stimuli`."""
    residuals = residuals or [0] * len(accumulators)
    shift, channels = SHIFTS[config_layer["shift"]], config_layer["output_channels"]
    begin, fed, first = len(stimuli), [], 0

    def noise():
        """What stands in places that hold nothing."""
        return [rng.randrange(-ACCUMULATOR, ACCUMULATOR) for _ in range(width)], [rng.randrange(256) for _ in range(width)]

    while first < len(accumulators):
        for bundle in bundles_of(channels, width):
            while rng.random() < gap:
                stimuli.append(dict(zip(("accumulators", "residuals"), noise(), strict=True)))
            sums, added = noise()
            for place, channel in enumerate(bundle):
                fed.append((len(stimuli), place, channel))
                sums[place], added[place] = accumulators[first + channel], residuals[first + channel] & 255
            stimuli.append({"i_valid": 1, "accumulators": sums, "residuals": added})
        first += channels
    stimuli += [{}] * (Rescale.latency + 1)
    stimuli[0] |= {"layer": config_layer}
    stimuli[begin] |= {"load.active": 0}
    watch = ["o_valid", "raws", "o_last_channel", "last_channel"]
    seen = circuits.run(Rescale(replace(CONFIG, drain_width=width)), stimuli, watch, idle=IDLE)
    times = sorted({time for time, _, _ in fed})
    assert [time for time, cycle in enumerate(seen) if cycle["o_valid"]] == [time + Rescale.latency for time in times]
    for index, ((time, place, channel), accumulator) in enumerate(zip(fed, accumulators, strict=True)):
        added = residuals[index] * config_layer["residual_multiplier"]
        low, high = config_layer["low"], config_layer["high"]
        expected = arith.requantize(accumulator, used[channel], biases[channel], shift, low, high, added)
        assert seen[time + Rescale.latency]["raws"][place] == expected & 255, (index, accumulator)
        last = channel in bundles_of(channels, width)[-1]
        assert seen[time]["last_channel"] == seen[time + Rescale.latency]["o_last_channel"] == last


CASES = [(0, 255, 5, 0.0), (-128, 127, 3, 0.5), (-3, 0, 1, 0.2)]
"""Least and largest output, channels, pauses."""


@pytest.mark.parametrize(("shift", "case", "width"), spread(5, range(len(SHIFTS)), CASES, WIDTHS))
def test_static(shift, case, width):
    low, high, channels, gap = case
    rng = Random(f"{shift} {low} {channels}")
    multipliers = [rng.choice([0, 1, (1 << 16) - 1, rng.getrandbits(16), rng.getrandbits(9)]) for _ in range(channels)]
    biases = [rng.choice([-LIMIT, LIMIT - 1, 0, rng.randrange(-LIMIT, LIMIT), rng.getrandbits(15)]) for _ in range(channels)]
    # What the core loads a static layer with: times 2^12, shifted back by 12.
    stimuli = loading(biases, multipliers, 1 << SHIFTS[0], 0, rng)
    values = circuits.layer(shift=shift, low=low, high=high, output_channels=channels, group_channels=channels)
    accumulators = [fitting(rng, multipliers[i % channels], biases[i % channels]) for i in range(10 * channels)]
    run(values, stimuli, width, multipliers, accumulators, biases, rng, gap)


@pytest.mark.parametrize(("factor_shift", "seed", "width"), spread(5, range(len(SHIFTS)), range(3), WIDTHS))
def test_dynamic(factor_shift, seed, width):
    rng, channels = Random(f"{factor_shift} {seed}"), 4
    norm, samples, norm_shift = rng.choice([(0, 9, 0), ((1 << 24) - 1, 1 << 20, 8), (rng.getrandbits(20), 40000, 4)])
    short = arith.effective_norm(norm, samples) >> norm_shift
    # Scaled multipliers must fit 16 bits; the compiler sees to it.
    most = min((1 << 16) - 1, ((1 << (16 + SHIFTS[factor_shift])) - 1) // short)
    multipliers = [rng.choice([0, most, rng.randint(0, most)]) for _ in range(channels)]
    used = [arith.dynamic_multiplier(each, norm, samples, norm_shift, factor_shift) for each in multipliers]
    biases = [rng.randrange(-(1 << 20), 1 << 20) for _ in range(channels)]
    values = circuits.layer(
        shift=rng.randrange(len(SHIFTS)), low=-128, high=127, output_channels=channels, group_channels=channels
    )
    accumulators = [fitting(rng, used[index % channels], biases[index % channels]) for index in range(40)]
    run(values, loading(biases, multipliers, short, factor_shift, rng), width, used, accumulators, biases, rng, 0.1)


@pytest.mark.parametrize(
    ("multiplier", "signed", "shift", "width"), spread(5, [1, 300, (1 << 16) - 1], [0, 1], range(len(SHIFTS)), WIDTHS)
)
def test_residual(multiplier, signed, shift, width):
    """Extremes of residual, accumulator and multiplier, whose total just fits, or is negative and comes from the residual."""
    rng, channels = Random(f"{multiplier} {signed} {shift}"), 3
    smallest, largest = (-128, 127) if signed else (0, 255)
    multipliers = [rng.choice([0, 1, (1 << 16) - 1, rng.getrandbits(9)]) for _ in range(channels)]
    # Room is left for the residual.
    biases = [rng.choice([-LIMIT + (1 << 25), LIMIT - (1 << 25), 0, rng.getrandbits(15)]) for _ in range(channels)]
    values = circuits.layer(
        shift=shift,
        low=-128,
        high=127,
        output_channels=channels,
        group_channels=channels,
        signed_residual=signed,
        residual_multiplier=multiplier,
    )
    residuals = [rng.choice([smallest, largest, 0, rng.randint(smallest, largest)]) for _ in range(60)]
    accumulators = [
        fitting(rng, multipliers[index % channels], biases[index % channels] + residual * multiplier)
        for index, residual in enumerate(residuals)
    ]
    stimuli = loading(biases, multipliers, 1 << SHIFTS[0], 0, rng)
    run(values, stimuli, width, multipliers, accumulators, biases, rng, 0.2, residuals)


@EACH
def test_no_residual(width):
    """Whatever byte stands at the port, without a multiplier it does not count."""
    rng = Random(1)
    values = circuits.layer(shift=0, low=-128, high=127, output_channels=1, group_channels=1, signed_residual=1)
    stimuli = loading([5], [7], 1 << SHIFTS[0], 0, rng)
    accumulators = [rng.randrange(-60_000, 60_000) for _ in range(30)]
    run(values, stimuli, width, [7], accumulators, [5], rng, 0.0, [rng.randint(-128, 127) for _ in range(30)])


@EACH
def test_load_latency(width):
    """A multiplier is in place `load_latency` cycles after its word, in time for an accumulator one cycle later, not before."""
    values = circuits.layer(shift=0, low=0, high=255, output_channels=1, group_channels=1)
    for wait, expected in ((Rescale.load_latency + 1, 5), (Rescale.load_latency, 0)):
        load = {"load.active": 1, "load.multiplier": 1, "load.word": 5, "load.factor": 1 << SHIFTS[0], "load.factor_shift": 0}
        load |= {"layer": values}
        stimuli = [
            load,
            *[{}] * (wait - 1),
            {"load.active": 0, "i_valid": 1, "accumulators": [1 << SHIFTS[0]] * width},
            *[{}] * Rescale.latency,
        ]
        seen = circuits.run(Rescale(replace(CONFIG, drain_width=width)), stimuli, ["raws"], idle=IDLE)
        assert seen[-1]["raws"][0] == expected
