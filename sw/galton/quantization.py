"""From a trained torch network to an integer network, without retraining: `quantize`, and the module that it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from galton import calibration as data
from galton import fitting, importer, lowering, quantizers, reference
from galton.errors import CalibrationError, GaltonError
from galton.importer import Head, Imported
from galton.metrics import LayerMeasures, Report
from galton.network import Network
from galton.quantizers import Options
from galton.quantizers.mcq import NORMS
from galton.quantizers.walk import ORDERS

BATCH = 256
"""Inputs that run at a time."""
LARGEST_WEIGHT = 119
"""What two planes of 4 bits hold."""
ACTIVATIONS = ("monte_carlo", "rounding", "bypass")


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
        """Outputs (n, ...) of real inputs (n, channels, rows, columns) or (n, features), float32 on the inputs' device.

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
    method: str = "mcq",
    k_weights: float = 1.5,
    k_activations: float = 2.0,
    xi: float = 0.5,
    order: str = "channel_sign",
    norm: str = "channel",
    activations: str = "monte_carlo",
    dynamic: bool = False,
    dead_zone: float = 0.0,
    correct: bool = True,
    skip_first_activation: bool = True,
    skip_last_activation: bool = True,
    input_range: tuple[float, float] | None = None,
    layers: Mapping[str, Mapping[str, float]] | None = None,
    weight_limit: int = 7,
    wide_last: bool = True,
    accumulator_bits: int = 20,
    samples: int = 512,
    name: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> QuantizedModule:
    """An integer network that does what `module` does, fitted layer after layer in order of execution; `module` stays as it is.

    Parameters
    ----------
    module: a trained network of the layers in `operators.SUPPORTED`, in sequence, however it is written; run in eval mode.
    calibration: inputs as the network takes them: a tensor or array (n, channels, rows, columns) or (n, features), or an iterable
        of such batches, or of (inputs, labels) as a DataLoader gives. A few hundred training inputs are enough.
    method: how weights become integers, one of galton.quantizers.METHODS. "mcq" is Monte Carlo quantization as published.
    k_weights, k_activations: samples for each weight and activation, K > 0: the step is mean |value| / K.
    xi, order, norm: as in galton.quantizers.mcq.hits; xi is also the offset of activations.
    activations: "monte_carlo" carries the remainder in walk order, "rounding" does not, "bypass" takes raw integers as they are.
    dynamic: the step of activations follows from the norm of the very input (the paper's way), not from calibration.
    dead_zone: activations below this many steps are dropped, 0 for none.
    correct: fit scale and bias of each output channel to the float network's outputs, by least squares in closed form.
    skip_first_activation, skip_last_activation: raw integers into the first and the last layer with weights, or the finest step
        that its accumulators can hold. They cost little work and carry most of the loss.
    input_range: smallest and largest input; by default those of the calibration data.
    layers: by layer name, "k_weights" and "k_activations" that replace the general ones.
    weight_limit: weights beyond are cut to it, and counted in the report. 7 is what a plane of 4 bits holds; a layer with larger
        ones takes two planes, up to 119, thus twice the memory and time. The paper does not cut: 119 comes closest.
    wide_last: the last layer with weights may take two planes whatever weight_limit says: it is small, and cutting it is dear.
    accumulator_bits: static steps are made coarser where a sum could pass this width.
    samples: inputs to calibrate with, at most. name: the network's; by default the module's class. extra: for other methods.

    Raises UnsupportedLayer, CalibrationError, AccumulatorOverflow, GaltonError for options out of range.
    """
    options: dict[str, Any] = {
        "method": method,
        "k_weights": k_weights,
        "k_activations": k_activations,
        "xi": xi,
        "order": order,
        "norm": norm,
        "activations": activations,
        "dynamic": dynamic,
        "dead_zone": dead_zone,
        "correct": correct,
        "skip_first_activation": skip_first_activation,
        "skip_last_activation": skip_last_activation,
        "layers": {key: dict(value) for key, value in (layers or {}).items()},
        "weight_limit": weight_limit,
        "wide_last": wide_last,
    }
    _check(options, samples, accumulator_bits)
    quantizer = quantizers.named(method)
    inputs = data.gather(calibration, samples)
    imported = importer.load(module, inputs)
    lowered = lowering.lower(imported.layers, imported.input_shape)
    weighted = [stage.name for stage in lowered.stages if not stage.diagonal]
    _check_layers(options["layers"], weighted)

    flow = first = fitting.input_flow(inputs, input_range)
    fitted, measures = [], []
    for stage in lowered.stages:
        own = {"k_weights": k_weights, "k_activations": k_activations, **options["layers"].get(stage.name, {})}
        settings = fitting.Settings(
            quantizer,
            Options(own["k_weights"], xi, order, norm, extra=extra or {}),
            own["k_activations"],
            activations,
            dynamic,
            dead_zone,
            correct,
            (skip_first_activation and stage.name in weighted[:1]) or (skip_last_activation and stage.name in weighted[-1:]),
            LARGEST_WEIGHT if wide_last and stage.name in weighted[-1:] else weight_limit,
            accumulator_bits,
        )
        layer, flow, measured = fitting.fit(stage, flow, settings)
        fitted.append(layer)
        measures.append(measured)
    shape = (first.raw.shape[1], first.raw.shape[2], first.raw.shape[3])
    labels = {**options, "output_shape": list(imported.output_shape), "head": imported.head.operator if imported.head else None}
    network = Network(name or type(module).__name__, shape, tuple(fitted), first.scale, first.low, first.high, labels)
    return QuantizedModule(network, imported, lowered.output_map, measures, options)


