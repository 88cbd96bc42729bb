"""Rescaling against arith.requantize, multipliers loaded as they are or scaled by arith.dynamic_multiplier."""

from random import Random

import circuits
import pytest

from galton import arith
from galton.format import SHIFTS, TOTAL_BITS
from galton_hw.rescale import Rescale

CONFIG = circuits.DENSE
IDLE = {"i_valid": 0, "load.bias": 0, "load.multiplier": 0}
LIMIT = 1 << (TOTAL_BITS - 1)
ACCUMULATOR = 1 << (CONFIG.accumulator_bits - 1)


def loading(biases, multipliers, factor, factor_shift, rng):
    """Stimuli that load channels as the sequencer does, and wait until the last multiplier can be used."""
    stimuli = []
    for channel, (bias, multiplier) in enumerate(zip(biases, multipliers, strict=True)):
        both = {"load.active": 1, "load.channel": channel, "load.factor": factor, "load.factor_shift": factor_shift}
        stimuli.append({**both, "load.bias": 1, "load.word": bias & (2 * LIMIT - 1)})
        # A CHANNEL's second word has nothing above the multiplier.
        stimuli.append({**both, "load.multiplier": 1, "load.word": multiplier})
    return stimuli + [{"load.word": rng.getrandbits(32)}] * Rescale.load_latency


