"""One layer of a graph, quantized when the network calls it first; later calls find its integers and its grid."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galton import quantizers
from galton.errors import UnsupportedLayer
from galton.fitting import closing
from galton.graphs import sites
from galton.graphs.grid import Grid
from galton.metrics import MEASURED, LayerMeasures
from galton.network import Ints
from galton.quantizers import Options, prior


@dataclass(frozen=True)
class Call:
    """What a layer was called with."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def first(self) -> Tensor:
        """The activations."""
        value: Tensor = self.arguments[0] if self.arguments else next(iter(self.keywords.values()))
        return value


@dataclass(frozen=True)
class Plan:
    """How a layer is quantized: `options` are its own; share: its multiplies over the mean layer's; multiplies: of one input."""

    name: str
    options: Mapping[str, Any]
    fine: bool
    share: float
    multiplies: float


@dataclass(frozen=True)
class Result:
    """Integers, real value of one for each output, and the measures."""

    integers: Ints
    steps: Tensor
    measures: LayerMeasures


class Fitting:
    """What waits in front of a layer of the copy: `real` is the float layer, `calls` what it took, by call."""

    def __init__(self, plan: Plan, real: Any, calls: list[Call], layer: Any) -> None:
        self.plan, self.real, self.calls = plan, real, calls
        self.result: Result | None = None
        self.handle = layer.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, layer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        self.handle.remove()
        if isinstance(layer, sites.DRIVEN):
            grid = self.drive(layer, Call(arguments, keywords).first)
            self.handle = layer.register_forward_pre_hook(partial(_emulate, grid), with_kwargs=True)
            return _emulate(grid, layer, arguments, keywords)
        self.store(layer, Call(arguments, keywords))
        return None

    def finished(self) -> Result:
        """Raises UnsupportedLayer for a layer that the quantized network never called."""
        if self.result is None:
            raise UnsupportedLayer(
                f"{self.plan.name} is called by the float network only: its calls depend on the data. Use skip="
            )
        return self.result

    def drive(self, layer: Any, values: Tensor) -> Grid:
        """Quantize a convolution or linear layer that gets `values`; its grid."""
        plan, options = self.plan, self.plan.options
        real = self.calls[0].first
        axis = -1 if isinstance(layer, nn.Linear) else 1
        range_of = torch.stack([torch.stack(call.first.aminmax()) for call in self.calls])
        grid = Grid.choose(range_of, values, axis, plan.fine, options)
        inputs = grid(values)
        weights = sites.kernels(self.real)
        calibrated = options.get("calibrated", True)
        rows = partial(sites.rows, layer, inputs, real) if calibrated else partial(prior.moments, weights.shape)
        integers, steps = quantized(plan, weights, rows)
        if options["correct"] and not calibrated:
            steps = prior.keep_power(weights, integers, steps)
        scaled = torch.from_numpy(steps).float()
        layer.weight = _constant(sites.stored(layer, integers.astype(np.float64)))
        bias, layer.bias = layer.bias, None
        sums = layer(inputs)
        target = self.real(real)
        if options["correct"] and calibrated:
            last = [sites.channel_last(layer, part).double().numpy()[:, None, None] for part in (sums, target)]
            fitted, offset = closing(last[0], last[1], steps, scale=options["correct"] != "mean")
            scaled, bias = torch.from_numpy(fitted).float(), torch.from_numpy(offset).float()
        layer.weight = _constant(sites.stored(layer, integers * scaled.double().numpy()[:, None, None, None]))
        layer.bias = None if bias is None else _constant(bias)
        error = float((layer(inputs) - target).norm() / max(float(target.norm()), 1e-30))
        self.result = Result(integers, scaled, self.measure(layer, grid, values, integers, error))
        self.calls = []
        return grid

    def store(self, layer: Any, call: Call) -> None:
        """Quantize the matrices of a layer that computes with them itself."""
        parts, steps = [], []
        outputs = self.real(*self.calls[0].arguments, **self.calls[0].keywords)
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        for name in sites.matrices(layer):
            owner, _, short = name.rpartition(".")
            part = layer.get_submodule(owner)
            matrix = getattr(part, short).detach().double().numpy()
            found = sites.matrix_rows(layer, name, call.first, self.calls[0].first, first)
            integers, step = quantized(self.plan, matrix[:, :, None, None], None if found is None else partial(_same, found))
            setattr(part, short, _constant(torch.from_numpy(integers[:, :, 0, 0] * step[:, None]).float()))
            parts.append(integers.reshape(-1))
            steps.append(torch.from_numpy(step).float())
        if isinstance(layer, nn.RNNBase):
            layer.flatten_parameters()
        reached = layer(*call.arguments, **call.keywords)
        difference = (reached[0] if isinstance(reached, tuple) else reached) - first
        error = float(difference.norm() / max(float(first.norm()), 1e-30))
        joined = np.concatenate(parts)
        largest = int(np.abs(joined).max(initial=0)).bit_length()
        share, samples = float((joined != 0).mean()), int(np.abs(joined).sum())
        measures = LayerMeasures(
            self.plan.name, type(layer).__name__, largest, largest + 1, 0, 0, 0, share, 1.0, samples, 0.0, 0, share, error, 0, 0
        )
        self.result = Result(joined, torch.cat(steps), measures)
        self.calls = []

    def measure(self, layer: Any, grid: Grid, values: Tensor, integers: Ints, error: float) -> LayerMeasures:
        """The measures of a driven layer on what the quantized network gave it."""
        counts, cut = grid.counts(values)
        magnitudes, weights = counts.abs(), np.abs(integers)
        masked: Any = copy.deepcopy(layer)
        masked.weight, masked.bias = _constant(sites.stored(layer, (weights > 0).astype(np.float64))), None
        few = (magnitudes[:MEASURED] > 0).float()
        calls_ratio = self.plan.multiplies * len(few)
        pairs = float(masked(few).double().sum()) * len(self.calls)
        weight_bits = int(weights.max(initial=0)).bit_length()
        activation_bits, signed_bits = grid.bits(counts)
        return LayerMeasures(
            self.plan.name,
            type(layer).__name__,
            weight_bits,
            weight_bits + 1,
            activation_bits,
            signed_bits,
            values[0].numel(),
            float((weights > 0).mean()),
            float((magnitudes > 0).float().mean()),
            int(weights.sum()),
            float(magnitudes.sum(dtype=torch.float64) / len(values)),
            round(self.plan.multiplies),
            pairs / calls_ratio if calls_ratio else 0.0,
            error,
            int((weights >= self.plan.options["weight_limit"]).sum()) if self.plan.options["method"] == "mcq" else 0,
            int(cut.sum()),
        )


def quantized(plan: Plan, weights: np.ndarray[Any, np.dtype[np.float64]], rows: Any) -> tuple[Ints, Any]:
    """Integers within the limit and steps of (outputs, inputs, rows, columns), by the plan's method."""
    own = plan.options
    options = Options(own["k_weights"], own["xi"], own["order"], own["norm"], own["weight_limit"], rows, plan.share)
    corrected = own["correct"] and own.get("calibrated", True)
    options = replace(options, corrected=corrected, name=plan.name, extra=own["extra"])
    integers, steps = quantizers.named(own["method"])(weights, options)
    return np.clip(integers, -own["weight_limit"], own["weight_limit"]), steps


def _emulate(grid: Grid, _: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    if arguments:
        return (grid(arguments[0]), *arguments[1:]), keywords
    return arguments, {**keywords, "input": grid(keywords["input"])}


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _same(found: Any) -> Any:
    return found
