"""compile: what it takes, what it returns, and what a compiled network can do."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network, residual_network
from rich.console import Console

from galton import reference
from galton.compiler import CompiledNetwork, compile
from galton.config import CONFIGS
from galton.errors import CalibrationError
from galton.format import PROFILE
from galton.image import Image
from galton.network import Layer, Network
from galton.summary import memories


@dataclass
class Carrier:
    """Something that has a network."""

    network: Network


def compiled(seed: int = 1) -> CompiledNetwork:
    return compile(random_network(seed, EVERY["up5k"]), "up5k")


@pytest.mark.parametrize("target", ["icebreaker", "up5k", CONFIGS["up5k"]])
def test_what_it_takes(target: object) -> None:
    network = random_network(1, EVERY["up5k"])
    expected = compiled().image.to_bytes()
    assert compile(network, target).image.to_bytes() == expected
    assert compile(Carrier(network), target).image.to_bytes() == expected


def test_what_it_does_not_take() -> None:
    with pytest.raises(TypeError, match=r"not Console: call galton.quantize first"):
        compile(Console(), "up5k")
    with pytest.raises(ValueError, match=r"no configuration 'nowhere'; the known ones are tiny, hx8k, up5k"):
        compile(random_network(1, EVERY["up5k"]), "nowhere")


def test_the_file_is_the_image(tmp_path: Path) -> None:
    network = compiled()
    network.save(tmp_path / "n.galton")
    assert Image.load(tmp_path / "n.galton").to_bytes() == network.image.to_bytes()


def test_room_for_counters_is_optional() -> None:
    network = random_network(1, EVERY["up5k"])
    with_profile, without = (compile(network, "up5k", profile=profile) for profile in (True, False))
    used = [next(memory.used for memory in item.memory if memory.name == "data") for item in (with_profile, without)]
    assert used[0] - used[1] == PROFILE.words * len(network.layers)


@pytest.mark.parametrize("profile", [True, False])
def test_an_image_tells_how_much_of_each_memory_it_needs(profile: bool) -> None:
    config = EVERY["two-sparse"]
    for seed in range(30):
        network = random_network(seed, config) if seed % 2 else residual_network(seed, config)
        found = compile(network, config, profile=profile)
        rows = {row["name"]: row for row in memories(found.image)}
        assert rows["data"]["used"] == 4 * next(memory.used for memory in found.memory if memory.name == "data")
        assert rows["data"]["available"] == config.data_bytes
        assert sum(rows[f"weights of group {group}"]["used"] for group in range(2)) > 0


def test_the_summary_names_every_memory_and_layer() -> None:
    network = compiled()
    console = Console(width=200, record=True, file=StringIO())
    console.print(network)
    for text in (str(network), console.export_text()):
        for name in ("weights", "data", "accumulators", "rows", "channels", *(layer.name for layer in network.network.layers)):
            assert name in text


def test_meta_tells_a_host_what_it_needs() -> None:
    network = random_network(1, EVERY["up5k"])
    meta = compile(network, "up5k").image.meta
    assert meta["input"] == {
        "shape": list(network.input_shape),
        "scale": network.input_scale,
        "low": network.input_low,
        "high": 255,
    } | {"high": network.input_high}
    assert meta["output"]["shape"] == list(network.layers[-1].output_shape)
    assert [layer["name"] for layer in meta["layers"]] == [layer.name for layer in network.layers]
    assert all(
        set(layer["certificate"]) == {"bound", "width", "margin", "count", "total", "total_margin"} for layer in meta["layers"]
    )


@pytest.mark.parametrize("seed", range(8))
def test_real_inputs_give_real_outputs(seed: int) -> None:
    network = random_network(seed, EVERY["up5k"])
    raw = random_inputs(seed, network, 3)
    outputs = compile(network, "up5k").run(raw * network.input_scale)
    expected = reference.run(network, raw) * network.output_scale
    assert outputs.dtype == np.float64
    assert (outputs.reshape(expected.shape) == expected).all()
    assert outputs.ndim == (2 if expected.shape[1:3] == (1, 1) else 4)


def test_torch_tensors_have_channels_first() -> None:
    torch = pytest.importorskip("torch")
    vector = np.ones(2, np.int64)
    weights = np.arange(12).reshape(2, 1, 2, 3) - 5
    layer = Layer("conv", (4, 5, 3), weights, vector << 5, vector, 12, -128, 127, scale=0.5)
    network = Network("n", (4, 5, 3), (layer,), input_scale=0.25)
    raw = np.random.default_rng(0).integers(0, 256, size=(2, 4, 5, 3))
    outputs = compile(network, "tiny").run(torch.tensor(raw * 0.25).permute(0, 3, 1, 2))
    assert outputs.shape == (2, 2, 4, 4)
    assert (outputs.permute(0, 2, 3, 1).numpy() == reference.run(network, raw) * 0.5).all()


def test_one_pixel_may_be_left_out() -> None:
    vector = np.ones(2, np.int64)
    layer = Layer("fc", (1, 1, 6), np.arange(12).reshape(2, 1, 1, 6) - 5, vector << 5, vector, 12, -128, 127)
    network = compile(Network("n", (1, 1, 6), (layer,)), "tiny")
    values = np.arange(12.0).reshape(2, 6)
    assert network.run(values).shape == (2, 2)
    assert (network.run(values) == network.run(values.reshape(2, 1, 1, 6))).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite(value: float) -> None:
    network = compiled()
    values = np.zeros((2, *network.network.input_shape))
    values[1, 0, 0, 0] = value
    with pytest.raises(CalibrationError, match=rf"Input 1 has {value} at \(0, 0, 0\), not a finite number"):
        network.run(values)


def test_inputs_of_the_wrong_shape() -> None:
    network = compiled()
    with pytest.raises(CalibrationError, match="takes inputs of shape"):
        network.run(np.zeros((2, 99, 1, 1)))
