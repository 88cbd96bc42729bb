"""Layers of a graph that share one set of integers, fitted to all that they take, whenever and however often they are called."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galton import quantizers
from galton.fitting import closing
from galton.graphs import sites
from galton.graphs.grid import Counts, Grid
from galton.metrics import MEASURED, LayerMeasures
from galton.network import Ints
from galton.patches import joined
from galton.quantizers import Options, prior
from galton.quantizers.moments import Rows


@dataclass(frozen=True)
class Plan:
    """How a layer is quantized.

    options: its own. fine: names of layers that take raw bytes. extremes: of layers whose inputs' range is given.
    inputs: calibration inputs. share: the layer's multiplies over the mean layer's. multiplies: of all calibration inputs.
    """

    name: str
    options: Mapping[str, Any]
    fine: set[str]
    extremes: Mapping[str, tuple[float, float]]
    inputs: int
    share: float
    multiplies: int


@dataclass
class Member:
    """A layer: in the float network and in the quantized one, with what each gave it, call by call."""

    name: str
    real: Any
    layer: Any
    calls: list[Tensor]
    seen: list[Tensor] = field(default_factory=list)

    @property
    def driven(self) -> bool:
        """Whether its input is made of counts."""
        return isinstance(self.real, sites.DRIVEN)

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """(what the quantized network gives, what the float one does) for each call.

        Calls that the quantized network has not made yet are taken as the float one's; where the two networks call with other
        shapes, as they may where calls depend on the data, the float layer is asked about the quantized network's.
        """
        found = []
        for place in range(max(len(self.calls), len(self.seen))):
            quantized = self.seen[place] if place < len(self.seen) else self.calls[place]
            real = self.calls[place] if place < len(self.calls) else quantized
            found.append((quantized, real if real.shape == quantized.shape else quantized))
        return found


class Site:
    """Layers with one weight: mostly one; an embedding and the projection that is tied to it are two.

    integers, steps, measures: there after `fit`.
    """

    def __init__(self, plan: Plan, members: list[Member]) -> None:
        self.plan, self.members = plan, members
        self.integers: Ints = np.zeros(0, np.int64)
        self.steps = torch.zeros(0)
        self.measures: LayerMeasures | None = None

    @property
    def calls(self) -> int:
        """How often the float network calls its layers."""
        return sum(len(member.calls) for member in self.members)

    def fit(self) -> None:
        """Quantize against all calls; those that were not seen yet as the float network makes them."""
        driven = [member for member in self.members if member.driven]
        grids, inputs, reals = {}, {}, {}
        for member in driven:
            pairs = member.pairs()
            reals[member.name] = [real for _, real in pairs]
            given = self.plan.extremes.get(member.name)
            extremes = torch.stack([torch.stack(real.aminmax()) for real in reals[member.name]]) if given is None else given
            grid = grids[member.name] = Grid.choose(
                torch.as_tensor(extremes),
                [quantized for quantized, _ in pairs],
                sites.channel_axis(member.real),
                member.name in self.plan.fine,
                self.plan.options,
            )
            inputs[member.name] = [grid(quantized) for quantized, _ in pairs]
        first = self.members[0]
        weights, correct = sites.kernels(first.real), self.plan.options["correct"]
        rows: Any = partial(rows_of, driven, inputs, reals)
        if not self.plan.options["calibrated"]:
            rows = partial(prior.moments, weights.shape)
        self.integers, steps = self.quantized(weights, rows if driven else None)
        scale, offset = steps, np.zeros(len(steps))
        if driven and correct and not self.plan.options["calibrated"]:
            scale = prior.keep_power(weights, self.integers, steps)
        elif driven and correct:
            sums = [outputs(member.real, inputs[member.name], self.integers) for member in driven]
            wanted = [outputs(member.real, reals[member.name], None) for member in driven]
            scale, offset = closing(_rows(sums).astype(np.float64), _rows(wanted), steps, scale=correct != "mean")
        self.steps = torch.from_numpy(scale).float()
        weight = constant(sites.stored(first.real, self.integers * self.steps.double().numpy()[:, None, None, None]))
        for member in self.members:
            self.install(member, weight, offset, grids.get(member.name))
        self.measures = self.measure(driven, grids, inputs, reals)

    def quantized(self, weights: np.ndarray[Any, np.dtype[np.float64]], rows: Any) -> tuple[Ints, Any]:
        """Integers within the limit and steps of (outputs, inputs, rows, columns), by the plan's method."""
        own = self.plan.options
        options = Options(own["k_weights"], own["xi"], own["order"], own["norm"], own["weight_limit"], rows, self.plan.share)
        corrected = own["correct"] and own["calibrated"]
        options = replace(options, corrected=corrected, name=self.plan.name, extra=own["extra"])
        integers, steps = quantizers.named(own["method"])(weights, options)
        return np.clip(integers, -own["weight_limit"], own["weight_limit"]), steps

    def install(self, member: Member, weight: nn.Parameter, offset: np.ndarray[Any, Any], grid: Grid | None) -> None:
        """Real values, integers and grid into the layer of the quantized network."""
        layer, fresh = member.layer, not hasattr(member.layer, "integers")
        layer.weight = weight
        kind = torch.int8 if np.abs(self.integers).max(initial=0) < 128 else torch.int16
        layer.register_buffer("integers", torch.from_numpy(self.integers).to(kind))
        layer.register_buffer("steps", self.steps)
        if grid is None:
            return
        bias = member.real.bias
        if bias is not None or self.plan.options["correct"]:
            layer.bias = constant(torch.from_numpy(offset).float() + (0 if bias is None else bias))
        layer.counts = Counts(grid)
        if fresh:
            layer.register_forward_pre_hook(emulate, with_kwargs=True)

    def measure(self, driven: list[Member], grids: Any, inputs: Any, reals: Any) -> LayerMeasures:
        """The measures on what the quantized network gave."""
        plan, weights = self.plan, np.abs(self.integers)
        bits = int(weights.max(initial=0)).bit_length()
        size = nonzero = samples = cut = 0
        activation_bits = (0, 0)
        pairs = off = norm = 0.0
        kept = (weights > 0).astype(np.float64)
        for member in driven:
            grid = grids[member.name]
            for (values, _), made, real in zip(member.pairs(), inputs[member.name], reals[member.name], strict=True):
                counts, lost = grid.counts(values)
                magnitudes = counts.abs()
                size, nonzero = size + magnitudes.numel(), nonzero + int((magnitudes > 0).sum())
                samples, cut = samples + int(magnitudes.sum(dtype=torch.float64)), cut + int(lost.sum())
                activation_bits = max(activation_bits, grid.bits(counts))
                few = (magnitudes[:MEASURED] > 0).float()
                found = bare(member.real, kept)(few).double().sum()
                pairs += float(found) * len(values) / max(len(few), 1)
                target = member.real(real)
                off += float((member.layer.forward(made) - target).square().sum())
                norm += float(target.square().sum())
        if not driven:
            float_weight = self.members[0].real.weight
            off, norm = float((self.members[0].layer.weight - float_weight).square().sum()), float(float_weight.square().sum())
        return LayerMeasures(
            plan.name,
            type(self.members[0].layer).__name__,
            bits,
            bits + 1,
            *activation_bits,
            round(size / plan.inputs),
            float((weights > 0).mean()),
            nonzero / size if size else 1.0,
            int(weights.sum()),
            samples / plan.inputs,
            round(plan.multiplies / plan.inputs),
            pairs / plan.multiplies if plan.multiplies else 0.0,
            (off / max(norm, 1e-60)) ** 0.5,
            int((weights >= plan.options["weight_limit"]).sum()) if plan.options["method"] == "mcq" else 0,
            cut,
        )

    def forget(self) -> None:
        """Give back the memory of what was calibrated on."""
        for member in self.members:
            member.calls, member.seen = [], []


