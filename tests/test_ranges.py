"""Inputs that raw integers cannot hold are cut and counted, or refused; what is no number is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import galton
from galton import golden, simulation
from galton.compiler import compile
from galton.errors import CalibrationError, RangeWarning
from galton.network import Layer, Network
from galton.ranges import rounded, settle


@pytest.fixture
def compiled():
    layer = Layer("fc", (1, 1, 4), np.ones((2, 1, 1, 4), np.int64), np.full(2, 50), np.zeros(2, np.int64), 12, -128, 127)
    return compile(Network("net", (1, 1, 4), (layer,), 0.5, -10, 20), "tiny")


@pytest.mark.parametrize(
    ("values", "raw", "words"),
    [
        ([[0.0, 10.24, -5.25]], [[0, 20, -10]], ""),
        ([[10.25, 0.0, 0.0]], [[20, 0, 0]], "1 of 3 input values, in 1 of 1 inputs, are outside -5..10; the furthest is 10.25"),
        (
            [[0.0], [-9.0], [99.0]],
            [[0], [-10], [20]],
            "2 of 3 input values, in 2 of 3 inputs, are outside -5..10; the furthest is 99",
        ),
        ([[-99.0, 11.0], [3.0, 4.0]], [[-10, 20], [6, 8]], "2 of 4 input values, in 1 of 2 inputs, are outside -5..10; .* -99"),
    ],
)
def test_what_is_cut(values, raw, words) -> None:
    found, cut = rounded(np.array(values), 0.5, -10, 20)
    assert found.tolist() == raw
    assert bool(cut) == bool(words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if words:
            with pytest.raises(RangeWarning, match=words):
                settle(cut, "saturate")
            with pytest.raises(CalibrationError, match=words):
                settle(cut, "refuse")
        else:
            settle(cut, "saturate")
            settle(cut, "refuse")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("out_of_range", ["saturate", "refuse"])
def test_what_is_no_number_is_refused(compiled, value, out_of_range) -> None:
    inputs = np.zeros((2, 4))
    inputs[1, 2] = value
    with pytest.raises(CalibrationError, match=rf"Input 1 has {value} at \(0, 0, 2\), not a finite number"):
        compiled.run(inputs, out_of_range=out_of_range)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_compiled_networks(compiled, kind) -> None:
    inputs = [[1.0, 2, 3, 4], [1.0, 2, 30, -40]]
    with pytest.warns(RangeWarning, match="2 of 8 input values, in 1 of 2 inputs") as caught:
        outputs = compiled.run(kind(inputs))
    assert caught[0].filename == __file__
    assert (np.asarray(outputs) == np.asarray(compiled.run(kind(inputs).clip(-5, 10)))).all()
    with pytest.raises(CalibrationError, match="2 of 8 input values, in 1 of 2 inputs"):
        compiled.run(kind(inputs), out_of_range="refuse")
    compiled.run(kind(inputs[:1]), out_of_range="refuse")
    with pytest.raises(ValueError, match="out_of_range must be one of saturate, refuse, not 'wrap'"):
        compiled.run(kind(inputs[:1]), out_of_range="wrap")


def test_simulated_networks(compiled, monkeypatch) -> None:
    class Simulated:
        @staticmethod
        def simulate(image, raw):
            return type("Result", (), {"outputs": golden.run(image, raw)})

    monkeypatch.setattr(simulation, "import_module", lambda name: Simulated)
    inputs = np.array([[1.0, 2, 30, -40]])
    with pytest.warns(RangeWarning, match="2 of 4 input values"):
        outputs = galton.simulate(compiled, inputs)
    assert (outputs == compiled.run(inputs.clip(-5, 10))).all()
    with pytest.raises(CalibrationError, match="2 of 4 input values"):
        galton.simulate(compiled, inputs, out_of_range="refuse")


def test_whole_numbers_too_large_for_floats_are_cut() -> None:
    found, cut = rounded(np.array([[2**63 - 1, -(2**63)]]), 1.0, 0, 255)
    assert found.tolist() == [[255, 0]]
    assert cut.values == 2
