"""torch.export graph -> float layers, however the module was written; what the accelerator cannot run is listed, all of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from galton.calls import Call, Unsupported
from galton.errors import CalibrationError, UnsupportedLayer
from galton.layers import Add, AveragePool, ChannelPad, Clamp, Flatten, FloatLayer, MaxPool, Pad, Regroup
from galton.operators import HANDLERS, HEADS, SUPPORTED, addition, refusal, scaled

BATCH = 2
"""Examples in the batch that the network is exported with."""
ALIKE = 1e-3
"""Relative difference of outputs that rounding can make."""
SUMS = {"add.Tensor": 1, "sub.Tensor": -1}
"""Operators on two activations, and the sign of the second one."""
WEIGHTED = ("conv", "linear", "addmm", "batch_norm", "_native_batch_norm")
"""What operators with weights begin with."""


@dataclass(frozen=True)
class Head:
    """An ATen operator on the outputs, with its further arguments."""

    operator: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def __call__(self, outputs: Tensor) -> Tensor:
        packet, overload = self.operator.split(".")
        result: Tensor = getattr(getattr(torch.ops.aten, packet), overload)(outputs, *self.arguments, **self.keywords)
        return result


@dataclass(frozen=True)
class Imported:
    """A network as float layers in order.

    input_shape, output_shape: without the batch. head: what follows the last layer, for the host to apply to float outputs.
    """

    layers: tuple[FloatLayer, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    head: Head | None = None


def load(module: nn.Module, example: Tensor) -> Imported:
    """The float layers of `module` in eval mode, for inputs like `example` (n, ...), n >= 1. The module is not touched.

    Raises CalibrationError where the network does not take the example, UnsupportedLayer listing every operator that the
    accelerator cannot run by module path, with what to use instead.
    """
    copied = copy.deepcopy(module).cpu().float().eval()
    batch = example[:1].expand(BATCH, *example.shape[1:]).contiguous()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            copied(batch)
        except Exception as error:
            shape = ", ".join(map(str, example.shape[1:]))
            if _runs(copied, example[:1]):
                raise UnsupportedLayer(
                    f"The network takes inputs one by one only: {BATCH} of shape ({shape}) give {error}. "
                    "Write shapes with -1 or x.shape[0] for the batch, or Flatten"
                ) from error
            raise CalibrationError(
                f"The network does not take inputs of shape (n, {shape}): {error}. {_expected(copied)}"
            ) from error
        try:
            program = torch.export.export(copied, (batch,)).run_decompositions({})
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise UnsupportedLayer(
                f"torch.export cannot trace the network: {reason}. Control flow must not depend on the data"
            ) from error
    imported = _Walk(program).result()
    _check_alone(copied, example)
    return imported


def _runs(module: nn.Module, inputs: Tensor) -> bool:
    """Whether the module takes these inputs."""
    try:
        module(inputs)
    except Exception:
        return False
    return True


def _check_alone(module: nn.Module, example: Tensor) -> None:
    """Raise UnsupportedLayer where what an input gives depends on its batch, or is not the same every time."""
    one = example[:1]
    with torch.no_grad():
        found = [tree_leaves(module(torch.cat([one, *others])))[0] for others in ([one], [one / 2, example[-1:], -one])]
    alone, among = (values[:1] for values in found)
    if float((alone - among).abs().max()) > ALIKE * (1 + float(alone.abs().max())):
        raise UnsupportedLayer(
            "What the network gives for an input depends on the number or the values of the other inputs of its batch, or on "
            "chance. The accelerator takes inputs one by one: leave batch sizes, sums over the batch and random numbers out"
        )


def _expected(module: nn.Module) -> str:
    """What the first layer takes."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            return f"{name or 'Its first layer'} takes (n, {layer.in_channels}, rows, columns)"
        if isinstance(layer, nn.Linear):
            return f"{name or 'Its first layer'} takes (n, {layer.in_features})"
    return "Calibration data must be like the network's own inputs"


