"""How long quantizers, compiler and golden model take, and how much memory."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import torch

from galton import golden
from galton.bench import scoring, subjects
from galton.cli.benchmarks import Row
from galton.compiler import compile as compile_network
from galton.config import CONFIGS
from galton.errors import FitError, UnsupportedLayer
from galton.graphs.sites import kernels
from galton.network import Network
from galton.quantization import quantize
from galton.quantizers import Options, named

SECONDS = {"resnet20": 10.0, "vggsmall": 60.0}
"""Of the default method, with its default number of samples."""
LITE, LITE_SECONDS = "efficientnet", 1.0
"""Plain Monte Carlo of the weights of EfficientNet-Lite0."""
SIZES = (1 << 20, 1 << 22, 1 << 24)
"""Weights on which memory is measured."""
SPREAD = 1.1
"""Most over least bytes for each weight that still count as linear."""
THREADS = 2
COMPILED = ("kws", "resnet8_training", "vww", "toycar", "resnet20", "vggsmall", "lenet300100", "lenet5")
COMPILE_SECONDS = 20.0
GOLDEN, GOLDEN_INPUTS, GOLDEN_SECONDS = "kws", 1000, 10.0
CALIBRATION = 16
"""Inputs that are enough where only times are measured."""


def missing(name: str, network: str, data: Path) -> Row | None:
    """A row that says why there is no measurement; None where there can be one."""
    if network in subjects.available(data):
        return None
    return Row(name, {}, skipped=f"there is no network {network!r} in the data folder {data}")


def default(network: str, data: Path) -> Row:
    """Seconds of the default method, calibrated with the samples that it takes unless told."""
    name = f"quantize, galton, {network}"
    if (absent := missing(name, network, data)) is not None:
        return absent
    subject = subjects.load(network, data)
    with scoring.threads_of_torch(THREADS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scoring.warm("galton")
        start, used = time.perf_counter(), time.process_time()
        quantize(subject.network, subject.calibration, method="galton", engine="auto")
        seconds, used = time.perf_counter() - start, time.process_time() - used
    weights = sum(layer.numel() for layer in subject.network.parameters())
    return Row(
        name,
        {"parameters": weights, "seconds": round(seconds, 2), "processor seconds": round(used, 2)},
        late(seconds, SECONDS[network]),
    )


def plain(data: Path) -> Row:
    """Seconds of plain Monte Carlo on all weights of EfficientNet-Lite0, layer by layer."""
    name = f"quantize, plain mcq, weights of {LITE}"
    if (absent := missing(name, LITE, data)) is not None:
        return absent
    network = subjects.network(LITE, data)
    layers = [kernels(part) for part in network.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
    start = time.perf_counter()
    for weights in layers:
        named("mcq")(weights, Options(1.0))
    seconds = time.perf_counter() - start
    count = sum(weights.size for weights in layers)
    return Row(name, {"weights": count, "seconds": round(seconds, 2)}, late(seconds, LITE_SECONDS))


def compiling(network: str, data: Path) -> Row:
    """Seconds of compiling a network for every named configuration, the tries that FitError tells of among them."""
    name = f"compile, {network}"
    if (absent := missing(name, network, data)) is not None:
        return absent
    integers, numbers = quantized(network, data), {}
    for config in CONFIGS.values():
        start = time.process_time()
        try:
            compile_network(integers, config)
            outcome = ""
        except FitError:
            outcome = ", does not fit"
        numbers[f"processor seconds, {config.name}{outcome}"] = round(time.process_time() - start, 2)
    return Row(name, numbers, late(max(numbers.values()), COMPILE_SECONDS))


def golden_model(data: Path) -> Row:
    """Seconds of the golden model for a thousand inputs, without the time that compiling its loops takes once."""
    name = f"golden model, {GOLDEN}"
    if (absent := missing(name, GOLDEN, data)) is not None:
        return absent
    integers = quantized(GOLDEN, data)
    image = compile_network(integers, "up5k").image
    limits = integers.input_low, integers.input_high + 1
    raw = np.random.default_rng(0).integers(*limits, (GOLDEN_INPUTS, *integers.input_shape))
    golden.run(image, raw[:1])
    start, used = time.perf_counter(), time.process_time()
    golden.run(image, raw)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    numbers = {"inputs": GOLDEN_INPUTS, "seconds": round(seconds, 2), "processor seconds": round(used, 2)}
    return Row(name, numbers, late(seconds, GOLDEN_SECONDS))


def quantized(network: str, data: Path) -> Network:
    """A network of the data folder as integers, by the quickest method."""
    subject = subjects.load(network, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = quantize(subject.network, subject.calibration[:CALIBRATION], method="nearest")
    if module.network is None:
        raise UnsupportedLayer(f"{network} has layers that the accelerator cannot run")
    return module.network


def memory() -> Row:
    """Bytes for each weight, input and result left out, at the most, of plain Monte Carlo at growing sizes."""
    found = {}
    scoring.warm("mcq")
    for size in SIZES:
        weights = np.random.default_rng(0).standard_normal((64, size // 64, 1, 1))
        tracemalloc.start()
        named("mcq")(weights, Options(1.0))
        found[f"bytes a weight at {size:,}"] = round(tracemalloc.get_traced_memory()[1] / size, 2)
        tracemalloc.stop()
    ratio = max(found.values()) / min(found.values())
    return Row("quantize, plain mcq, memory", found, [f"not linear: {ratio:.2f} between sizes"] if ratio > SPREAD else [])


def late(seconds: float, limit: float) -> list[str]:
    """What is said of a time beyond its limit."""
    return [f"{seconds:.2f} s is more than {limit:g}"] if seconds > limit else []
