"""What a quantizer reports: the paper's measures, layer by layer, and a table of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import reference
from galton.network import Ints, Layer

MEASURED = 128
"""Inputs that effective multiply-accumulates are counted on."""


@dataclass(frozen=True)
class LayerMeasures:
    """One layer on the calibration data.

    weight_bits, activation_bits: bits of the largest magnitude, without a sign; *_signed: with one, for weights always and for
    activations where some are negative. inputs: activations of one input. nonzero_weights, nonzero_activations: shares.
    weight_samples: sum of |weights|; activation_samples: mean sum of |counts| of an input. multiplies: multiply-accumulates
    of a dense machine, borders included; effective: share of them with both operands non-zero. error: of the outputs,
    ||quantized - float|| / ||float||. clipped: weights cut to the limit. saturated: counts cut to 8 bits.
    """

    name: str
    kind: str
    weight_bits: int
    weight_bits_signed: int
    activation_bits: int
    activation_bits_signed: int
    inputs: int
    nonzero_weights: float
    nonzero_activations: float
    weight_samples: int
    activation_samples: float
    multiplies: int
    effective: float
    error: float
    clipped: int
    saturated: int


def measure(
    layer: Layer,
    kind: str,
    found: reference.Sums,
    output: Ints,
    signed: bool,
    target: NDArray[np.floating[Any]],
    clipped: int,
) -> LayerMeasures:
    """The measures of `layer` from what it did with the calibration data; `target` is the float network's output."""
    weights, counts = np.abs(layer.weights), found.counts
    largest = max(int(counts.max(initial=0)), -int(counts.min(initial=0)))
    weight_bits, activation_bits = int(weights.max()).bit_length(), largest.bit_length()
    few = counts[:MEASURED]
    return LayerMeasures(
        layer.name,
        kind,
        weight_bits,
        weight_bits + 1,
        activation_bits,
        activation_bits + signed,
        prod(layer.input_shape),
        float((weights > 0).mean()),
        np.count_nonzero(counts) / counts.size,
        int(weights.sum()),
        float(np.abs(counts).sum() / len(counts)),
        layer.dense_operations,
        pairs(layer, few) / (len(few) * layer.dense_operations),
        float(np.linalg.norm(output * layer.scale - target) / max(float(np.linalg.norm(target)), 1e-30)),
        clipped,
        int(found.cut.sum()),
    )


def pairs(layer: Layer, counts: Ints) -> int:
    """Multiply-accumulates whose weight and count (n, rows, columns, channels) are both non-zero, over all inputs."""
    top, bottom, left, right = layer.padding
    present = np.pad((counts != 0).sum(axis=0), ((top, bottom), (left, right), (0, 0)))
    used = layer.weights != 0
    users = used[..., 0].transpose(1, 2, 0) if layer.elementwise else used.sum(axis=0)
    (rows, columns), (down, across) = layer.map_shape, layer.stride
    total = 0
    for y, x in np.ndindex(users.shape[:2]):
        reached = present[y : y + rows * down : down, x : x + columns * across : across]
        total += int(reached[:rows, :columns].sum(axis=(0, 1)) @ users[y, x])
    return total


class Report(dict[str, Any]):
    """Plain values for JSON that print as a table.

    layers: the LayerMeasures as dicts. weight_bits, activation_bits, with and without _signed: means over the layers, the paper's
    measure. nonzero_weights, nonzero_activations: shares over all layers together. effective: share of all multiply-accumulates.
    accuracy: share of right answers, where a labelled loader was given. options: what `quantize` was asked for.
    """

    @classmethod
    def of(cls, layers: list[LayerMeasures], weights: list[Ints], options: dict[str, Any], accuracy: float | None) -> Report:
        """The report about layers with these integer weights."""
        means = ("weight_bits", "weight_bits_signed", "activation_bits", "activation_bits_signed")
        values: dict[str, Any] = {name: float(np.mean([getattr(layer, name) for layer in layers])) for name in means}
        multiplies = sum(layer.multiplies for layer in layers)
        values["nonzero_weights"] = sum(int(np.count_nonzero(array)) for array in weights) / sum(array.size for array in weights)
        shares = sum(layer.nonzero_activations * layer.inputs for layer in layers)
        values["nonzero_activations"] = shares / sum(layer.inputs for layer in layers)
        values["multiplies"] = multiplies
        values["effective"] = sum(layer.effective * layer.multiplies for layer in layers) / multiplies
        if accuracy is not None:
            values["accuracy"] = accuracy
        return cls(layers=[asdict(layer) for layer in layers], **values, options=options)

    def __str__(self) -> str:
        head = (
            f"{'layer':<24}{'bits w':>11}{'bits a':>11}{'w != 0':>9}{'a != 0':>9}{'samples w':>12}{'samples a':>12}{'MACs':>13}"
        )
        lines = [f"{head}{'effective':>11}{'error':>8}"]
        for layer in self["layers"]:
            bits = [f"{layer[f'{name}_bits']}/{layer[f'{name}_bits_signed']}" for name in ("weight", "activation")]
            lines.append(
                f"{layer['name'][-23:]:<24}{bits[0]:>11}{bits[1]:>11}{layer['nonzero_weights']:>9.1%}{layer['nonzero_activations']:>9.1%}"
                f"{layer['weight_samples']:>12,}{layer['activation_samples']:>12,.0f}{layer['multiplies']:>13,}"
                f"{layer['effective']:>11.1%}{layer['error']:>8.3f}"
            )
        bits = [f"{self[f'{name}_bits']:.2f}/{self[f'{name}_bits_signed']:.2f}" for name in ("weight", "activation")]
        lines.append(
            f"{'all':<24}{bits[0]:>11}{bits[1]:>11}{self['nonzero_weights']:>9.1%}{self['nonzero_activations']:>9.1%}"
            f"{'':>24}{self['multiplies']:>13,}{self['effective']:>11.1%}"
        )
        lines.append("bits: without / with a sign, means over layers; effective: both operands non-zero; error: of the outputs")
        lines += [
            f"{layer['name']}: {layer['clipped']} weights cut to the largest magnitude"
            for layer in self["layers"]
            if layer["clipped"]
        ]
        lines += [f"{layer['name']}: {layer['saturated']} counts cut to 8 bits" for layer in self["layers"] if layer["saturated"]]
        if "accuracy" in self:
            lines.append(f"accuracy {self['accuracy']:.2%}")
        return "\n".join(lines)
