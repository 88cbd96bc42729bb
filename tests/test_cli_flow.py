"""The command line from a torch model to simulated Verilog, and what it says of models that cannot go that way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import call
from safetensors.torch import save_file
from torch import nn

from galton import compile as compile_network
from galton import quantize, storage
from galton.cli import main as program
from galton.config import Config, named
from galton.demo import digits, training
from galton.demo.model import make_model
from galton.errors import AcceleratorWarning
from galton_hw import verilog

SOURCE = """
from torch import nn

def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )

def unsupported():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Sigmoid(), nn.Flatten(), nn.Linear(256, 3), nn.Tanh())
"""


def user_model() -> nn.Module:
    """The user's model with the weights of weights.safetensors."""
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    torch.manual_seed(4)
    model: nn.Module = names["make_model"]()
    return model.eval()


def quantized_by_the_api(folder: Path) -> Any:
    """The user's model quantized as the fixture `network` has it."""
    return quantize(user_model(), torch.from_numpy(np.load(folder / "calibration.npy")), method="mcq", k_weights=3.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's model.py, weights.safetensors, calibration.npy and inputs.npy."""
    path = tmp_path_factory.mktemp("user")
    (path / "model.py").write_text(SOURCE)
    save_file(user_model().state_dict(), path / "weights.safetensors")
    generator = np.random.default_rng(0)
    np.save(path / "calibration.npy", generator.random((40, 1, 8, 8), np.float32))
    np.save(path / "inputs.npy", generator.random((6, 1, 8, 8), np.float32))
    return path


@pytest.fixture(scope="module")
def network(folder: Path) -> Path:
    """What `galton quantize` writes for the user's model."""
    arguments = [f"{folder}/model.py:make_model", f"{folder}/calibration.npy", "--weights", f"{folder}/weights.safetensors"]
    assert program.run(["quantize", *arguments, "--method", "mcq", "--k-weights", "3", "-o", f"{folder}/model.galtonq"]) == 0
    return folder / "model.galtonq"


def test_quantize_writes_what_the_api_gives(folder, network) -> None:
    expected = quantized_by_the_api(folder)
    stored, report = storage.load(network)
    assert report == json.loads(json.dumps(expected.report()))
    for layer, other in zip(stored.layers, expected.network.layers, strict=True):
        assert np.array_equal(layer.weights, other.weights)
        assert (layer.activation, layer.shift, layer.scale) == (other.activation, other.shift, other.scale)


def test_quantized_outputs_are_those_of_the_torch_module(capsys, folder, network) -> None:
    quantized = quantized_by_the_api(folder)
    assert call(capsys, "compile", network, "--target", "tiny", "-o", folder / "model.galton")[0] == 0
    code, _, _ = call(capsys, "run", folder / "model.galton", folder / "inputs.npy", "-o", folder / "scores.npy")
    assert code == 0
    expected = quantized(torch.from_numpy(np.load(folder / "inputs.npy"))).numpy()
    assert np.array_equal(np.load(folder / "scores.npy"), expected)


def test_quantize_reports_as_a_table(capsys, folder) -> None:
    code, out, _ = call(
        capsys,
        "quantize",
        f"{folder}/model.py:make_model",
        folder / "calibration.npy",
        "--method",
        "mcq",
        "-o",
        folder / "x.galtonq",
    )
    assert code == 0
    assert "non-zero" in out
    assert all(f"\n{name} " in out for name in ("0", "5", "all,"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 1, 8, 8)), "no calibration data"),
        (np.full((4, 1, 8, 8), np.nan), "nan"),
        (np.zeros((4, 3, 8, 8)), "3"),
        (np.zeros((4, 8)), "8"),
    ],
)
def test_bad_calibration_is_misuse(capsys, folder, tmp_path, array, words) -> None:
    np.save(tmp_path / "calibration.npy", array)
    code, out, error = call(capsys, "quantize", f"{folder}/model.py:make_model", tmp_path / "calibration.npy", "--json")
    assert code == 2
    assert json.loads(out)["error"] == "CalibrationError"
    assert words in error
    assert "Traceback" not in error


def test_every_unsupported_layer_is_named(capsys, folder) -> None:
    code, out, error = call(capsys, "quantize", f"{folder}/model.py:unsupported", folder / "calibration.npy", "--json")
    assert code == 1
    assert json.loads(out)["error"] == "UnsupportedLayer"
    assert "1" in error
    assert "4" in error
    assert "igmoid" in error
    assert "anh" in error


def test_any_network_by_the_graph_engine(capsys, folder, tmp_path) -> None:
    arguments = ["quantize", f"{folder}/model.py:unsupported", folder / "calibration.npy", "-o", tmp_path / "x.safetensors"]
    code, out, _ = call(capsys, *arguments, "--engine", "graph", "--method", "nearest", "--json")
    assert code == 0
    assert json.loads(out)["file"].endswith("x.safetensors")
    code, out, error = call(capsys, "compile", tmp_path / "x.safetensors", "--json")
    assert code == 1
    assert "Traceback" not in error
    with pytest.warns(AcceleratorWarning, match="igmoid"):
        code, out, _ = call(capsys, *arguments, "--engine", "auto", "--method", "mcq", "--json")
    assert code == 0


@pytest.mark.parametrize("option", [["--k-weights", "0"], ["--k-activations", "-1"], ["--method", "magic"], ["--xi", "1"]])
def test_options_out_of_range(capsys, folder, option) -> None:
    code, _, error = call(capsys, "quantize", f"{folder}/model.py:make_model", folder / "calibration.npy", *option)
    assert code in (1, 2)
    assert "Traceback" not in error
    assert option[0].strip("-").replace("-", "_") in error.replace("-", "_")


