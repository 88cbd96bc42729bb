"""From a file to a torch module: what is checked before any operator is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import fx

from galton.errors import GaltonError, MissingTool, UnsupportedLayer

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

BATCH = 2
"""Examples in a batch whose size the file leaves open."""


def load(path: Path | str, input_shape: tuple[int, ...] | None = None) -> fx.GraphModule:
    """The network in the ONNX file `path`, in eval mode, with layers named after their weights.

    It takes any batch, also where the file states the number of examples, and maps as (n, channels, rows, columns): a transpose
    from (n, rows, columns, channels) at its input is left out.
    input_shape: of one example, where the file leaves sizes open.

    Raises GaltonError for a file that is not ONNX, UnsupportedLayer for operators without a float counterpart in torch here,
    all of them by name, for several inputs, and for open sizes; MissingTool without the onnx package.
    """
    try:
        import onnx.inliner

        from galton.onnx_files.walk import Walk
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "onnx":
            raise
        raise MissingTool("ONNX files need the onnx package: pip install 'galton[onnx]'") from error
    Path(path).open("rb").close()
    try:
        onnx.checker.check_model(str(path))
        model = onnx.inliner.inline_local_functions(onnx.load(str(path)))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GaltonError(f"{path} cannot be read as an ONNX file: {reason}") from error
    taken = only_input(model, path)
    return Walk(model, taken.name, shape(taken, input_shape, path), str(path)).result()


def only_input(model: ModelProto, path: Path | str) -> ValueInfoProto:
    """The input that is not a weight; raises UnsupportedLayer where there are several."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise UnsupportedLayer(f"{path} must have one input, not {len(inputs)} ({names}): export the part behind them")
    found: ValueInfoProto = inputs[0]
    return found


def shape(value: Any, example: tuple[int, ...] | None, path: Path | str) -> tuple[int, ...]:
    """The shape of a batch that the network is read with."""
    kind = value.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    stated = ", ".join(str(size or dim.dim_param or "?") for size, dim in zip(sizes, kind.shape.dim, strict=True))
    where = f"{path}: input {value.name} of shape ({stated})"
    if not kind.HasField("shape") or len(sizes) < 2:
        raise UnsupportedLayer(f"{where} must have a batch and at least one more dimension")
    if example is None and None in sizes[1:]:
        raise UnsupportedLayer(
            f"{where} leaves sizes open: export it with fixed ones, or galton.load_onnx(path, input_shape=...) without the batch"
        )
    found = example or tuple(size or 0 for size in sizes[1:])
    fitting = len(found) == len(sizes) - 1 and all(size in (None, own) for size, own in zip(sizes[1:], found, strict=True))
    if not fitting or min(found) < 1:
        raise UnsupportedLayer(f"{where} does not agree with input_shape={found}")
    return (sizes[0] or BATCH, *found)
