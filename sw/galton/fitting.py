"""One stage after another: float weights and calibration inputs -> an integer layer.

The static step of activations is m = 2^F K / mean |raw|. The closing scale and bias of each output channel are the least-squares
fit of the *quantized* layer's sums, on the quantized network's own inputs, to the *float* network's sums. Fitted to the float
layer on the same quantized inputs instead, they would keep the errors of all layers before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import inf, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galton import clipping, reference, streaming
from galton.arith import HALF, ONE, initial_residue, sample_count
from galton.bounds import accumulator_bounds
from galton.calibration import as_maps, to_pixels
from galton.config import CONFIGS
from galton.errors import AccumulatorOverflow, GaltonError
from galton.format import MULTIPLIER_BITS, NORM_BITS, SHIFTS, STEP_BITS
from galton.lowering import Stage
from galton.metrics import LayerMeasures, measure
from galton.network import NONE, Activation, Ints, Layer
from galton.patches import sample_rows
from galton.quantizers import Options, Quantizer
from galton.quantizers.moments import Rows
from galton.rescale import dynamic_rescaling, rescaling

Reals = NDArray[np.float64]

COUNT_LIMIT = min(config.count_limit for config in CONFIGS.values())
LARGEST_STEP = (1 << STEP_BITS) - 1
COARSER = 1.25
"""Factor by which the output's scale grows until its integers fit."""
PIXELS = 1 << 12
"""Places of a map that are looked at at a time: they stay in the cache."""
STILL = 1e-12
"""Variance by squared mean up to which sums count as constant: what is left then is rounding, and a fit to it is anything."""


@dataclass(frozen=True)
class Settings:
    """How one layer is quantized; see galton.quantization.quantize."""

    quantizer: Quantizer
    options: Options
    k_activations: float
    activations: str
    dynamic: bool
    dead_zone: float
    correct: bool | str
    fine: bool
    weight_limit: int
    accumulator_bits: int
    activation_bits: int = 4
    activation_clipping: str = "laplace"

    @property
    def clips(self) -> bool:
        """Whether the layer's input is clipped and of few bits."""
        return self.activations == "aciq" and not self.fine


@dataclass(frozen=True)
class Flow:
    """Calibration activations between two layers.

    real: the float network's, (n, channels, rows, columns).
    raw: the quantized network's, (n, rows, columns, channels) in low..high; one step is `scale`.
    """

    real: Tensor
    raw: Ints
    scale: float
    low: int
    high: int

    @cached_property
    def mean(self) -> float:
        """The mean magnitude of raw."""
        return float(np.abs(self.raw).mean())


def input_flow(inputs: Tensor, input_range: tuple[float, float] | None) -> Flow:
    """Calibration inputs, as calibration.as_maps takes them, as what goes into the first layer.

    Integers in 0..255 or -128..127 stay as they are; other inputs take the finest scale for `input_range` or their own range.
    Raises GaltonError for a range that is none.
    """
    smallest, largest = (float(inputs.min()), float(inputs.max())) if input_range is None else map(float, input_range)
    if not -inf < smallest <= largest < inf:
        raise GaltonError(f"input_range must be (smallest, largest), both finite, not {input_range!r}")
    scale, low, high = raw_range(smallest, largest, signed=smallest < 0)
    if input_range is None and low <= smallest and largest <= high and bool((inputs == inputs.round()).all()):
        scale = 1.0
    raw = np.clip(np.floor(to_pixels(inputs) / scale + 0.5), low, high).astype(np.int64)
    return Flow(as_maps(inputs), raw, scale, low, high)


def fit(
    stage: Stage, flow: Flow, settings: Settings, consumer: Settings | None = None, residual: Flow | None = None
) -> tuple[Layer, Flow, LayerMeasures]:
    """The integer layer of `stage`, what comes out of it, and its measures.

    consumer: of the layer that takes the output. residual: what the layer adds.
    """
    _finite(stage)
    weights, step, clipped = integer_weights(stage, flow, settings)
    activation = choose_activation(stage, flow, settings, weights)
    draft = Layer(
        name=stage.name,
        input_shape=stage.input_shape,
        weights=weights,
        multiplier=np.zeros(len(weights), np.int64),
        bias=np.zeros(len(weights), np.int64),
        shift=SHIFTS[-1],
        low=0,
        high=0,
        activation=activation,
        # Nothing is rescaled yet: the shift that brings any norm to a multiplier's width.
        norm_shift=NORM_BITS - MULTIPLIER_BITS if activation.dynamic else 0,
        stride=stage.stride,
        padding=stage.padding,
        pool=stage.pool,
        elementwise=stage.elementwise,
    )
    found = reference.accumulated(draft, flow.raw)
    real, bias = stage.sums(flow.real), stage.bias.numpy()
    if settings.correct and not stage.diagonal:
        rows, columns = draft.map_shape
        reached = found.sums * count_units(draft.activation, flow)[:, None, None, None]
        wanted = real[:, :, :rows, :columns].permute(0, 2, 3, 1).contiguous().numpy()
        if residual is not None:
            # What the residual has lost already is made up for here.
            wanted = wanted + (to_pixels(residual.real) - residual.raw * residual.scale)
        step, bias = closing(reached, wanted, step, scale=settings.correct != "mean")
    target = stage.finish(real, None if residual is None else residual.real)
    limit = inf
    if consumer is not None and consumer.clips:
        limit = clipping.edge(real.numpy(), consumer.activation_bits, consumer.activation_clipping, relu=stage.low == 0)
    layer = rescale(draft, stage, flow, step, bias, target.clamp(-limit, limit), residual)
    added = None if residual is None else residual.raw
    output = reference.drain(layer, flow.raw.reshape(len(flow.raw), -1), found.sums, added)
    measures = measure(layer, stage.kind, found, output, flow.low < 0, to_pixels(target), clipped)
    return layer, Flow(target, output, layer.scale, layer.low, layer.high), measures