def fitting(rng, multiplier, bias):
    """An accumulator, often at an edge, with which the total fits; `bias` with the residual's share."""
    assert -LIMIT <= bias < LIMIT
    low = max(-ACCUMULATOR, -((LIMIT + bias) // max(multiplier, 1)))
    high = min(ACCUMULATOR - 1, (LIMIT - 1 - bias) // max(multiplier, 1))
    return rng.choice([low, high, rng.randint(low, high), rng.randint(max(low, -300), min(high, 300))])


def run(config_layer, stimuli, channels, used, accumulators, biases, rng, gap, residuals=None):
    """Check raws, their times and the ends of pixels of `accumulators` after the loading in `stimuli`."""
    residuals = residuals or [0] * len(accumulators)
    shift = SHIFTS[config_layer["shift"]]
    begin, fed = len(stimuli), []
    for accumulator, residual in zip(accumulators, residuals, strict=True):
        while rng.random() < gap:
            stimuli.append({"accumulator": rng.randrange(-ACCUMULATOR, ACCUMULATOR), "residual": rng.randrange(256)})
        fed.append(len(stimuli))
        stimuli.append({"i_valid": 1, "accumulator": accumulator, "residual": residual & 255})
    stimuli += [{}] * (Rescale.latency + 1)
    stimuli[0] |= {"layer": config_layer}
    stimuli[begin] |= {"load.active": 0}
    watch = ["o_valid", "raw", "o_last_channel", "last_channel"]
    seen = circuits.run(Rescale(CONFIG), stimuli, watch, idle=IDLE)
    assert [time for time, cycle in enumerate(seen) if cycle["o_valid"]] == [time + Rescale.latency for time in fed]
    for index, (time, accumulator) in enumerate(zip(fed, accumulators, strict=True)):
        channel = index % channels
        added = residuals[index] * config_layer["residual_multiplier"]
        low, high = config_layer["low"], config_layer["high"]
        expected = arith.requantize(accumulator, used[channel], biases[channel], shift, low, high, added)
        assert seen[time + Rescale.latency]["raw"] == expected & 255, (index, accumulator)
        assert seen[time]["last_channel"] == seen[time + Rescale.latency]["o_last_channel"] == (channel == channels - 1)


@pytest.mark.parametrize("shift", range(len(SHIFTS)))
@pytest.mark.parametrize(("low", "high", "channels", "gap"), [(0, 255, 5, 0.0), (-128, 127, 3, 0.5), (-3, 0, 1, 0.2)])
def test_static(shift, low, high, channels, gap):
    rng = Random(f"{shift} {low} {channels}")
    multipliers = [rng.choice([0, 1, (1 << 16) - 1, rng.getrandbits(16), rng.getrandbits(9)]) for _ in range(channels)]
    biases = [rng.choice([-LIMIT, LIMIT - 1, 0, rng.randrange(-LIMIT, LIMIT), rng.getrandbits(15)]) for _ in range(channels)]
    # What the core loads a static layer with: times 2^12, shifted back by 12.
    stimuli = loading(biases, multipliers, 1 << SHIFTS[0], 0, rng)
    values = circuits.layer(shift=shift, low=low, high=high, output_channels=channels)
    accumulators = [fitting(rng, multipliers[i % channels], biases[i % channels]) for i in range(10 * channels)]
    run(values, stimuli, channels, multipliers, accumulators, biases, rng, gap)


@pytest.mark.parametrize("factor_shift", range(len(SHIFTS)))
@pytest.mark.parametrize("seed", range(3))
def test_dynamic(factor_shift, seed):
    rng, channels = Random(f"{factor_shift} {seed}"), 4
    norm, samples, norm_shift = rng.choice([(0, 9, 0), ((1 << 24) - 1, 1 << 20, 8), (rng.getrandbits(20), 40000, 4)])
    short = arith.effective_norm(norm, samples) >> norm_shift
    # Scaled multipliers must fit 16 bits; the compiler sees to it.
    most = min((1 << 16) - 1, ((1 << (16 + SHIFTS[factor_shift])) - 1) // short)
    multipliers = [rng.choice([0, most, rng.randint(0, most)]) for _ in range(channels)]
    used = [arith.dynamic_multiplier(each, norm, samples, norm_shift, factor_shift) for each in multipliers]
    biases = [rng.randrange(-(1 << 20), 1 << 20) for _ in range(channels)]
    values = circuits.layer(shift=rng.randrange(len(SHIFTS)), low=-128, high=127, output_channels=channels)
    accumulators = [fitting(rng, used[index % channels], biases[index % channels]) for index in range(40)]
    run(values, loading(biases, multipliers, short, factor_shift, rng), channels, used, accumulators, biases, rng, 0.1)


@pytest.mark.parametrize("shift", range(len(SHIFTS)))
@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("multiplier", [1, 300, (1 << 16) - 1])
def test_residual(multiplier, signed, shift):
    """Extremes of residual, accumulator and multiplier, whose total just fits, or is negative and comes from the residual."""
    rng, channels = Random(f"{multiplier} {signed} {shift}"), 3
    smallest, largest = (-128, 127) if signed else (0, 255)
    multipliers = [rng.choice([0, 1, (1 << 16) - 1, rng.getrandbits(9)]) for _ in range(channels)]
    # Room is left for the residual.
    biases = [rng.choice([-LIMIT + (1 << 25), LIMIT - (1 << 25), 0, rng.getrandbits(15)]) for _ in range(channels)]
    values = circuits.layer(
        shift=shift, low=-128, high=127, output_channels=channels, signed_residual=signed, residual_multiplier=multiplier
    )
    residuals = [rng.choice([smallest, largest, 0, rng.randint(smallest, largest)]) for _ in range(60)]
    accumulators = [
        fitting(rng, multipliers[index % channels], biases[index % channels] + residual * multiplier)
        for index, residual in enumerate(residuals)
    ]
    stimuli = loading(biases, multipliers, 1 << SHIFTS[0], 0, rng)
    run(values, stimuli, channels, multipliers, accumulators, biases, rng, 0.2, residuals)


def test_no_residual():
    """Whatever byte stands at the port, without a multiplier it does not count."""
    rng = Random(1)
    values = circuits.layer(shift=0, low=-128, high=127, output_channels=1, signed_residual=1)
    stimuli = loading([5], [7], 1 << SHIFTS[0], 0, rng)
    accumulators = [rng.randrange(-60_000, 60_000) for _ in range(30)]
    run(values, stimuli, 1, [7], accumulators, [5], rng, 0.0, [rng.randint(-128, 127) for _ in range(30)])


def test_load_latency():
    """A multiplier is in place `load_latency` cycles after its word, in time for an accumulator one cycle later, not before."""
    values = circuits.layer(shift=0, low=0, high=255, output_channels=1)
    for wait, expected in ((Rescale.load_latency + 1, 5), (Rescale.load_latency, 0)):
        load = {"load.active": 1, "load.multiplier": 1, "load.word": 5, "load.factor": 1 << SHIFTS[0], "load.factor_shift": 0}
        load |= {"layer": values}
        stimuli = [
            load,
            *[{}] * (wait - 1),
            {"load.active": 0, "i_valid": 1, "accumulator": 1 << SHIFTS[0]},
            *[{}] * Rescale.latency,
        ]
        assert circuits.run(Rescale(CONFIG), stimuli, ["raw"], idle=IDLE)[-1]["raw"] == expected
