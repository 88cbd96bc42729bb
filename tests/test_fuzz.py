"""Random torch networks, methods and settings, all the way down: torch, reference, oracle, golden model, Verilog, cycle model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from torch import nn

import galton
from galton import calibration, config, cycles, golden, reference
from galton.errors import AccumulatorOverflow, FitError
from galton.quantization import QuantizedModule
from galton_sim import simulate

pytestmark = pytest.mark.filterwarnings("ignore::galton.errors.CalibrationWarning")
METHODS = ("mcq", "mcq", "galton", "nearest", "nearest_mse", "aciq", "gptq", "gpfq", "maly_saab")
TARGETS = ("tiny", "up5k", "ecp5-25")


@dataclass(frozen=True)
class Case:
    """A network with inputs like those it is calibrated with, and what it is quantized and compiled with."""

    module: nn.Module
    inputs: torch.Tensor
    options: dict[str, Any]
    target: str


def drawn(seed: int) -> Case:
    """The case of a seed."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shape = (int(rng.integers(1, 5)), int(rng.integers(5, 15)), int(rng.integers(5, 15)))
    module = network(rng, shape)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.3, 2)
    inputs = torch.rand(40, *shape) - float(rng.choice([0, 0, 0.5]))
    options = settings(rng)
    return Case(module.eval(), inputs, options, str(rng.choice(TARGETS)))


def network(rng: np.random.Generator, shape: tuple[int, int, int]) -> nn.Module:
    """Convolutions with what may be around them, then perhaps linear layers, such that something is left of the map."""
    while True:
        layers, channels = [], shape[0]
        if rng.random() < 0.1:
            layers.append(nn.BatchNorm2d(channels))
        for _ in range(rng.integers(1, 4)):
            outputs = int(rng.integers(1, 17))
            layers += block(rng, channels, outputs)
            channels = outputs
        if rng.random() < 0.7:
            layers += [nn.Flatten(), nn.LazyLinear(int(rng.integers(2, 25)), bias=bool(rng.random() < 0.7))]
            if rng.random() < 0.5:
                norm = [nn.LazyBatchNorm1d()] if rng.random() < 0.4 else []
                layers += [*norm, nn.ReLU(), nn.Dropout(0.3), nn.LazyLinear(10)]
            if rng.random() < 0.3:
                layers.append(nn.Softmax(1))
        module = nn.Sequential(*layers)
        try:
            with torch.no_grad():
                module.eval()(torch.zeros(2, *shape))
        except RuntimeError:
            continue
        return module


def block(rng: np.random.Generator, inputs: int, outputs: int) -> list[nn.Module]:
    """A convolution, and batch-norm, activation and pooling where the dice say so."""
    kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    stride = (int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 1, 2, 4])))
    padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bool(rng.random() < 0.5))]
    if rng.random() < 0.2:
        layers.insert(0, nn.ZeroPad2d(tuple(int(side) for side in rng.integers(0, 3, 4))))
    if rng.random() < 0.5:
        layers.append(nn.BatchNorm2d(outputs))
    if rng.random() < 0.8:
        layers.append([nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-1, 0.5)][rng.integers(3)])
    if rng.random() < 0.4:
        layers.append([nn.MaxPool2d(2), nn.MaxPool2d((1, 3)), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)][rng.integers(4)])
    if rng.random() < 0.2:
        layers.append(nn.BatchNorm2d(outputs))
    return layers


