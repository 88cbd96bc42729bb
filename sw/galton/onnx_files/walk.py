"""One pass over the nodes of an ONNX graph: constants are folded, activations become torch modules and functions of an fx graph.

Transposes are not carried out but noted: exporters from channels-last frameworks put pairs of them around every layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, fx, nn

from galton.errors import UnsupportedLayer

Array = NDArray[Any]
CHANNELS_LAST = (0, 2, 3, 1)
CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """An activation: the fx node that computes it, and an example.

    order: where not None, the ONNX tensor is this permutation of dimensions of what `node` gives. columns: likewise its second
    dimension, of two, is this selection.
    """

    node: fx.Node
    example: Tensor
    order: tuple[int, ...] | None = None
    columns: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the ONNX tensor."""
        shape = tuple(self.example.shape)
        return shape if self.order is None else tuple(shape[axis] for axis in self.order)


class Unreadable(Exception):
    """A node that has no counterpart: what it is."""


class Walk:
    """The graph of `model`, whose input `name` takes batches of `shape`; `path` is for messages."""

    def __init__(self, model: onnx.ModelProto, name: str, shape: tuple[int, ...], path: str) -> None:
        self.model, self.path, self.batch = model, path, shape[0]
        self.graph = fx.Graph()
        self.modules: dict[str, Any] = {}
        self.absorbed: set[str] = set()
        self.constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        order = None
        example = torch.zeros(shape)
        if self.is_channels_last(name):
            order, example = CHANNELS_LAST, example.permute(CHANNELS_FIRST).contiguous()
        self.values = {name: Value(self.graph.placeholder("inputs"), example, order)}

    def is_channels_last(self, name: str) -> bool:
        """Whether all that takes the input is a transpose to channels first."""
        takers = [node for node in self.model.graph.node if name in node.input]
        orders = [[tuple(part.ints) for part in node.attribute if part.name == "perm"] for node in takers]
        return bool(takers) and all(
            node.op_type == "Transpose" and order == [CHANNELS_FIRST] for node, order in zip(takers, orders, strict=True)
        )

    def result(self) -> fx.GraphModule:
        """The torch module; raises UnsupportedLayer with every node that cannot be read."""
        from galton.onnx_files.operators import HANDLERS

        unknown = []
        live = set(self.values)
        for node in self.model.graph.node:
            if live.isdisjoint(node.input):
                continue
            if node.op_type == "Shape" or (node.op_type == "CastLike" and node.input[0] not in live):
                continue
            live.update(node.output)
            if node.domain not in ("", "ai.onnx") or node.op_type not in HANDLERS:
                unknown.append(f"  {node.name or node.output[0]}: {node.op_type}")
        if unknown:
            lines = "\n".join(unknown)
            raise UnsupportedLayer(f"{self.path} has operators that cannot be read:\n{lines}\nKnown are {', '.join(HANDLERS)}")
        for node in self.model.graph.node:
            taken = [name for name in node.input if name in self.values]
            if not taken:
                self.constants.update(zip(node.output, self.folded(node), strict=True))
            elif node.op_type == "Shape":
                self.constants[node.output[0]] = shape_of(node, self.values[taken[0]])
            elif node.op_type == "CastLike" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
            else:
                self.values[node.output[0]] = self.handled(node, HANDLERS[node.op_type])
        return self.module()

    def handled(self, node: NodeProto, handler: Callable[[Step], Value]) -> Value:
        """What a handler makes of a node on activations."""
        try:
            return handler(Step(self, node))
        except (Unreadable, RuntimeError, ValueError, IndexError, KeyError) as error:
            raise UnsupportedLayer(
                f"{self.path}, {node.name or node.output[0]}: {node.op_type} cannot be read: {error}"
            ) from error

    def folded(self, node: NodeProto) -> list[Array]:
        """The outputs of a node whose inputs are constants."""
        names = [name for name in node.input if name]
        infos = [helper.make_empty_tensor_value_info(name) for name in names]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "constants", infos, outputs)
        single = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        return list(ReferenceEvaluator(single).run(None, {name: self.constants[name] for name in names}))

    def module(self) -> fx.GraphModule:
        """The graph with its outputs."""
        names = [output.name for output in self.model.graph.output]
        fixed = [name for name in names if name not in self.values]
        if fixed:
            raise UnsupportedLayer(f"{self.path}: output {fixed[0]} does not depend on the input")
        nodes = [self.plain(self.values[name]).node for name in names]
        self.graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
        made = fx.GraphModule(self.modules, self.graph, re.sub(r"\W", "_", self.model.graph.name) or "Network")
        made.graph.eliminate_dead_code()
        made.recompile()
        return made.eval()

    def call(self, function: Callable[..., Tensor], *arguments: Any, **keywords: Any) -> Value:
        """A function of activations and constants."""
        nodes, examples = (fx.node.map_aggregate(arguments, pick) for pick in (_node, _example))
        with torch.no_grad():
            return Value(self.graph.call_function(function, nodes, keywords), function(*examples, **keywords))

    def parameter(self, values: Tensor) -> Value:
        """A constant tensor as an operand."""
        name = f"constant_{len(self.modules)}"
        self.modules[name] = values
        return Value(self.graph.get_attr(name), values)

    def layer(self, name: str, layer: nn.Module, value: Value) -> Value:
        """A module of activations; `name` is where its weights come from."""
        clean = ".".join(part for part in re.sub(r"[^0-9A-Za-z_.]+", "_", name).split(".") if part).strip("_") or "layer"
        found, count = clean, 2
        while found in self.modules:
            found, count = f"{clean}_{count}", count + 1
        self.modules[found] = layer.eval()
        with torch.no_grad():
            return Value(self.graph.call_module(found, (value.node,)), layer(value.example))

    def plain(self, value: Value) -> Value:
        """The ONNX tensor itself, all that was noted carried out."""
        if value.order is not None:
            return self.call(torch.permute, replace(value, order=None), value.order)
        if value.columns is not None:
            return self.call(torch.Tensor.__getitem__, replace(value, columns=None), (slice(None), value.columns.tolist()))
        return value


