"""The streaming quantizer against arith.quantize_stream, in every mode, with markers between bundles of any size."""

from random import Random

import circuits
import pytest
from tiers import spread

from galton import arith
from galton_hw.quantizer import Quantizer
from galton_sim import streams

MODES = {
    "static": {"bypass": 0, "carry": 1},
    "rounding": {"bypass": 0, "carry": 0},
    "bypass": {"bypass": 1, "carry": 0},
    "bypass beats carry": {"bypass": 1, "carry": 1},
}


def draw(rng, signed, size):
    """Raw activations: zeros, extremes, small and any ones."""
    low, high = (-128, 127) if signed else (0, 255)
    kinds = [lambda: 0, lambda: low, lambda: high, lambda: rng.randint(max(low, -9), 9), lambda: rng.randint(low, high)]
    return [rng.choice(kinds)() for _ in range(size)]


def run(raw, parameters, *, count_bits=8, stall=0.0, seed=0, markers=0.0, width=1):
    """(counts of the activations, saturations, transfers) with `markers` strewn in; checks markers, tags and bundles' ends."""
    rng = Random(f"items {seed}")
    items, sizes, rest = [], [], [value & 255 for value in raw]
    while rest:
        while rng.random() < markers:
            items.append({"raw": [rng.getrandbits(8) for _ in range(width)], "marker": 1, "tag": rng.getrandbits(6)})
            sizes.append(0)
        sizes.append(rng.choice([width, rng.randint(1, width)]))
        bundle, rest = rest[: sizes[-1]], rest[sizes[-1] :]
        items.append({"raw": bundle + [0] * (width - len(bundle)), "marker": 0, "tag": rng.getrandbits(6)})
    dut, pulses = Quantizer(count_bits, 6, width=width), []

    def setup(ctx):
        for name, value in parameters.items():
            ctx.set(getattr(dut, name), value)

    transfers = streams.run(
        dut,
        inputs={"i": items},
        outputs={"o": len(items)},
        stall=stall,
        seed=seed,
        setup=setup,
        background=[circuits.monitor({"saturated": dut.saturated}, pulses)],
    )
    found = transfers.values["o"]
    assert [(count["marker"], count["tag"]) for count in found] == [(item["marker"], item["tag"]) for item in items]
    counts = []
    for bundle, size in zip(found, sizes, strict=True):
        values = [-count["magnitude"] if count["negative"] else count["magnitude"] for count in bundle["counts"]]
        assert not any(values[size:])
        counts += values[:size]
    return counts[: len(raw)], sum(pulse["saturated"] for pulse in pulses), transfers


CASES = [(8, 0, 0.4), (5, 3, 0.0), (3, 40, 0.2), (1, 1, 0.6), (8, 255, 0)]
"""Bits of a count, dead zone, stalls."""


@pytest.mark.parametrize(("case", "mode", "signed", "width"), spread(3, CASES, MODES, [False, True], [1, 4]))
def test_counts(case, mode, signed, width):
    count_bits, dead_zone, stall = case
    rng = Random(f"{mode} {signed} {count_bits}")
    step, residue = rng.choice([(1 << 16) - 1, rng.getrandbits(16), 1 << 12]), rng.getrandbits(16)
    raw = draw(rng, signed, 120)
    parameters = {"step": step, "residue": residue, "dead_zone": dead_zone, **MODES[mode]}
    expected = arith.quantize_stream(raw, count_bits=count_bits, **parameters)
    counts, saturated, _ = run(
        raw, {**parameters, "signed_raw": signed}, count_bits=count_bits, stall=stall, seed=mode, markers=0.2, width=width
    )
    assert (counts, saturated) == expected
    assert count_bits > 3 or mode == "static" or dead_zone == 255 or saturated


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("residue", [0, (1 << 16) - 1])
@pytest.mark.parametrize("step", [0, 1, (1 << 16) - 1])
def test_extremes(step, residue, width):
    parameters = {"step": step, "residue": residue, "dead_zone": 0, "carry": 1, "bypass": 0}
    raw = [255] * 40
    counts, saturated, _ = run(raw, {**parameters, "signed_raw": 0}, width=width)
    assert (counts, saturated) == arith.quantize_stream(raw, count_bits=8, **parameters)
    # The theorem: nothing saturates, so the counts telescope.
    assert sum(counts) == (residue + step * sum(raw)) >> 16


@pytest.mark.parametrize("width", [1, 4])
def test_latency(width):
    _, _, transfers = run(range(50), {"bypass": 1}, width=width)
    assert transfers.times["i"] == list(range(len(transfers.times["i"])))
    assert transfers.times["o"] == [time + Quantizer(8, 6, width=width).latency for time in transfers.times["i"]]


@pytest.mark.parametrize("count_bits", [0, 9])
def test_count_width_is_checked(count_bits):
    with pytest.raises(ValueError, match=rf"Count width must be 1\.\.8, not {count_bits}"):
        Quantizer(count_bits, 1)
