"""`galton.simulate` gives a simulator raw inputs and makes real outputs of what it returns."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from networks import random_network

import galton
from galton import golden
from galton.config import CONFIGS
from galton.errors import MissingTool


@pytest.fixture
def compiled():
    return galton.compile(random_network(3, CONFIGS["tiny"]), "tiny")


def test_outputs_are_those_of_the_compiled_network(monkeypatch, compiled):
    asked = {}

    def simulate(image, raw, **options):
        asked.update(options, raw=raw)
        return SimpleNamespace(outputs=golden.run(image, raw))

    monkeypatch.setitem(sys.modules, "galton_sim.simulate", SimpleNamespace(simulate=simulate))
    network = compiled.network
    inputs = (
        np.random.default_rng(0).uniform(network.input_low, network.input_high, (3, *network.input_shape)) * network.input_scale
    )
    assert (galton.simulate(compiled, inputs, seed=5) == compiled.run(inputs)).all()
    assert asked["seed"] == 5
    assert (asked["raw"] == network.raw_input(inputs)).all()


def test_without_the_simulator(monkeypatch, compiled):
    monkeypatch.setitem(sys.modules, "galton_sim.simulate", None)
    with pytest.raises(MissingTool, match=r"pip install 'galton\[sim\]'"):
        galton.simulate(compiled, np.zeros((1, *compiled.network.input_shape)))