def test_verilog_is_the_generator_s(capsys, tmp_path, monkeypatch) -> None:
    def generate(config: Config, tech: str, bus: str) -> tuple[str, dict[str, Any]]:
        return f"// {config.name}, {tech}\n", {"module": bus}

    monkeypatch.setattr(verilog, "generate", generate)
    arguments = ["--config", "icebreaker", "--bus", "axi", "--tech", "ice40", "-o", tmp_path / "core.v", "--json"]
    code, output, _ = call(capsys, "verilog", *arguments)
    assert code == 0
    assert json.loads(output) | {"module": "axi", "digest": f"{named('up5k').digest:08x}", "lines": 1} == json.loads(output)
    assert (tmp_path / "core.v").read_text() == "// up5k, ice40\n"
    assert json.loads((tmp_path / "core.json").read_text()) == {"module": "axi"}


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    """The demonstration's images."""
    return digits.load()


def test_the_digits_are_split_once_and_for_all(data) -> None:
    assert data.train.shape == (4000, 1, 28, 28)
    assert data.test.shape == (1000, 1, 28, 28)
    assert np.bincount(data.test_labels).tolist() == [100] * 10
    assert (data.train.min(), data.train.max()) == (0.0, 1.0)
    seen = {image.tobytes() for image in data.train}
    assert sum(image.tobytes() in seen for image in data.test) <= 1
    assert data.test_labels[:12].tolist() == [2, 9, 8, 8, 3, 8, 7, 8, 9, 0, 5, 9]


def test_the_trained_network_is_cached(data, tmp_path) -> None:
    path = tmp_path / "cache" / "network.safetensors"
    path.parent.mkdir()
    torch.manual_seed(1)
    save_file(make_model().state_dict(), path)
    epochs: list[int] = []
    network = training.trained(data, epochs.append, path)
    torch.manual_seed(1)
    for name, value in make_model().state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert epochs == [training.EPOCHS]
    assert not network.training


@pytest.mark.cosim
def test_simulate_agrees_and_reports_counters(capsys, folder, network) -> None:
    assert call(capsys, "compile", network, "--target", "tiny", "-o", folder / "tiny.galton")[0] == 0
    labels = np.zeros(6, np.int64)
    np.save(folder / "labels.npy", labels)
    arguments = [folder / "tiny.galton", folder / "inputs.npy", "--labels", folder / "labels.npy", "-o", folder / "out.npy"]
    code, out, _ = call(capsys, "simulate", *arguments, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["mismatches"], facts["mispredictions"], facts["inputs"]) == (0, 0, 6)
    assert [layer["name"] for layer in facts["layers"]] == ["0", "5"]
    assert facts["cycles"] > sum(layer["cycles"] for layer in facts["layers"])
    assert call(capsys, "run", *arguments[:2], "-o", folder / "golden.npy")[0] == 0
    assert np.array_equal(np.load(folder / "out.npy"), np.load(folder / "golden.npy"))
    assert facts["right"] == int((np.load(folder / "out.npy").argmax(axis=1) == 0).sum())


@pytest.mark.cosim
def test_simulate_notices_a_difference(capsys, folder, network, monkeypatch) -> None:
    from galton_sim import simulate

    truth = simulate.simulate

    def faulty(*arguments, **options):
        found = truth(*arguments, **options)
        found.outputs[2] += 1
        return found

    monkeypatch.setattr(simulate, "simulate", faulty)
    assert call(capsys, "compile", network, "--target", "tiny", "-o", folder / "tiny.galton")[0] == 0
    code, out, _ = call(capsys, "simulate", folder / "tiny.galton", folder / "inputs.npy", "--json")
    assert code == 1
    assert json.loads(out)["mismatches"] == 1


@pytest.mark.cosim
def test_an_image_without_counters_can_be_simulated(capsys, folder, network) -> None:
    image = folder / "plain.galton"
    assert call(capsys, "compile", network, "--target", "tiny", "--no-profile", "-o", image)[0] == 0
    code, out, _ = call(capsys, "simulate", image, folder / "inputs.npy")
    assert code == 0
    assert "0 mismatches" in out


@pytest.mark.cosim
def test_report_writes_a_page(capsys, folder, network) -> None:
    page = folder / "report.html"
    code, out, _ = call(capsys, "report", network, folder / "inputs.npy", "--target", "tiny", "-o", page)
    assert code == 0
    assert "0 mismatches in 6 inferences" in out
    assert "6 inferences in simulation" in page.read_text()


@pytest.mark.cosim
def test_demo(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "cache_file", lambda: tmp_path / "cache" / "network.safetensors")
    monkeypatch.setattr(training, "EPOCHS", 2)
    monkeypatch.setattr("galton.demo.pipeline.CURVE", (1.0, 2.0))
    code, out, _ = call(capsys, "demo", "--images", 3, "-o", tmp_path / "demo", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["mismatches"], facts["mispredictions"], facts["inferences"]) == (0, 0, 3)
    assert [point["k"] for point in facts["curve"]] == [1.0, 2.0]
    assert abs(facts["comparison"]["difference"]) < 3
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["network.safetensors"]
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    inputs = {"weights.safetensors", "calibration.npy", "images.npy", "labels.npy"}
    assert names == inputs | {"digits.galtonq", "digits.galton", "core.v", "report.html"}
    image = compile_network(storage.load(tmp_path / "demo" / "digits.galtonq")[0], "up5k").image
    assert (tmp_path / "demo" / "digits.galton").read_bytes() == image.to_bytes()
