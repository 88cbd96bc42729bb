"""What the tests of the command line share: the program called in this process, and small files for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galton import storage
from galton.cli import main as program
from galton.compiler import compile as compile_network
from galton.network import Activation, Layer, Network


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program."""
    code = program.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def network() -> Network:
    """A convolution with max-pool and a linear layer on 6x6 inputs."""
    generator = np.random.default_rng(7)
    weights = generator.integers(-3, 4, (4, 3, 3, 1))
    convolution = Layer(
        "features.0", (6, 6, 1), weights, np.full(4, 300), np.full(4, 900), 16, 0, 255,
        Activation("monte_carlo", step=9000), padding=(1, 1, 1, 1), pool=(2, 2), scale=0.5,
    )  # fmt: skip
    weights = generator.integers(-7, 8, (3, 1, 1, 36))
    linear = Layer("head", (1, 1, 36), weights, np.full(3, 400), np.zeros(3, np.int64), 16, -128, 127, scale=0.25)
    return Network("toy", (6, 6, 1), (convolution, linear), input_scale=1 / 255)


def toy_files(folder: Path) -> dict[str, Path]:
    """A quantized network, its image for tiny, real inputs and labels."""
    paths = {name: folder / name for name in ("toy.galtonq", "toy.galton", "inputs.npy", "labels.npy", "out.npy")}
    storage.save(network(), paths["toy.galtonq"], {"method": "by hand"})
    compile_network(network(), "tiny").save(paths["toy.galton"])
    generator = np.random.default_rng(3)
    np.save(paths["inputs.npy"], generator.random((8, 6, 6, 1), np.float32))
    np.save(paths["labels.npy"], generator.integers(0, 3, 8))
    return paths
