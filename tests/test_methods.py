"""Every method on the accelerator: within its weights, as good as in torch, and better with calibration than without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import galton
from galton import golden
from galton.quantizers import METHODS


@pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_the_accelerator(digits, method):
    module = galton.quantize(digits.model, digits.train[:128], method=method, engine="accelerator", wide_last=False)
    assert all(np.abs(layer.weights).max() <= 7 for layer in module.network.layers)
    assert digits.predict(module) > digits.right - 0.02
    image = galton.compile(module, "up5k").image
    inputs = digits.test[:6]
    raw = module.network.raw_input(inputs.permute(0, 2, 3, 1).double().numpy())
    assert np.array_equal(golden.run(image, raw).reshape(6, 10), module.raw_outputs(inputs).reshape(6, 10).numpy())


@pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
def test_calibrated_methods_beat_rounding_at_few_levels(digits):
    errors = {}
    for method in ("nearest", "gptq", "galton"):
        extra = {"price": 0.0} if method == "galton" else {}
        module = galton.quantize(
            digits.model, digits.train[:256], method=method, weight_limit=2, extra=extra, engine="accelerator"
        )
        errors[method] = module.report()["layers"][-1]["error"]
    assert errors["galton"] < errors["gptq"] < errors["nearest"]


@pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
def test_both_engines_agree(digits):
    inputs = digits.test[:300]
    outputs = [
        galton.quantize(digits.model, digits.train[:128], method="galton", engine=engine)(inputs)
        for engine in ("accelerator", "graph")
    ]
    with torch.no_grad():
        wanted = digits.model(inputs)
    errors = [float((found - wanted).norm() / wanted.norm()) for found in outputs]
    assert errors[1] == pytest.approx(errors[0], rel=0.3)


def test_calibration_on_too_little_is_told(digits):
    with pytest.warns(galton.errors.CalibrationWarning, match="9: 64 calibration rows for neurons of 784 weights"):
        galton.quantize(digits.model, digits.train[:64], method="gptq")
