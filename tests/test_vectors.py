"""Pinned vectors: a change of format or arithmetic that packer and model make alike still shows."""

from __future__ import annotations

import numpy as np
import pytest
from pinned import CASES, FOLDER

from galton import golden, storage
from galton.compiler import compile
from galton.format import FORMAT_VERSION
from galton.image import Image
from galton.network import NONE

DRIFT = "The format has drifted: raise FORMAT_VERSION, note it in CHANGELOG.md, and run python tests/pinned.py"


@pytest.mark.parametrize("name", CASES)
def test_pinned_networks_give_pinned_bytes(name: str) -> None:
    network, _ = storage.load(FOLDER / f"{name}.safetensors")
    pinned = (FOLDER / f"{name}.image").read_bytes()
    assert int.from_bytes(pinned[8:10], "little") == FORMAT_VERSION, DRIFT
    assert compile(network, CASES[name][1]).image.to_bytes() == pinned, DRIFT


@pytest.mark.parametrize("name", CASES)
def test_pinned_bytes_give_pinned_outputs(name: str) -> None:
    inputs, outputs = (np.load(FOLDER / f"{name}.{kind}.npy") for kind in ("inputs", "outputs"))
    assert (golden.run(Image.load(FOLDER / f"{name}.image", CASES[name][1]), inputs) == outputs).all(), DRIFT


def test_the_vectors_use_what_the_machine_has() -> None:
    networks = [storage.load(FOLDER / f"{name}.safetensors")[0] for name in CASES]
    layers = [layer for network in networks for layer in network.layers]
    assert {layer.activation.mode for layer in layers} == {"monte_carlo", "rounding", "bypass"}
    assert any(layer.activation.dynamic for layer in layers)
    assert any(layer.pool != (1, 1) for layer in layers)
    assert any(layer.stride != (1, 1) for layer in layers)
    assert any(layer.signed for layer in layers)
    assert any(network.signed(added) for network in networks for added in network.residuals if added != NONE)
    assert any(network.inputs != tuple(range(len(network.layers))) for network in networks)
    assert any(layer.elementwise and layer.stride != (1, 1) for layer in layers)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 60_000
