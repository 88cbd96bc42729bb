"""Bundles of counts into single ones: what comes out, and when."""

from dataclasses import replace
from itertools import accumulate
from random import Random

import circuits
import pytest

from galton_hw.scan import tag_layout
from galton_hw.serializer import Serializer
from galton_sim import streams

CONFIG = replace(circuits.SMALL, scan_width=4)
LONG, SHORT = 5, 3


def draw(rng):
    """A marker, or a bundle of any counts."""
    tag = {name: rng.getrandbits(field.width) for name, field in tag_layout(CONFIG)}
    marker = int(rng.random() < 0.2)
    magnitudes = [0 if marker else rng.choice([0, 0, 0, rng.randint(1, 255)]) for _ in range(4)]
    counts = [{"magnitude": magnitude, "negative": rng.getrandbits(1)} for magnitude in magnitudes]
    return {"counts": counts, "marker": marker, "tag": tag | {"start": rng.randrange(40)}}


def singles(items):
    """What ordinary layers make of `items`: for each those that come out, where only the first count means anything."""
    stride = None
    for item in items:
        places = [place for place, count in enumerate(item["counts"]) if count["magnitude"] and item["tag"]["active"]]
        if item["marker"]:
            stride = SHORT if item["tag"]["short"] else LONG
        tags = [item["tag"] | {"start": item["tag"]["start"] + place * stride} for place in places] or [item["tag"]]
        yield [
            {"marker": item["marker"], "tag": tag, "count": item["counts"][place]}
            for tag, place in zip(tags, places or [0], strict=True)
        ]


@pytest.mark.parametrize("elementwise", [0, 1])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_serializer(stall, elementwise):
    rng = Random(f"{stall} {elementwise}")
    marker = {"counts": [{"magnitude": 0, "negative": 0}] * 4, "marker": 1}
    items = [{**draw(rng), **marker}, *(draw(rng) for _ in range(150))]
    due = [[item] for item in items] if elementwise else list(singles(items))
    expected = [single for part in due for single in part]

    def setup(ctx):
        ctx.set(dut.layer, circuits.layer(elementwise=elementwise, channel_stride_long=LONG, channel_stride_short=SHORT))

    dut = Serializer(CONFIG)
    transfers = streams.run(dut, inputs={"i": items}, outputs={"o": len(expected)}, stall=stall, seed=stall, setup=setup)
    found = transfers.values["o"]
    if not elementwise:
        assert not any(count["magnitude"] for item in found for count in item["counts"][1:])
        found = [{"marker": item["marker"], "tag": item["tag"], "count": item["counts"][0]} for item in found]
    assert found == expected
    if not stall:
        # An outgoing bundle in every cycle, an incoming one with the last that it gives.
        assert transfers.times["o"] == list(range(Serializer.latency, Serializer.latency + len(expected)))
        assert transfers.times["i"] == [time - 1 for time in accumulate(map(len, due))]