def rows_of(driven: list[Member], inputs: Any, reals: Any) -> Rows:
    """What the kernels are multiplied with, over all calls of all layers."""
    found = [(member, *pair) for member in driven for pair in zip(inputs[member.name], reals[member.name], strict=True)]
    return joined([sites.rows(member.real, quantized, real, 1 / len(found)) for member, quantized, real in found])


def outputs(layer: Any, inputs: list[Tensor], integers: Ints | None) -> Tensor:
    """(anything, channels), without bias, of a layer or of its integers."""
    chosen = bare(layer, sites.kernels(layer) if integers is None else integers.astype(np.float64))
    return torch.cat([sites.channel_last(layer, chosen(values)) for values in inputs])


def bare(layer: Any, kernels: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """A layer with other weights and no bias."""
    result = copy.copy(layer)
    result._parameters = {"weight": constant(sites.stored(layer, kernels)), "bias": None}
    return result


def emulate(layer: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What a quantized layer takes: its first argument as counts."""
    if arguments:
        return (layer.counts(arguments[0]), *arguments[1:]), keywords
    return arguments, {**keywords, "input": layer.counts(keywords["input"])}


def constant(values: Tensor) -> nn.Parameter:
    """A parameter that is not trained."""
    return nn.Parameter(values, requires_grad=False)


def _rows(parts: list[Tensor]) -> Any:
    """(rows, 1, 1, channels), as `closing` has it."""
    return torch.cat(parts).numpy()[:, None, None]