class Step:
    """One node for its handler."""

    def __init__(self, walk: Walk, node: NodeProto) -> None:
        self.walk, self.node = walk, node
        self.name = node.name or node.output[0]
        self.attributes = {part.name: helper.get_attribute_value(part) for part in node.attribute}
        self.opset = max((entry.version for entry in walk.model.opset_import if entry.domain in ("", "ai.onnx")), default=1)

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self.attributes.get(name, default)
        return found.decode() if isinstance(found, bytes) else str(found)

    def has(self, index: int) -> bool:
        """Whether the input is there."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def noted(self, index: int = 0) -> Value:
        """An activation as it is kept; raises Unreadable where it is a constant."""
        name = self.node.input[index]
        if name not in self.walk.values:
            raise Unreadable(f"input {name} is a constant where an activation is expected")
        return self.walk.values[name]

    def value(self, index: int = 0) -> Value:
        """An activation as ONNX has it."""
        return self.walk.plain(self.noted(index))

    def constant(self, index: int) -> Array | None:
        """A constant, None where it is left out; raises Unreadable for one that depends on the input."""
        if not self.has(index):
            return None
        name = self.node.input[index]
        if name not in self.walk.constants:
            raise Unreadable(f"input {name} must be a constant")
        return self.walk.constants[name]

    def weight(self, index: int) -> Tensor | None:
        """A constant as float32."""
        found = self.constant(index)
        return None if found is None else torch.from_numpy(np.array(found, np.float32))

    def layer(self, layer: nn.Module, value: Value, weight: int | None = None) -> Value:
        """A module, named after its weight where the exporter kept that name."""
        source = "" if weight is None else self.node.input[weight]
        return self.walk.layer(source.removesuffix(".weight") if source.endswith(".weight") else self.name, layer, value)


def shape_of(node: NodeProto, value: Value) -> Array:
    """What a Shape node gives."""
    limits = {part.name: part.i for part in node.attribute}
    return np.array(value.shape[limits.get("start", 0) : limits.get("end")], np.int64)


def _node(part: Any) -> Any:
    return part.node if isinstance(part, Value) else part


def _example(part: Any) -> Any:
    return part.example if isinstance(part, Value) else part