def _check(options: Mapping[str, Any], samples: int, accumulator_bits: int) -> None:
    """Raise GaltonError for an option out of range."""
    rates = [("k_weights", options["k_weights"]), ("k_activations", options["k_activations"])]
    for layer, own in options["layers"].items():
        unknown = set(own) - {"k_weights", "k_activations"}
        if unknown:
            raise GaltonError(f"layers[{layer!r}] has {', '.join(sorted(unknown))}; it takes k_weights and k_activations")
        rates += [(f"{key} of {layer}", value) for key, value in own.items()]
    for key, value in rates:
        if not (isinstance(value, int | float) and 0 < value < float("inf")):
            raise GaltonError(f"{key} must be a positive number, not {value!r}")
    for key, allowed in (("order", ORDERS), ("norm", NORMS), ("activations", ACTIVATIONS)):
        if options[key] not in allowed:
            raise GaltonError(f"{key} must be one of {', '.join(allowed)}, not {options[key]!r}")
    if not 0 <= options["xi"] < 1:
        raise GaltonError(f"xi must be at least 0 and less than 1, not {options['xi']!r}")
    if not 0 <= options["dead_zone"] < float("inf"):
        raise GaltonError(f"dead_zone must be 0 or more steps, not {options['dead_zone']!r}")
    if options["dynamic"] and options["activations"] == "bypass":
        raise GaltonError("activations='bypass' takes no samples, so dynamic must be False")
    for key, value, low, high in (
        ("weight_limit", options["weight_limit"], 1, LARGEST_WEIGHT),
        ("samples", samples, 1, 1 << 20),
        ("accumulator_bits", accumulator_bits, 17, 32),
    ):
        if not (isinstance(value, int) and low <= value <= high):
            raise GaltonError(f"{key} must be an integer in {low}..{high}, not {value!r}")


def _check_layers(layers: Iterable[str], known: list[str]) -> None:
    """Raise GaltonError for settings of a layer that has no weights or is not there."""
    for layer in layers:
        if layer not in known:
            raise GaltonError(f"There is no layer {layer!r} with weights; the network has {', '.join(known) or 'none'}")