def integer_weights(stage: Stage, flow: Flow, settings: Settings) -> tuple[Ints, Reals, int]:
    """Weights in a Layer's order, the real value of a step for each output channel, and how many weights were cut."""
    if stage.diagonal:
        weights = stage.weight.sign().long().numpy()
        step = stage.weight.abs().amax(dim=(1, 2, 3)).numpy()
    else:
        rows = partial(calibration_rows, stage, flow, settings)
        weights, step = settings.quantizer(
            stage.weight.numpy(), replace(settings.options, limit=settings.weight_limit, rows=rows)
        )
    limit = settings.weight_limit
    clipped = int((np.abs(weights) > limit).sum())
    return np.ascontiguousarray(np.clip(weights, -limit, limit).transpose(0, 2, 3, 1)), step, clipped


def calibration_rows(stage: Stage, flow: Flow, settings: Settings) -> Rows:
    """What the stage's weights are multiplied with: the float network's inputs, and the counts that the machine will make.

    The step is the one asked for; weights that come out so large that an accumulator needs a coarser one are rare.
    """
    activation = choose_activation(stage, flow, settings, np.zeros((1, 1, 1, 1), np.int64))
    flat = flow.raw.reshape(len(flow.raw), -1)
    counts = streaming.counts(flat, activation)[0].reshape(flow.raw.shape)
    units = count_units(activation, flow)[:, None, None, None]
    quantized = torch.from_numpy(counts * units).float().permute(0, 3, 1, 2)
    chosen = [stage.shaped(values) for values in (quantized, flow.real)]
    kernel = (stage.weight.shape[2], stage.weight.shape[3])
    groups = len(stage.weight) if stage.elementwise else 1
    return sample_rows(chosen[0], chosen[1], kernel, stride=stage.stride, padding=stage.padding, groups=groups)


def choose_activation(stage: Stage, flow: Flow, settings: Settings, weights: Ints) -> Activation:
    """The quantizer of the layer's input: exact for diagonal stages, as fine as the accumulator holds where asked, else by K."""
    if stage.diagonal:
        return Activation()
    if settings.fine or settings.activations == "bypass":
        bypass = Activation()
        return (
            bypass
            if fits(weights, bypass, flow, settings)
            else finest("rounding", HALF, LARGEST_STEP, 0, weights, flow, settings)
        )
    if settings.activations == "aciq":
        step = clipping.step(settings.activation_bits, flow.low, flow.high)
        dead_zone = min(round(settings.dead_zone * ONE / step), COUNT_LIMIT)
        return finest("rounding", HALF, step, dead_zone, weights, flow, settings)
    mean = flow.mean
    k = settings.k_activations
    dead_zone = min(round(settings.dead_zone * mean / k), COUNT_LIMIT)
    residue = HALF if settings.activations == "rounding" else initial_residue(settings.options.xi)
    if settings.dynamic:
        samples = max(1, sample_count(k, prod(stage.input_shape)))
        return Activation(settings.activations, samples=samples, residue=residue, dead_zone=dead_zone)
    step = min(max(round(ONE * k / mean), 1), LARGEST_STEP) if mean else LARGEST_STEP
    return finest(settings.activations, residue, step, dead_zone, weights, flow, settings)


def _finite(stage: Stage) -> None:
    """Raise GaltonError for weights or biases that are not finite."""
    for what, values in (("weight", stage.weight), ("bias", stage.bias)):
        bad = torch.nonzero(~torch.isfinite(values))
        if len(bad):
            place = bad[0].tolist()
            raise GaltonError(
                f"{stage.name}: the {what} at {place} is {values[tuple(place)].item()}; repair or retrain that layer first"
            )


def fits(weights: Ints, activation: Activation, flow: Flow, settings: Settings) -> bool:
    """Whether no sum can pass the accumulator."""
    bounds = accumulator_bounds(weights, activation, flow.low, flow.high, COUNT_LIMIT)
    return int(bounds.max()) < 1 << (settings.accumulator_bits - 1)


