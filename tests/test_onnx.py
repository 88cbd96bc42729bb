"""ONNX files: the same integers as from the torch module, whichever exporter wrote them, and messages for the rest."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tiers import spread
from torch import nn

import galton
from galton import importer, storage
from galton.cli.main import run
from galton.errors import GaltonError, MissingTool, UnsupportedLayer


def randomized(module):
    """Batch-norm statistics that are not those of a fresh layer, negative gains among them."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return module.eval()


def export(module, example, path, exporter, open_batch=True):
    """Write the file as one of torch's exporters does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "script":
            axes = {"x": {0: "n"}} if open_batch else None
            options = {"dynamo": False, "input_names": ["x"], "dynamic_axes": axes}
        else:
            shapes = ({0: torch.export.Dim("n")},) if open_batch else None
            options = {"dynamo": True, "dynamic_shapes": shapes, "optimize": exporter == "dynamo", "verbose": False}
        torch.onnx.export(module, (example,), str(path), **options)
    return path


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=(1, 0)),
        nn.ReLU6(),
        nn.ZeroPad2d((1, 0, 2, 0)),
        nn.Conv2d(6, 5, 3, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 8),
        nn.Hardtanh(-1, 1),
        nn.Linear(8, 3, bias=False),
        nn.Softmax(1),
    )


def normalized():
    return nn.Sequential(
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


NETWORKS = {"convolutional": convolutional, "normalized": normalized}


def same(left, right):
    """Whether two integer networks agree in all but names and options."""
    fields = [[asdict(replace(layer, name="")) for layer in network.layers] for network in (left, right)]
    return all(
        np.array_equal(one[name], other[name]) if isinstance(one[name], np.ndarray) else one[name] == other[name]
        for one, other in zip(*fields, strict=True)
        for name in one
    )


WRITTEN = [("dynamo", True), ("dynamo", False), ("dynamo as it stands", False), ("script", True), ("script", False)]


@pytest.mark.parametrize(("name", "written_by"), spread(2, NETWORKS, WRITTEN))
def test_the_integers_are_those_of_the_torch_module(tmp_path, name, written_by):
    exporter, open_batch = written_by
    torch.manual_seed(1)
    module = randomized(NETWORKS[name]())
    inputs = torch.rand(40, 2, 22, 24)
    loaded = galton.load_onnx(export(module, inputs[:2], tmp_path / "model.onnx", exporter, open_batch))
    with torch.no_grad():
        assert torch.allclose(loaded(inputs), module(inputs), atol=1e-5)
    if name == "normalized" and exporter == "dynamo":
        return  # batch-norm is folded by this exporter, in float32: weights move by a rounding
    networks = [galton.quantize(part, inputs, method="mcq").network for part in (module, loaded)]
    assert same(*networks)
    images = [galton.compile(network, "up5k").image for network in networks]
    assert np.array_equal(images[0].program, images[1].program)
    assert all(np.array_equal(one, other) for one, other in zip(images[0].chunks, images[1].chunks, strict=True))


def test_layers_have_the_names_of_their_weights(tmp_path):
    module = randomized(convolutional())
    loaded = galton.load_onnx(export(module, torch.rand(2, 2, 22, 24), tmp_path / "model.onnx", "dynamo"))
    names = [name for name, layer in loaded.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert names == ["0", "3", "8", "10"]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.up, self.fc = nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Linear(5, 2)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.stem(x), 0.1)
        x = x + torch.tanh(self.deep(x)) * torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1)
        x = self.up(torch.sigmoid(x))
        x = torch.cat([x, x[:, :, None].squeeze(2) - 1, -1 * x], 1).mean((2, 3), keepdim=False)
        return self.fc(nn.functional.elu(x.reshape(-1, 9)) @ torch.ones(9, 5) / 3)


@pytest.mark.parametrize("exporter", ["dynamo", "script"])
def test_graphs_that_the_accelerator_does_not_run(tmp_path, exporter):
    torch.manual_seed(2)
    module, inputs = Residual().eval(), torch.rand(24, 2, 6, 8)
    loaded = galton.load_onnx(export(module, inputs[:2], tmp_path / "model.onnx", exporter))
    with torch.no_grad():
        assert torch.allclose(loaded(inputs), module(inputs), atol=1e-5)
    quantized = galton.quantize(loaded, inputs, method="mcq", engine="graph")
    assert {"stem", "deep", "up", "fc"} <= set(quantized.integers)


def written(path, nodes, shape, weights, opset=17, output_shape=("n", None)):
    """A file of these nodes, from x to y."""
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)]
    graph = helper.make_graph(nodes, "made", inputs, outputs, values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], name=f"the {kind} {output}", **attributes)


def channels_last(path, flat=True):
    """As converters from channels-last frameworks write it: transposes around every layer, a matrix for flattened maps."""
    rng = np.random.default_rng(4)
    weights = {
        "w": rng.normal(size=(5, 2, 3, 3)).astype(np.float32),
        "b": rng.normal(size=5).astype(np.float32),
        "scale": rng.normal(size=5).astype(np.float32),
        "shape": np.array([-1, 5 * 3 * 4 if flat else 5]),
        "m": rng.normal(size=(60 if flat else 5, 3)).astype(np.float32),
        "bias": rng.normal(size=3).astype(np.float32),
    }
    first, last = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        node("Transpose", "x", "x1", perm=first),
        node("Conv", "x1 w b", "c1", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", "c1", "c2", perm=last),
        node("Mul", "c2 scale", "c3"),
        node("Relu", "c3", "c4"),
        *([] if flat else [node("ReduceMean", "c4", "c5", axes=[1, 2], keepdims=1)]),
        node("Reshape", "c4 shape" if flat else "c5 shape", "f"),
        node("MatMul", "f m", "g"),
        node("Add", "g bias", "y"),
    ]
    return written(path, nodes, ("n", 6, 8, 2), weights)


@pytest.mark.parametrize("flat", [True, False])
def test_transposes_of_channels_last_exporters(tmp_path, flat):
    path = channels_last(tmp_path / "model.onnx", flat)
    loaded = galton.load_onnx(path)
    inputs = torch.rand(30, 2, 6, 8)
    expected = ReferenceEvaluator(str(path)).run(None, {"x": inputs.permute(0, 2, 3, 1).numpy()})[0]
    with torch.no_grad():
        assert np.allclose(loaded(inputs).numpy(), expected, atol=1e-4)
    kinds = [type(layer).__name__ for layer in importer.load(loaded, inputs).layers]
    middle = ["Flatten"] if flat else ["AveragePool", "Flatten"]
    assert [kind for kind in kinds if kind != "Pad"] == ["Convolution", "Affine", "Clamp", *middle, "Linear"]
    assert np.abs(galton.quantize(loaded, inputs, method="mcq")(inputs).numpy() - expected).mean() < 0.2 * np.abs(expected).mean()


OLD = {
    "clip with attributes": ([node("Clip", "x", "y", min=0.0, max=6.0)], 10, ("n", 3)),
    "pad with attributes": ([node("Pad", "x", "y", pads=[0, 0, 1, 0, 0, 0, 0, 2])], 10, ("n", 2, 3, 3)),
    "squeeze with attributes": ([node("Squeeze", "x", "y", axes=[2, 3])], 10, ("n", 4, 1, 1)),
    "largest pools": ([node("GlobalMaxPool", "x", "y")], 17, ("n", 2, 3, 3)),
    "average without its padding": (
        [node("AveragePool", "x", "y", kernel_shape=[2, 2], pads=[1, 1, 1, 1])],
        17,
        ("n", 2, 4, 4),
    ),
    "average with uneven padding": (
        [node("AveragePool", "x", "y", kernel_shape=[2, 2], pads=[1, 0, 0, 0], count_include_pad=1)],
        17,
        ("n", 2, 4, 4),
    ),
    "activations": (
        [node("PRelu", "x slope", "t"), node("Elu", "t", "u", alpha=0.5), node("HardSwish", "u", "y")],
        17,
        ("n", 3),
    ),
    "flatten, then a sum": ([node("Flatten", "x", "t"), node("Sum", "t t t", "y")], 17, ("n", 2, 3, 3)),
    "gemm": ([node("Gemm", "x m one", "y", alpha=0.5, beta=2.0)], 17, ("n", 3)),
    "vectors": ([node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "t v", "y")], 17, ("n", 3, 4)),
}


@pytest.mark.parametrize("case", OLD)
def test_operators_against_the_reference(tmp_path, case):
    nodes, opset, shape = OLD[case]
    rng = np.random.default_rng(6)
    weights = {
        "slope": np.full(3, 0.3, np.float32),
        "m": rng.normal(size=(3, 2)).astype(np.float32),
        "one": np.ones(1, np.float32),
        "v": rng.normal(size=(3, 2)).astype(np.float32),
    }
    used = {name: value for name, value in weights.items() if any(name in part.input for part in nodes)}
    sizes = {"squeeze with attributes": 2, "activations": 2, "flatten, then a sum": 2, "gemm": 2, "clip with attributes": 2}
    rank = sizes.get(case, len(shape))
    path = written(tmp_path / "model.onnx", nodes, shape, used, opset, ("n", *[None] * (rank - 1)))
    inputs = rng.normal(size=(5, *shape[1:])).astype(np.float32) * 4
    with torch.no_grad():
        found = galton.load_onnx(path)(torch.from_numpy(inputs)).numpy()
    expected = ReferenceEvaluator(str(path)).run(None, {"x": inputs})[0]
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-5)


def test_the_command_line_takes_files(tmp_path, capsys):
    path = channels_last(tmp_path / "model.onnx")
    np.save(tmp_path / "calibration.npy", np.random.default_rng(1).random((40, 2, 6, 8), np.float32))
    arguments = [
        "quantize",
        str(path),
        str(tmp_path / "calibration.npy"),
        "--method",
        "mcq",
        "-o",
        str(tmp_path / "made.galtonq"),
    ]
    assert run(arguments) == 0
    network, _ = storage.load(tmp_path / "made.galtonq")
    assert len(network.layers) == 2
    capsys.readouterr()
    assert run([*arguments, "--weights", str(tmp_path / "calibration.npy")]) != 0
    assert "holds its own weights" in capsys.readouterr().err
    assert run(["quantize", "none.onnx", str(tmp_path / "calibration.npy")]) != 0
    assert "There is no file none.onnx" in capsys.readouterr().err


def test_every_unknown_operator_is_named(tmp_path):
    nodes = [node("Det", "x", "t"), node("Relu", "t", "u"), node("Erf", "u", "y")]
    path = written(tmp_path / "model.onnx", nodes, ("n", 3, 3), {})
    with pytest.raises(UnsupportedLayer, match=r"the Det t: Det\n  the Erf y: Erf\nKnown are Conv, "):
        galton.load_onnx(path)


CONSTANTS = {"w": np.ones((2, 2), np.float32), "all": np.array([6], np.int64), "cube": np.ones((1, 3, 2), np.float32)}
REFUSED = {
    "the batch is flattened": (node("Reshape", "x all", "y"), "touches the batch"),
    "a weight that is computed": (node("Gemm", "x x", "y"), "input x must be a constant"),
    "a constant input": (node("Relu", "w", "y"), "output y does not depend on the input"),
    "transA": (node("Gemm", "x w", "y", transA=1), "transA"),
    "many matrices": (node("MatMul", "x cube", "y"), "a weight of 3 dimensions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_known_operator_cannot_do(tmp_path, case):
    made, message = REFUSED[case]
    used = {name: value for name, value in CONSTANTS.items() if name in made.input}
    path = written(tmp_path / "model.onnx", [made], (2, 3), used, output_shape=("n",))
    with pytest.raises(UnsupportedLayer, match=message):
        galton.load_onnx(path)


def test_inputs_that_are_not_one_of_known_size(tmp_path):
    path = written(tmp_path / "model.onnx", [node("Relu", "x", "y")], ("n", 2, "rows", 4), {}, output_shape=("n",))
    with pytest.raises(UnsupportedLayer, match=r"input x of shape \(n, 2, rows, 4\) leaves sizes open: .*input_shape="):
        galton.load_onnx(path)
    assert galton.load_onnx(path, (2, 3, 4))(torch.ones(1, 2, 3, 4)).shape == (1, 2, 3, 4)
    with pytest.raises(UnsupportedLayer, match=r"does not agree with input_shape=\(1, 3, 4\)"):
        galton.load_onnx(path, (1, 3, 4))
    with pytest.raises(UnsupportedLayer, match="must have a batch"):
        galton.load_onnx(written(path, [node("Relu", "x", "y")], (4,), {}, output_shape=("n",)))
    model = onnx.load(written(path, [node("Relu", "x", "y")], (1, 4), {}, output_shape=("n",)))
    second = copy.deepcopy(model.graph.input[0])
    second.name = "z"
    model.graph.input.append(second)
    onnx.save(model, path)
    with pytest.raises(UnsupportedLayer, match=r"one input, not 2 \(x, z\)"):
        galton.load_onnx(path)


def test_files_that_are_no_onnx(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(GaltonError, match="cannot be read as an ONNX file"):
        galton.load_onnx(path)
    with pytest.raises(FileNotFoundError):
        galton.load_onnx(tmp_path / "none.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "galton.onnx_files.walk", raising=False)
    with pytest.raises(MissingTool, match=r"pip install 'galton\[onnx\]'"):
        galton.load_onnx(path)
