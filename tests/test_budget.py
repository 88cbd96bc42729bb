"""Settings by layer under one budget: the knapsack, and what comes out of networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import galton
from galton import budget
from galton.errors import CalibrationError, GaltonError
from galton.quantizers import Options, named
from galton.quantizers.moments import Rows


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all(seed):
    generator = np.random.default_rng(seed)
    work, shares = generator.random(4) + 0.1, np.sort(generator.random((4, 5)), axis=1)
    errors = np.sort(generator.random((4, 5)), axis=1)[:, ::-1]
    parts = shares * (work / work.sum())[:, None]

    def outcome(chosen):
        return sum(errors[layer, place] for layer, place in enumerate(chosen)), sum(
            parts[layer, place] for layer, place in enumerate(chosen)
        )

    for limit in (0.35, 0.5, 0.8):
        every = [outcome(chosen) for chosen in product(range(5), repeat=4)]
        fitting = [loss for loss, cost in every if cost <= limit]
        if not fitting:
            with pytest.raises(GaltonError, match="cannot be kept"):
                budget.allocate(work, shares, errors, limit)
            continue
        loss, cost = outcome(budget.allocate(work, shares, errors, limit))
        assert cost <= limit
        tighter = [loss for loss, cost in every if cost <= limit * (1 - 5 / budget.RESOLUTION)]
        assert min(fitting) <= loss <= min(tighter, default=np.inf) + 1e-12


def test_a_probe_tells_the_share_and_the_error_of_each_candidate():
    generator = np.random.default_rng(0)
    inputs = np.maximum(generator.normal(size=(2, 300, 9)), 0)
    weights = generator.laplace(size=(6, 1, 3, 3))
    options = Options(1.0, norm="channel", rows=lambda: Rows(inputs, inputs), name="layer", work=2.0, corrected=False)
    probe = budget.Probe(named("mcq"), budget.candidates("mcq"))
    integers, steps = probe(weights, options)
    assert np.array_equal(integers, named("mcq")(weights, options)[0])
    place = budget.LADDER.index(1.0)
    neurons = np.clip(integers, -7, 7).reshape(2, 3, 9)
    both = (inputs[:, :, None] != 0) & (neurons[:, None] != 0)
    assert probe.work == {"layer": 2.0}
    assert probe.shares["layer"][place] == pytest.approx(both.mean())
    wanted = np.einsum("gri,goi->gro", inputs, weights.reshape(2, 3, 9))
    reached = np.einsum("gri,goi->gro", inputs, neurons * steps.reshape(2, 3, 1))
    assert probe.errors["layer"][place] == pytest.approx(np.linalg.norm(reached - wanted) / np.linalg.norm(wanted))
    assert probe.shares["layer"][-1] > 2 * probe.shares["layer"][0]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 6)
    )
    return module.eval(), torch.rand(128, 2, 8, 8)


@pytest.mark.parametrize(("method", "engine"), [("mcq", "accelerator"), ("mcq", "graph"), ("gpfq", "graph"), ("galton", "graph")])
def test_a_budget_is_kept_and_spent(network, method, engine):
    quantized = galton.quantize(*network, method=method, engine=engine, budget=0.3)
    report = quantized.report()
    assert 0.2 < report["effective"] <= 0.3
    assert set(report["options"]["layers"]) == {"0", "2", "5"}
    assert report["options"]["budget"] == 0.3


def test_own_settings_of_a_layer_stay(network):
    quantized = galton.quantize(*network, method="mcq", budget=0.3, layers={"2": {"k_weights": 3.0}}, engine="graph")
    assert quantized.options["layers"]["2"] == {"k_weights": 3.0}
    assert set(quantized.options["layers"]) == {"0", "2", "5"}


def test_calibration_that_comes_once_will_do(network):
    module, inputs = network
    quantized = galton.quantize(module, iter([inputs[:64], inputs[64:]]), method="mcq", budget=0.3)
    assert quantized.report()["effective"] <= 0.3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"budget": 0}, GaltonError, "budget must be a share of the dense multiply-accumulates in 0..1, not 0"),
        (
            {"budget": 0.3, "method": "nearest"},
            GaltonError,
            "a knob for its work, mcq, gpfq, galton, not 'nearest'",
        ),
        ({"budget": 0.01, "method": "mcq"}, GaltonError, "A budget of 0.01 .* cannot be kept: the sparsest weights take 0.1"),
    ],
)
def test_budgets_that_cannot_be_are_refused(network, settings, error, message):
    with pytest.raises(error, match=message):
        galton.quantize(*network, **settings)


def test_a_budget_without_data_is_refused(network):
    with pytest.raises(CalibrationError, match="A budget is divided by errors on calibration data"):
        galton.quantize(network[0], None, input_shape=(2, 8, 8), engine="graph", budget=0.3)


def test_a_method_may_be_a_function(network):
    def signs(weights, options):
        rows = np.abs(weights).reshape(len(weights), -1)
        return np.sign(weights).astype(np.int64), rows.mean(axis=1)

    quantized = galton.quantize(*network, method=signs, k_weights=1.0)
    assert all(set(np.unique(layer.weights)) <= {-1, 0, 1} for layer in quantized.network.layers)
