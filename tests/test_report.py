"""The HTML report: self-contained, complete, and the same for the same facts."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from galton import reference
from galton.network import Activation, Layer
from galton.report import Facts, LayerFacts, MemoryFacts, Point, render
from galton.report.facts import Comparison
from galton.report.measure import weight_bits, work
from galton.report.plots import MOST_HITS, percentages
from galton.roofline import LayerCycles


def layer(name: str, cycles: float) -> LayerFacts:
    """Facts of one layer."""
    return LayerFacts(
        name=name,
        shape="14x14x16",
        bits=4,
        nonzero_weights=0.75,
        nonzero_counts=0.25,
        weight_hits=[25, 50, 20, 5],
        count_hits=[75, 10, 10, 5],
        operations=123_456,
        work=23_456.0,
        timing=LayerCycles(
            name,
            cycles,
            setup=300.0,
            bound=0.8 * cycles,
            demands={"entries": 0.8 * cycles, "scan": 0.3 * cycles, "drain": 0.1 * cycles},
            stalls={"fifo_stalls": 11.0, "ring_stalls": 12.0, "drain_stalls": 13.0},
        ),
        events=98.0,
        entries=765.0,
        certificate={"largest |acc|": 54_321, "bits": 20},
    )


@pytest.fixture
def facts() -> Facts:
    """Facts of a network with two layers."""
    comparison = Comparison(1000, 98.1, 97.9, -0.2, 0.15)
    return Facts(
        title="Some <network>",
        configuration="up5k",
        digest="0badcafe",
        clock=24e6,
        clock_source="the target clock",
        layers=[layer("features.0", 40_000.0), layer("head", 8_000.0)],
        memories=[MemoryFacts("data", 16_384, 65_536), MemoryFacts("weights", 60_000, 65_536)],
        cycles=48_000.0,
        inferences=200,
        mismatches=0,
        comparison=comparison,
        curve=[Point(1.0, comparison, 0.6, 0.2, 0), Point(2.0, comparison, 0.8, 0.4, 7)],
        chosen_k=2.0,
        notes=["Made by a test."],
        advice="Do <this>.",
    )


class Addresses(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] if tag in ("script", "link", "img", "iframe") else []
        self.found += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href") and not (value or "").startswith("#")
        ]


def test_the_page_is_self_contained(facts) -> None:
    page = render(facts)
    parser = Addresses()
    parser.feed(page)
    assert parser.found == []
    assert not re.search(r"url\((?!#)|@import", page)
    assert page.count("<svg") == 2


def test_the_page_shows_every_fact(facts) -> None:
    page = render(facts)
    numbers = [
        "48,000",
        "97.9 %",
        "98.1 %",
        "-0.20 ± 0.15",
        "16,384",
        "65,536",
        "54,321",
        "123,456",
        "23,456",
        "19.0 %",
        "75.0 %",
    ]
    words = [
        "Some &lt;network&gt;",
        "up5k",
        "0badcafe",
        "0 mismatches",
        "200 inferences",
        "2.00 ms",
        "24 MHz",
        "features.0",
        "head",
        "Do &lt;this&gt;.",
        "walking entries: 32,000",
        "needed for scanning activations: 12,000",
    ]
    for text in (*numbers, *words, "Made by a test."):
        assert text in page, text
    assert "1 mismatch<" in render(replace(facts, mismatches=1))


def test_equal_facts_give_equal_pages(facts) -> None:
    assert render(facts) == render(facts)


def test_a_page_without_labels_has_no_curve(facts) -> None:
    page = render(replace(facts, comparison=None, curve=[]))
    assert page.count("<svg") == 1
    assert "Accuracy" not in page


def test_the_paired_error_is_that_of_the_differences() -> None:
    generator = np.random.default_rng(5)
    before, after = generator.random(400) < 0.9, generator.random(400) < 0.85
    found = Comparison.of(before, after)
    gains = [100 * (int(b) - int(a)) for a, b in zip(before, after, strict=True)]
    mean = sum(gains) / 400
    error = (sum((gain - mean) ** 2 for gain in gains) / 399 / 400) ** 0.5
    assert found.difference == pytest.approx(mean)
    assert found.error == pytest.approx(error)
    assert found.quantized_accuracy - found.float_accuracy == pytest.approx(mean)


def test_large_hits_are_counted_together() -> None:
    values = [0] * (MOST_HITS + 5)
    values[0], values[3], values[MOST_HITS], values[-1] = 50, 25, 15, 10
    shares = percentages(values)
    assert len(shares) == MOST_HITS + 1
    assert (shares[0], shares[3], shares[-1]) == (50.0, 25.0, 25.0)
    assert percentages([1, 3]) == [25.0, 75.0, *[0.0] * (MOST_HITS - 1)]


@pytest.mark.parametrize(("low", "high", "bits"), [(-8, 7, 4), (-8, 8, 5), (-7, 3, 4), (0, 1, 2), (-1, 0, 1), (-2, 1, 2)])
def test_weight_bits_hold_every_weight(low, high, bits) -> None:
    weights = np.array([low, high]).reshape(2, 1, 1, 1)
    constants = np.zeros(2, np.int64)
    assert weight_bits(Layer("x", (1, 1, 1), weights, constants, constants, 16, 0, 255)) == bits


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_work_counts_pairs_of_non_zeros(seed, elementwise) -> None:
    generator = np.random.default_rng(seed)
    stride, pool = tuple(generator.integers(1, 3, 2).tolist()), tuple(generator.integers(1, 3, 2).tolist())
    padding = tuple(generator.integers(0, 3, 4).tolist())
    weights = generator.integers(-1, 2, (3, 2, 3, 1 if elementwise else 2))
    constants, channels = np.full(3, 5), 3 if elementwise else 2
    item = Layer(
        "x",
        (7, 8, channels),
        weights,
        constants,
        constants,
        16,
        0,
        255,
        Activation(),
        stride,
        padding,
        pool,
        elementwise=elementwise,
    )
    counts = generator.integers(0, 3, (4, 7, 8, channels)) * generator.integers(0, 2, (4, 7, 8, channels))
    ones = replace(item, weights=np.abs(weights))
    traced = reference.layer_trace(ones, (counts != 0).astype(np.int64))
    assert work(item, counts) == pytest.approx(traced.sums.sum() / 4)
