"""Quantized modules in safetensors files, and back: `save`, `load`.

Networks for the accelerator are files of galton.storage. Those of any other graph hold the state dict of their module, in which a
quantized layer `<name>` has `<name>.integers` (outputs, inputs of a group, kernel), `<name>.steps` (outputs,), the real value of
one, `<name>.bias`, and `<name>.counts._extra_state`, nine numbers for its input: its grid (galton.graphs.grid.Counts), no float
weight: that is integers times steps. The metadata entry `galton` holds JSON text in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from galton import graphs, storage
from galton.errors import GaltonError, ImageError
from galton.graphs import sites
from galton.graphs.expansion import EXPANSIONS, expand
from galton.graphs.fit import constant, emulate
from galton.graphs.grid import Counts, Grid
from galton.importer import Head, Imported
from galton.metrics import LayerMeasures
from galton.network import Activation
from galton.quantization import QuantizedModule

INTEGERS = "integers"


def save(quantized: QuantizedModule | graphs.EmulatedModule, path: Path | str) -> None:
    """Write what galton.quantize returned: integers, scales, biases, settings, and the report."""
    if isinstance(quantized, graphs.EmulatedModule):
        save_graph(quantized, path)
        return
    head = quantized.head
    described = {
        "input_shape": quantized.input_shape,
        "output_shape": quantized.output_shape,
        "output_map": quantized.output_map,
        "head": None if head is None else [head.operator, head.arguments, head.keywords],
    }
    storage.save(quantized.network, path, quantized.report(), described)


def load(path: Path | str, module: nn.Module | None = None) -> QuantizedModule | graphs.EmulatedModule:
    """The quantized module in a file of `save` or of `galton quantize`; its outputs are those of the one that was saved.

    module: the float network, trained or not, for graphs that are not the accelerator's: only its code is needed.

    Raises ImageError for a file of another kind or a corrupted one, GaltonError without a module, or with one that does not fit.
    """
    content, arrays = storage.read(path)
    if "graph" in content:
        if module is None:
            raise GaltonError(f"{path} holds a network of any graph: galton.load(path, module) needs the float network's code")
        return load_graph(content, arrays, module, path)
    network, report = storage.load(path)
    described = content.get("module")
    if described is None:
        raise ImageError(f"{path} holds a network without its torch module: galton.storage.load reads it")
    operator = described["head"]
    head = None if operator is None else Head(operator[0], tuple(operator[1]), operator[2])
    shapes = [tuple(described[name]) for name in ("input_shape", "output_shape", "output_map")]
    measures = [LayerMeasures(**layer) for layer in report["layers"]]
    imported = Imported((), shapes[0], shapes[1], head)
    return QuantizedModule(network, imported, (shapes[2][0], shapes[2][1], shapes[2][2]), measures, report["options"])


def save_graph(quantized: graphs.EmulatedModule, path: Path | str) -> None:
    """Write a network of any graph."""
    parts = dict(quantized.module.named_modules(remove_duplicate=False))
    known = tuple(EXPANSIONS.values())
    state = quantized.module.state_dict()
    left_out = {key.removesuffix(INTEGERS) + "weight" for key in state if key.split(".")[-1] == INTEGERS}
    arrays = {key: np.ascontiguousarray(value.cpu().numpy()) for key, value in state.items() if key not in left_out}
    graph = {
        "names": quantized.names,
        "left": quantized.left,
        "reason": quantized.reason,
        "expanded": any(isinstance(part, known) for part in parts.values()),
        "identities": [name for name, part in parts.items() if type(part) is nn.Identity],
    }
    storage.write({"version": storage.VERSION, "graph": graph, "report": dict(quantized.report())}, arrays, path)


def load_graph(content: dict[str, Any], arrays: dict[str, Any], module: nn.Module, path: Path | str) -> graphs.EmulatedModule:
    """A network of any graph, on the code of `module`."""
    graph, report = content["graph"], content["report"]
    state = {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}
    made = graphs.plain(module)
    try:
        if graph["expanded"]:
            made = expand(made)
        for name in graph["identities"]:
            made.set_submodule(name, nn.Identity())
        for key in [key for key in state if key.split(".")[-1] == INTEGERS]:
            prefix = key.removesuffix(INTEGERS)
            state[f"{prefix}weight"] = install(made.get_submodule(prefix.rstrip(".")), prefix, state)
        made.load_state_dict(state)
    except (RuntimeError, AttributeError, ValueError) as error:
        raise GaltonError(f"{path} does not fit the network {type(module).__name__}: {error}") from error
    measures = [LayerMeasures(**layer) for layer in report["layers"]]
    return graphs.EmulatedModule(made, graph["names"], measures, report["options"], graph["reason"], graph["left"])


def install(layer: Any, prefix: str, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Places for what the state has of a quantized layer; its weight."""
    integers, steps = state[f"{prefix}{INTEGERS}"], state[f"{prefix}steps"]
    weight = sites.stored(layer, integers.double().numpy() * steps.double().numpy()[:, None, None, None])
    layer.weight = constant(weight.clone())
    layer.register_buffer(INTEGERS, torch.empty_like(integers))
    layer.register_buffer("steps", torch.empty_like(steps))
    if f"{prefix}bias" in state and layer.bias is None:
        layer.bias = constant(torch.zeros(len(steps)))
    if f"{prefix}counts._extra_state" in state and not hasattr(layer, "counts"):
        layer.counts = Counts(Grid(Activation(), 1.0, 0, 255, 1))
        layer.register_forward_pre_hook(emulate, with_kwargs=True)
    return weight
