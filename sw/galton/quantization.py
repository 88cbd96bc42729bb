"""From a trained torch network to an integer network, without retraining: `quantize`, and the module that it returns."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from galton import budget as limits
from galton import calibration as data
from galton import choices, fitting, graphs, importer, lowering, quantizers, reference, scales
from galton.config import LARGEST_WEIGHT
from galton.errors import AcceleratorWarning, CalibrationError, GaltonError, UnsupportedLayer
from galton.importer import Head, Imported
from galton.input_grid import on_grid
from galton.lowering import Lowered
from galton.metrics import LayerMeasures, Report
from galton.network import NONE, Network
from galton.quantizers import Options

one_thread = partial(threadpool_limits, limits=1, user_api="blas")
"""NumPy's threads and torch's wait for each other in busy loops where both have several."""
BATCH = 256
"""Inputs that run at a time."""
ENGINES = ("auto", "accelerator", "graph")
ELSEWHERE = "Without the accelerator, galton.quantize(..., engine='graph') takes any graph"
INSTEAD = "It is quantized as a torch module instead; engine='accelerator' refuses such a network, engine='graph' asks for this"


class QuantizedModule(nn.Module):
    """Computes with a network's integers: float inputs and outputs of the shapes of the float network, exact integers between.

    network: the integer network, in (row, column, channel) order. Nothing here can be trained.
    """

    def __init__(
        self,
        network: Network,
        imported: Imported,
        output_map: tuple[int, int, int],
        measures: list[LayerMeasures],
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.input_shape, self.output_shape = imported.input_shape, imported.output_shape
        self.head: Head | None = imported.head
        self.output_map, self.measures, self.options = output_map, measures, options

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (n, ...) of real inputs as the network takes them, float32 on the inputs' device.

        Raises CalibrationError for a wrong shape and for values that are not finite.
        """
        values = data.check(inputs, "The input", self.input_shape)
        parts = [self.raw_outputs(part) for part in values.split(BATCH)] if len(values) else []
        raw = torch.cat(parts) if parts else torch.zeros(0, *self.output_map)
        outputs = (raw * self.network.output_scale).reshape(-1, *self.output_map).permute(0, 3, 1, 2)
        outputs = outputs.reshape(-1, *self.output_shape).float().to(inputs.device)
        return self.head(outputs) if self.head else outputs

    def raw_outputs(self, values: Tensor) -> Tensor:
        """The last layer's integers, (n, rows, columns, channels) as float64."""
        raw = reference.run(self.network, self.network.raw_input(data.to_pixels(values)))
        return torch.from_numpy(raw).double()

    def report(self, loader: Iterable[tuple[Tensor, Tensor]] | None = None) -> Report:
        """The measures of the layers on the calibration data; with batches of (inputs, labels), the accuracy too."""
        weights = [layer.weights for layer in self.network.layers]
        return Report.of(self.measures, weights, self.options, None if loader is None else self.accuracy(loader))

    def accuracy(self, loader: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Share of inputs whose largest output is that of their label.

        Raises CalibrationError where there are none.
        """
        right = count = 0
        for inputs, labels in loader:
            right += int((self(inputs).argmax(dim=1).cpu() == torch.as_tensor(labels).cpu()).sum())
            count += len(inputs)
        if count == 0:
            raise CalibrationError("There is nothing to measure the accuracy on: expected batches of (inputs, labels)")
        return right / count

    def extra_repr(self) -> str:
        return f"{self.network.name}: {len(self.network.layers)} integer layers"


def quantize(
    module: nn.Module,
    calibration: Any,
    *,
    method: str = "galton",
    k_weights: float | None = None,
    k_activations: float | None = None,
    xi: float = 0.5,
    seed: int | None = None,
    order: str = "channel_sign",
    norm: str = "channel",
    activations: str | None = None,
    activation_bits: int = 4,
    activation_clipping: str = "laplace",
    dynamic: bool = False,
    dead_zone: float | None = None,
    correct: bool | str = True,
    skip_first_activation: bool = True,
    skip_last_activation: bool = True,
    input_range: tuple[float, float] | None = None,
    input_shape: tuple[int, ...] | None = None,
    layers: Mapping[str, Mapping[str, Any]] | None = None,
    skip: str | Iterable[str] = (),
    budget: float | None = None,
    weight_limit: int = 7,
    wide_last: bool | None = None,
    accumulator_bits: int = 20,
    samples: int = 256,
    name: str | None = None,
    extra: Mapping[str, Any] | None = None,
    engine: str = "auto",
) -> QuantizedModule | graphs.EmulatedModule:
    """An integer network that does what `module` does, fitted layer after layer in order of execution; `module` stays as it is.

    Networks that the accelerator cannot run are quantized all the same, as a torch module of any graph that computes with the
    real values of its integers (galton.graphs): its `network` is None, and `compile` refuses it.

    Parameters
    ----------
    module: a trained network, however it is written, run in eval mode. The accelerator takes the layers in
        `operators.SUPPORTED`, in sequence.
    calibration: inputs as the network takes them: a tensor or array, for the accelerator (n, channels, rows, columns),
        (n, channels, columns) or (n, features); or an iterable of such batches, or of (inputs, labels) as a DataLoader gives.
        Several arguments are a tuple, within such a pair or alone in a tuple, or a dict: galton.calibration. A few hundred
        training inputs are enough.
        None, with engine="graph" and input_shape: no data at all. Weights only, against the moments of galton.quantizers.prior.
    method: how weights become integers, one of galton.quantizers.METHODS. "galton" is the best found, "mcq" Monte Carlo
        quantization as published. Settings that are None are the method's own, in galton.quantizers.DEFAULTS.
    k_weights, k_activations: samples for each weight and activation, K > 0: the step is mean |value| / K.
    xi, order, norm: as in galton.quantizers.mcq.hits; xi is also the offset of activations.
    seed: draw xi for each layer from it, as the paper does.
    activations: "monte_carlo" carries the remainder in walk order, "rounding" does not, "bypass" takes raw integers as they are,
        "aciq" clips them and rounds to 2^activation_bits levels: k_activations is not looked at, dead_zone is 0 unless given,
        "float", with engine="graph", leaves them alone.
    activation_bits, activation_clipping: of "aciq". 2 to 8 bits, a sign among them where there is one; clipped as is best for
        a "laplace" or "gauss" distribution, for the one that comes closer ("fit"), or at the largest value ("max").
    dynamic: the step of activations follows from the norm of the very input (the paper's way), not from calibration.
    dead_zone: activations below this many steps are dropped, 0 for none.
    correct: fit scale and bias of each output channel to the float network's outputs, by least squares in closed form; "mean"
        fits the bias alone, to the mean.
    skip_first_activation, skip_last_activation: raw integers into the first and the last layer with weights, or the finest step
        that its accumulators can hold. They cost little work and carry most of the loss.
    input_range: smallest and largest input; by default those of the calibration data; but see galton.input_grid.
    input_shape: of one input, where there is no calibration data.
    layers: by layer name or shell-like pattern, settings that replace the general ones: those of choices.BY_LAYER.
    skip: names or patterns of layers that stay in float, which the accelerator cannot do.
    budget: effective multiply-accumulates at most, as a share of the dense ones on calibration inputs. The method's knob, its K
        or its price of a non-zero, is then set for each layer, for the least summed error of their outputs (galton.budget).
    weight_limit: weights beyond are cut to it, and counted in the report. 7 is what a plane of 4 bits holds; a layer with larger
        ones takes two planes, up to 119, thus twice the memory and time. The paper does not cut: 119 comes closest.
    wide_last: the last layer with weights may take two planes whatever weight_limit says: it is small, and cutting it is dear.
    accumulator_bits: static steps are made coarser where a sum could pass this width.
    samples: inputs to calibrate with, at most. name: the network's; by default the module's class.
    extra: the method's own options, those of galton.quantizers.EXTRA.
    engine: "accelerator" refuses what the accelerator cannot run, before any work; "graph" takes any graph; "auto" is the
        accelerator where it can, else the graph, with an AcceleratorWarning that lists what keeps the network off it.

    Warns of calibration inputs on another scale than the network was trained on, of too few, of weights that stay in float.
    Raises UnsupportedLayer, CalibrationError, AccumulatorOverflow, GaltonError for options out of range.
    """
    patterns = [skip] if isinstance(skip, str) else list(skip)
    calibrated = calibration is not None
    options = choices.complete(
        {
            "method": method,
            "k_weights": k_weights,
            "k_activations": k_activations,
            "xi": xi,
            "seed": seed,
            "order": order,
            "norm": norm,
            "activations": activations if calibrated else activations or "float",
            "activation_bits": activation_bits,
            "activation_clipping": activation_clipping,
            "dynamic": dynamic,
            "dead_zone": dead_zone,
            "correct": correct,
            "skip_first_activation": skip_first_activation,
            "skip_last_activation": skip_last_activation,
            "layers": {key: dict(value) for key, value in (layers or {}).items()},
            "skip": patterns,
            "weight_limit": weight_limit,
            "wide_last": wide_last,
            "accumulator_bits": accumulator_bits,
            "samples": samples,
            "extra": dict(extra or {}),
            "calibrated": calibrated,
            "budget": budget,
        }
    )
    if engine not in ENGINES:
        raise GaltonError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if isinstance(module, QuantizedModule | graphs.EmulatedModule):
        raise GaltonError("The network is quantized already: quantize the float network it came from")
    if engine == "accelerator" and patterns:
        raise UnsupportedLayer("The accelerator has no float layers to skip to; use engine='graph', or no skip")
    if not calibrated and (engine == "accelerator" or options["activations"] != "float"):
        raise CalibrationError(
            "Without calibration data only weights can be quantized: galton.quantize(module, None, input_shape=..., "
            "engine='graph'), activations='float'. The ranges of activations need a few hundred inputs"
        )
    plain = graphs.plain(module)
    if calibrated:
        inputs = graphs.numbers(plain, calibration, samples, maps=engine == "accelerator")
    else:
        inputs = data.collect(data.synthetic(plain, input_shape, input_range), samples)
    graphs.check_finite(plain)
    if calibrated:
        scales.check(plain, inputs, input_range)
    reason = "The graph engine was asked for, by engine='graph'"
    if engine != "graph":
        try:
            imported, lowered = _for_accelerator(plain, inputs, options)
        except UnsupportedLayer as error:
            if engine == "accelerator":
                raise UnsupportedLayer(f"{error}\n{ELSEWHERE}") from None
            reason = str(error)
            warnings.warn(f"{reason}\n{INSTEAD}", AcceleratorWarning, stacklevel=2)
        else:

            def fitted(own: dict[str, Any]) -> QuantizedModule:
                return _integers(imported, lowered, inputs, own, input_range, name or type(module).__name__)

            with one_thread():
                return fitted(options) if budget is None else limits.kept(budget, options, fitted)

    def emulated(own: dict[str, Any]) -> graphs.EmulatedModule:
        return graphs.quantize(plain, inputs, own, reason, input_range)

    with one_thread():
        return emulated(options) if budget is None else limits.kept(budget, options, emulated)


def _for_accelerator(module: nn.Module, inputs: data.Inputs, options: dict[str, Any]) -> tuple[Imported, Lowered]:
    """The network's layers as the accelerator runs them.

    Raises UnsupportedLayer, listing everything that it cannot run.
    """
    if options["skip"]:
        raise UnsupportedLayer(f"The accelerator has no float layers, and skip leaves {', '.join(options['skip'])} in float")
    if options["activations"] == "float":
        raise UnsupportedLayer("The accelerator has no float activations")
    example = inputs.single
    if example is None:
        raise UnsupportedLayer(f"The accelerator takes one input, this network {len(inputs.leaves)}")
    imported = importer.load(module, example)
    if not 1 <= len(imported.input_shape) <= 3:
        raise UnsupportedLayer(f"The accelerator takes {data.SHAPES}, not {inputs.shape}")
    return imported, lowering.lower(imported.layers, imported.input_shape)


def _integers(
    imported: Imported,
    lowered: Lowered,
    inputs: data.Inputs,
    options: dict[str, Any],
    input_range: tuple[float, float] | None,
    name: str,
) -> QuantizedModule:
    """The integer network, layer after layer."""
    assert inputs.single is not None
    weighted = [stage for stage in lowered.stages if not stage.diagonal]
    names = [stage.name for stage in weighted]
    choices.check_layers(options["layers"], names)
    mean_work = sum(stage.multiplies for stage in weighted) / max(len(weighted), 1)

    chosen = []
    for stage in lowered.stages:
        own = choices.for_layer(options, stage.name)
        is_first, is_last = stage.name in names[:1], stage.name in names[-1:]
        settings = fitting.Settings(
            quantizers.named(own["method"]),
            Options(
                own["k_weights"],
                own["xi"],
                own["order"],
                own["norm"],
                work=stage.multiplies / mean_work if mean_work else 0.0,
                corrected=own["correct"],
                name=stage.name,
                extra=own["extra"],
            ),
            own["k_activations"],
            own["activations"],
            own["dynamic"],
            own["dead_zone"],
            own["correct"],
            (own["skip_first_activation"] and is_first) or (own["skip_last_activation"] and is_last),
            LARGEST_WEIGHT if own["wide_last"] and is_last else own["weight_limit"],
            own["accumulator_bits"],
            own["activation_bits"],
            own["activation_clipping"],
        )
        chosen.append(settings)
    values = on_grid(inputs.single, lowered.run) if input_range is None else inputs.single
    first = fitting.input_flow(values, input_range)
    flows: dict[int, fitting.Flow] = {0: first}
    fitted, measures = [], []
    for index, stage in enumerate(lowered.stages):
        after = _consumer(lowered, index + 1)
        consumer = None if after is None or lowered.stages[after].diagonal else chosen[after]
        residual = None if stage.residual == NONE else flows[stage.residual]
        # The machine has the norm of the last tensor only.
        settings = replace(chosen[index], dynamic=chosen[index].dynamic and stage.source == index)
        layer, flow, measured = fitting.fit(stage, flows[stage.source], settings, consumer, residual)
        flows[index + 1] = flow
        needed = {tensor for later in lowered.stages[index + 1 :] for tensor in (later.source, later.residual)}
        flows = {tensor: kept for tensor, kept in flows.items() if tensor in needed}
        fitted.append(layer)
        measures.append(measured)
    shape = (first.raw.shape[1], first.raw.shape[2], first.raw.shape[3])
    labels = {**options, "output_shape": list(imported.output_shape), "head": imported.head.operator if imported.head else None}
    inputs_of, residuals = tuple(stage.source for stage in lowered.stages), tuple(stage.residual for stage in lowered.stages)
    network = Network(name, shape, tuple(fitted), first.scale, first.low, first.high, labels, inputs_of, residuals)
    return QuantizedModule(network, imported, lowered.output_map, measures, options)


def _consumer(lowered: Lowered, tensor: int) -> int | None:
    """The only stage that takes a tensor, past those that leave it as it is; None for several, or where it is a residual."""
    users = [index for index, stage in enumerate(lowered.stages) if tensor in (stage.source, stage.residual)]
    if len(users) != 1 or lowered.stages[users[0]].residual == tensor:
        return None
    stage = lowered.stages[users[0]]
    return _consumer(lowered, users[0] + 1) if fitting.plain(stage) and stage.residual == NONE else users[0]