class _Walk:
    """One pass over the graph: constants are folded, the chain of activations becomes layers, the rest is noted as problems."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        signature = program.graph_signature
        self.graph = program.graph
        self.graph.eliminate_dead_code()
        stored = {**program.state_dict, **program.constants}
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
        self.paths = dict(named)
        self.constants: dict[fx.Node, Any] = {
            node: stored[named[node.name]] for node in self.graph.nodes if node.op == "placeholder" and node.name in named
        }
        inputs = [node for node in self.graph.nodes if node.op == "placeholder" and node.name in signature.user_inputs]
        self.input = inputs[0]
        self.outputs = [name for name in signature.user_outputs if isinstance(name, str)]
        self.problems: dict[str, None] = {}
        self.layers: list[FloatLayer] = []
        self.head: fx.Node | None = None
        # The value of each activation: 0 the network's input, i + 1 what layer i gives.
        self.values = {self.input: 0}
        self.tip = self.input

    def result(self) -> Imported:
        """The layers, or UnsupportedLayer with all problems."""
        for node in self.graph.nodes:
            if node.op != "call_function":
                continue
            sources = [source for source in node.all_input_nodes if source not in self.constants]
            if not sources:
                self.constants[node] = self.evaluate(node)
                continue
            self.values[node] = self.visit(node, sources)
            self.tip = node
        if self.outputs != [self.tip.name] and not self.problems:
            self.problem(self.tip, Unsupported("a network with several outputs", "one output"))
        if self.problems:
            lines = "\n".join(f"  {problem}" for problem in self.problems)
            raise UnsupportedLayer(f"The accelerator cannot run these layers:\n{lines}\nSupported are {SUPPORTED}.")
        shapes = [tuple(int(size) for size in self.shape(node)[1:]) for node in (self.input, self.tip)]
        head = Head(self.operator(self.head), self.head.args[1:], dict(self.head.kwargs)) if self.head else None
        return Imported(tuple(_distinct(self.layers)), shapes[0], shapes[1], head)

    def visit(self, node: fx.Node, sources: list[fx.Node]) -> int:
        """Append the layers of one operator on activations, or note the problem; the value that it gives."""
        name, value = self.operator(node), self.values[sources[0]]
        if node.target is getitem:
            if node.args[1] != 0:
                self.problem(node, Unsupported("a second result of an operator", "the first one only"))
            return value
        if self.head is not None:
            self.problem(self.head, refusal(self.operator(self.head)))
            self.head = None
        if name in HEADS:
            self.head = node
            if "dim" in (arguments := self.call(node).arguments) and arguments["dim"] % len(self.shape(node)) == 0:
                self.problem(node, Unsupported("Softmax over the batch", "Softmax over channels, or none"))
            return value
        try:
            if name in SUMS and [*node.args[:2]] in (sources, sources * 2) and len(node.args[:2]) == 2:
                return self.sum(self.call(node), *(self.values[source] for source in node.args[:2]), sign=SUMS[name])
            if len(sources) > 1:
                if name.startswith(WEIGHTED):
                    raise Unsupported("a weight that depends on the input", "weights that are parameters or constants")
                what = "product of two activations" if name == "mul.Tensor" else refusal(name).what
                raise Unsupported(what, "layers that take one activation, or sums of two of one shape")
            if name not in HANDLERS:
                raise refusal(name)
            for layer in HANDLERS[name](self.call(node)):
                self.layers.append(replace(layer, inputs=(value,)))
                value = len(self.layers)
        except Unsupported as error:
            self.problem(node, error)
        return value

    def sum(self, call: Call, one: int, other: int, *, sign: int) -> int:
        """Append one + sign * alpha * other."""
        found: list[FloatLayer] = addition(call)
        factor = sign * float(call["alpha"])
        if factor != 1:
            self.layers.append(replace(scaled(call, factor), inputs=(other,)))
            other = len(self.layers)
        self.layers.append(replace(found[0], inputs=(one, other)))
        return len(self.layers)

    def positive(self, value: int) -> bool:
        """Whether a value is known to be never below 0."""
        if value == 0:
            return False
        layer = self.layers[value - 1]
        if isinstance(layer, Clamp):
            return layer.low >= 0
        keeps = isinstance(layer, MaxPool | AveragePool | Pad | ChannelPad | Regroup | Flatten | Add)
        return keeps and all(self.positive(taken) for taken in layer.inputs)

    def call(self, node: fx.Node) -> Call:
        """The operator with every argument by its name, defaults included."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        arguments = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
        arguments.update({argument.name: value for argument, value in zip(schema, node.args, strict=False)})
        arguments.update(node.kwargs)
        values = {
            name: self.constants.get(value, value) if isinstance(value, fx.Node) else value for name, value in arguments.items()
        }
        source = next(source for source in node.all_input_nodes if source not in self.constants)
        return Call(self.path(node), values, self.shape(source), self.shape(node), self.positive(self.values[source]))

    def evaluate(self, node: fx.Node) -> Any:
        """A node that depends on no input."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self.constants.__getitem__)
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]

    def path(self, node: fx.Node) -> str:
        """The module that the operator belongs to; in the outermost one its weight's name, or its own."""
        stack = node.meta.get("nn_module_stack") or {}
        path = list(stack.values())[-1][0] if stack else ""
        weights = [self.paths[source.name] for source in node.all_input_nodes if source.name in self.paths]
        return str(path or (weights[0].removesuffix(".weight") if weights else node.name))

    def problem(self, node: fx.Node, error: Unsupported) -> None:
        """Note what is wrong, once."""
        code = (node.meta.get("stack_trace") or "").strip().splitlines()
        stack = node.meta.get("nn_module_stack") or {}
        inner = bool(stack) and list(stack.values())[-1][0]
        where = self.path(node) if inner or not code else f"{self.path(node)} (`{code[-1].strip()}`)"
        self.problems[f"{where}: {error.what}; use {error.instead}"] = None

    @staticmethod
    def operator(node: fx.Node) -> str:
        return str(node.target).removeprefix("aten.")

    @staticmethod
    def shape(node: fx.Node) -> tuple[int, ...]:
        value = node.meta["val"]
        return tuple((value[0] if isinstance(value, tuple | list) else value).shape)


def _distinct(layers: list[FloatLayer]) -> Iterator[FloatLayer]:
    """The layers with a number after every name that has been seen."""
    seen: dict[str, int] = {}
    for layer in layers:
        seen[layer.name] = seen.get(layer.name, 0) + 1
        yield layer if seen[layer.name] == 1 else replace(layer, name=f"{layer.name}#{seen[layer.name]}")