def settings(rng: np.random.Generator) -> dict[str, Any]:
    """Options of galton.quantize."""
    mode = str(rng.choice(["monte_carlo", "rounding", "bypass", "aciq"], p=[0.45, 0.3, 0.1, 0.15]))
    options: dict[str, Any] = {
        "method": str(rng.choice(METHODS)),
        "activations": mode,
        "dynamic": mode in ("monte_carlo", "rounding") and bool(rng.random() < 0.4),
        "dead_zone": float(rng.choice([0, 0, 1.5, 3])),
        "k_activations": float(rng.choice([0.5, 1, 2, 4])),
        "xi": float(rng.choice([0, 0.5, 0.9])),
        "weight_limit": int(rng.choice([1, 3, 7, 7, 30, 119])),
        "correct": bool(rng.random() < 0.8),
        "skip_first_activation": bool(rng.random() < 0.5),
        "skip_last_activation": bool(rng.random() < 0.5),
    }
    if options["method"] == "mcq":
        options |= {"k_weights": float(rng.choice([0.3, 1, 2, 5])), "order": str(rng.choice(["channel_sign", "magnitude"]))}
        options |= {"norm": str(rng.choice(["layer", "channel"]))}
    return options


def compiled_case(case: Case) -> tuple[QuantizedModule, Any] | str:
    """The quantized and the compiled network, or the kind of refusal of those that large networks may meet."""
    try:
        quantized = galton.quantize(case.module, case.inputs, **case.options)
        assert isinstance(quantized, QuantizedModule)
        return quantized, galton.compile(quantized, target=case.target)
    except (FitError, AccumulatorOverflow) as error:
        return type(error).__name__


def compiled_cases(seeds, seen):
    """(seed, case, quantized, compiled) of the seeds that fit; `seen` counts the refusals of the others."""
    for seed in seeds:
        case = drawn(seed)
        found = compiled_case(case)
        if isinstance(found, str):
            seen[found] += 1
        else:
            yield seed, case, *found


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 48), marks=pytest.mark.cosim)], ids=["few", "many"])
def test_all_models_agree_on_random_networks(seeds):
    seen: Counter[str] = Counter()
    for seed, case, quantized, compiled in compiled_cases(seeds, seen):
        few = case.inputs[:3]
        raw = quantized.network.raw_input(calibration.to_pixels(few))
        integers = reference.run(quantized.network, raw)
        assert np.array_equal(integers, golden.run(compiled.image, raw)), seed
        if sum(layer.dense_operations for layer in quantized.network.layers) < 50_000:
            assert np.array_equal(integers[:1], oracle.run(quantized.network, raw[:1])), seed
            seen["oracle"] += 1
        outputs = quantized(few)
        assert outputs.shape == case.module(few).shape, seed
        real = torch.from_numpy(integers * quantized.network.output_scale)
        real = real.reshape(-1, *quantized.output_map).permute(0, 3, 1, 2).reshape(-1, *quantized.output_shape).float()
        assert torch.equal(outputs, quantized.head(real) if quantized.head else real), seed
        seen["agreed"] += 1
        seen[f"dynamic {case.options['dynamic']}"] += 1
        seen["wide"] += int(max(np.abs(layer.weights).max() for layer in compiled.network.layers) > 7)
    assert seen["agreed"] > 0.6 * len(seeds), seen
    assert min(seen["oracle"], seen["dynamic True"], seen["wide"]) > 0.05 * len(seeds), seen


@pytest.mark.cosim
@pytest.mark.parametrize("start", [1000, 2000, 3000])
def test_the_verilog_of_random_networks(start):
    """Outputs are the golden model's, and every counter of every layer is the cycle model's; with and without pauses."""
    seen: Counter[str] = Counter()
    for seed, case, quantized, compiled in compiled_cases(range(start, start + 25), seen):
        raw = quantized.network.raw_input(calibration.to_pixels(case.inputs[:2]))
        predicted = cycles.predict(compiled.image, raw)
        if sum(profile["cycles"] for profile in predicted[0]) > 60_000:
            seen["long"] += 1
            continue
        simulation = simulate.check(compiled.image, raw, config=config.named(case.target), seed=None if seed % 2 else seed)
        assert np.array_equal(simulation.outputs, reference.run(quantized.network, raw)), seed
        seen["agreed"] += 1
    assert seen["agreed"] > 15, seen
