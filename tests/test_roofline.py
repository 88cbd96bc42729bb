"""Where cycles go: shares that add up, sentences that name what limits."""

from __future__ import annotations

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network

from galton import compile, cycles, roofline
from galton.config import named
from galton.network import Layer, Network
from galton.roofline import CAUSES, LOSSES, PARTS, LayerCycles


def layer(limit: str, name: str = "conv", **more: object) -> LayerCycles:
    """A layer of 1,000 cycles, 600 of which are bound by `limit` and 100 are setup."""
    demands = {part: 600.0 if part == limit else 200.0 for part in PARTS}
    stalls = {"fifo_stalls": 50.0, "ring_stalls": 70.0, "drain_stalls": 160.0}
    values: dict[str, object] = {"setup": 100.0, "bound": 600.0, "demands": demands, "stalls": stalls, "groups": 2}
    return LayerCycles(name, 1000.0, **(values | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "lost"),
    [
        ("entries", {"drain_stalls": 80.0, "gaps": 220.0}),
        ("scan", {"ring_stalls": 70.0, "fifo_stalls": 50.0, "gaps": 180.0}),
        ("drain", {"gaps": 300.0}),
    ],
)
def test_shares_are_the_bound_and_what_was_lost(limit, lost) -> None:
    found = layer(limit)
    assert found.limit == limit
    assert found.shares == {limit: 600.0, **lost, "setup": 100.0}
    assert found.utilisation == 0.6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted(EVERY))
def test_shares_of_real_layers_add_up(name, seed) -> None:
    network = random_network(seed, EVERY[name])
    model = cycles.Model(compile(network, EVERY[name]).image, random_inputs(seed, network, 2))
    layers = roofline.measured(model, model.profiles())
    for index, found in enumerate(layers):
        assert min(found.shares.values()) >= 0
        assert sum(found.shares.values()) == pytest.approx(found.cycles)
        assert found.bound <= found.cycles - found.setup
        assert found.bound == np.mean([max(demands[index].values()) for demands in model.demands()])
        assert found.cycles == np.mean([profiles[index]["cycles"] for profiles in model.profiles()])
    assert sum(roofline.totals(layers).values()) == pytest.approx(sum(found.cycles for found in layers))


def test_rows_that_no_output_takes_need_no_scan() -> None:
    weights, vector = np.ones((1, 1, 1, 3), np.int64), np.ones(1, np.int64)
    taken = Layer("every fourth row", (7, 2, 3), weights, vector, vector, 12, 0, 255, stride=(4, 1))
    network = Network("n", (7, 2, 3), (taken,))
    model = cycles.Model(compile(network, "tiny").image, np.zeros((1, 7, 2, 3), np.int64))
    assert model.demands()[0][0]["scan"] == 5 * 2 * 3


def test_the_advice_names_what_limits_and_where() -> None:
    layers = [layer("entries", "small", bound=300.0), layer("entries", "large", planes=2), layer("drain", "pool")]
    text = roofline.advice(layers, named("up5k"))
    assert text.startswith("35 % of the cycles: start, end and imbalance, most of them in small, pool, large. ")
    more = roofline.advice(layers[:2] * 2, named("up5k"))
    assert more.startswith("45 % of the cycles: walking entries, most of them in large, large, small. What helps: fewer non-zero")
    assert "Zeros among weights gain nothing" in more
    assert "Weights of two planes, in large, large, take two entries each." in more
    assert "Then start, end and imbalance, 37 %: " in more
    assert "a higher price" in roofline.advice(layers[:2], named("tiny"))


def test_every_cause_has_words_and_a_remedy() -> None:
    assert set(CAUSES) == set(PARTS) | set(LOSSES)
    for cause in CAUSES:
        assert "What helps: " in roofline.remedy(cause, [layer("scan")], named("up5k"))