def finest(mode: str, residue: int, step: int, dead_zone: int, weights: Ints, flow: Flow, settings: Settings) -> Activation:
    """The largest static step up to `step` for which no sum can pass the accumulator, by bisection; 1 where none is."""

    def made(step: int) -> Activation:
        return Activation(mode, step=step, residue=residue, dead_zone=dead_zone)

    low, high = 1, step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(weights, made(middle), flow, settings) else (low, middle - 1)
    return made(low)


def count_units(activation: Activation, flow: Flow) -> Reals:
    """The real value of a count of each input, (n,)."""
    if activation.dynamic:
        norms = streaming.effective_norms(flow.raw.reshape(len(flow.raw), -1), activation)
        return flow.scale * norms.astype(np.float64) / activation.samples
    return np.full(len(flow.raw), flow.scale * (1 if activation.mode == "bypass" else ONE / activation.step))


def closing(sums: Reals, target: NDArray[np.floating[Any]], step: Reals, *, scale: bool = True) -> tuple[Reals, Reals]:
    """Scale and bias of each channel that bring `sums` closest to the float network's, both (n, rows, columns, channels).

    A multiplier has no sign: a channel that runs against its target becomes its mean. One that never moves keeps `step`, as
    all do where no `scale` is asked for.
    """
    pairs = [values.reshape(-1, values.shape[-1]) for values in (sums, target)]
    count, parts = len(pairs[0]), range(0, len(pairs[0]), PIXELS)
    ones = np.ones(PIXELS)
    middle, wanted = (
        np.sum([ones[: count - first] @ values[first : first + PIXELS] for first in parts], axis=0) / count for values in pairs
    )
    if not scale:
        return step, wanted - step * middle
    variance, covariance = np.zeros_like(middle), np.zeros_like(middle)
    for first in parts:
        centred, aim = pairs[0][first : first + PIXELS] - middle, pairs[1][first : first + PIXELS]
        variance += np.einsum("nk,nk->k", centred, centred) / count
        covariance += np.einsum("nk,nk->k", centred, aim) / count
    moves = variance > STILL * middle**2
    fitted = np.where(moves, np.maximum(covariance, 0) / np.where(moves, variance, 1), step)
    return fitted, wanted - fitted * middle


def rescale(
    draft: Layer, stage: Stage, flow: Flow, step: Reals, bias: Reals, target: Tensor, residual: Flow | None = None
) -> Layer:
    """The layer with the scale and range of its raw output, and the integers that lead to it.

    The scale is the finest that holds the float network's calibration outputs, coarser only where 16-bit multipliers or 32-bit
    totals ask for it.
    """
    scale, low, high = output_range(stage, flow, target)
    bounds = accumulator_bounds(draft.weights, draft.activation, flow.low, flow.high, COUNT_LIMIT)
    activation = draft.activation
    while True:
        added = (0.0, 0) if residual is None else (residual.scale / scale, max(-residual.low, residual.high))
        try:
            if activation.dynamic:
                norm = prod(stage.input_shape) * max(-flow.low, flow.high)
                multipliers = step * flow.scale / (activation.samples * scale)
                dynamic = dynamic_rescaling(
                    multipliers, activation.samples, norm, bias / scale, bounds, residual=added, name=stage.name
                )
                integers = dynamic._asdict()
            else:
                multipliers = step * count_units(activation, flow)[0] / scale
                integers = rescaling(multipliers, bias / scale, bounds, residual=added, name=stage.name)._asdict()
            break
        except AccumulatorOverflow:
            scale *= COARSER
    raw_low = max(low, -round(-stage.low / scale)) if stage.low > -inf else low
    raw_high = min(high, round(stage.high / scale)) if stage.high < inf else high
    return replace(draft, low=raw_low, high=raw_high, scale=scale, **integers)


def output_range(stage: Stage, flow: Flow, target: Tensor) -> tuple[float, int, int]:
    """Scale and limits of the raw output: 0..255 where nothing negative can come, else -128..127."""
    positive = (
        stage.diagonal
        and stage.residual == NONE
        and flow.low >= 0
        and bool((stage.weight >= 0).all())
        and bool((stage.bias >= 0).all())
    )
    if plain(stage) and stage.residual == NONE:
        return flow.scale, 0 if stage.low == 0 else flow.low, flow.high
    return raw_range(float(target.min()), float(target.max()), signed=not positive and stage.low < 0)


def plain(stage: Stage) -> bool:
    """Whether raw values pass as they are, but for a clamp, zeros around them, or a max-pool."""
    if stage.kind not in ("identity", "selection"):
        return False
    return bool(((stage.weight == 0) | (stage.weight == 1)).all()) and not bool(stage.bias.any())


def raw_range(smallest: float, largest: float, *, signed: bool) -> tuple[float, int, int]:
    """The finest scale for which smallest..largest become raw integers, and their limits."""
    if signed:
        return max(largest / 127, -smallest / 128) or 1.0, -128, 127
    return largest / 255 or 1.0, 0, 255
