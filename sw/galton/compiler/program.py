"""The program of an image: a stored network's geometry and numbers as NETWORK, LAYER, ROW and CHANNEL records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from galton.arith import stored_bias
from galton.compiler.geometry import Geometry
from galton.compiler.pack import record
from galton.compiler.place import Placement
from galton.errors import FitError
from galton.format import CHANNEL, LAYER, NETWORK, ROW, SHIFTS
from galton.image import Words
from galton.network import NONE, Layer, Network


def assemble(network: Network, geometries: list[Geometry], bases: list[dict[int, int]], placement: Placement) -> Words:
    """The words of a stored network's program; `bases` are the addresses of each layer's row phases."""
    header = {
        "input_base": placement.tensors[0],
        "norm_dead_zone": network.layers[0].activation.dead_zone,
        "signed_input": int(network.signed(0)),
        "output_base": placement.tensors[-1],
        "input_words": placement.words[0],
        "output_words": placement.words[-1],
        "profile_base": placement.profile,
    }
    words = record(NETWORK, header, network.name)
    for index, (geometry, base) in enumerate(zip(geometries, bases, strict=True)):
        words += record(LAYER, _layer(network, index, geometry, placement), geometry.layer.name)
        for row in _rows(geometry, base):
            words += record(ROW, row, geometry.layer.name)
        for channel in _channels(geometry.layer):
            words += record(CHANNEL, channel, geometry.layer.name)
    assert len(words) <= placement.fixed
    return np.array(words, np.uint32)


def _layer(network: Network, index: int, geometry: Geometry, placement: Placement) -> dict[str, int]:
    """The fields of LAYER."""
    layer, taken, added = geometry.layer, network.inputs[index], network.residuals[index]
    following = network.layers[index + 1 : index + 2]
    pooled = layer.pool != (1, 1)
    return {
        **_quantizer(layer),
        **_scan(layer, geometry),
        "last": int(not following),
        "signed_input": int(network.signed(taken)),
        "input_base": placement.tensors[taken],
        "output_base": placement.tensors[index + 1],
        "norm_dead_zone": following[0].activation.dead_zone if following else 0,
        "output_rows": layer.map_shape[0],
        "output_columns": layer.map_shape[1] - 1,
        "signed_output": int(layer.signed),
        "residual": int(added != NONE),
        "residual_base": placement.tensors[added] if added != NONE else 0,
        "signed_residual": int(added != NONE and network.signed(added)),
        "residual_multiplier": layer.residual_multiplier,
        "group_channels": geometry.group_channels,
        "output_channels": len(layer.weights),
        "shift": SHIFTS.index(layer.shift),
        "low": layer.low,
        "high": layer.high,
        "pooled": int(pooled),
        "pool_y": layer.pool[0] - 1,
        "pool_x": layer.pool[1] - 1,
    }


def _quantizer(layer: Layer) -> dict[str, int]:
    """The fields that turn raw activations into counts, and rescale where that is dynamic."""
    activation = layer.activation
    return {
        "bypass": int(activation.mode == "bypass"),
        "carry": int(activation.mode == "monte_carlo"),
        "dynamic": int(activation.dynamic),
        "step": 0 if activation.dynamic else activation.step,
        "residue": activation.residue,
        "samples": activation.samples,
        "dead_zone": activation.dead_zone,
        "norm_shift": layer.norm_shift,
        "multiplier_shift": layer.multiplier_shift,
    }


def _scan(layer: Layer, geometry: Geometry) -> dict[str, int]:
    """The fields of scan, walk and accumulators."""
    ring_rows = ring(geometry)
    return {
        "stride_x": layer.stride[1] - 1,
        "input_rows": layer.input_shape[0],
        "input_columns": layer.input_shape[1] - 1,
        "input_channels": layer.input_shape[2] - 1,
        "advance": geometry.advance,
        "short": geometry.short,
        "fewer": geometry.fewer,
        "late": geometry.late,
        "channel_stride_long": geometry.kernel_rows * geometry.pitch,
        "channel_stride_short": (geometry.kernel_rows - 1) * geometry.pitch,
        "entries_long": geometry.entries_long,
        "entries_short": geometry.entries_short,
        "pitch": geometry.pitch,
        "two_planes": geometry.planes - 1,
        "elementwise": int(layer.elementwise),
        "accumulator_start": geometry.start,
        "accumulator_skip": geometry.vectors,
        "row_words": geometry.row_words,
        "ring_rows": ring_rows,
        "ring_words": ring_rows * geometry.row_words,
        "left_words": geometry.left * geometry.vectors,
        "right_words": geometry.right * geometry.vectors,
        "vectors": geometry.vectors - 1,
    }


def ring(geometry: Geometry) -> int:
    """Rows of the accumulator ring: as many as there are, fit, and can be counted."""
    countable = LAYER.field("ring_rows").range[1]
    return min(geometry.layer.map_shape[0], geometry.config.accumulator_words // geometry.row_words, countable)


def _rows(geometry: Geometry, bases: dict[int, int]) -> Iterator[dict[str, int]]:
    """The fields of each ROW. Raises FitError where several output rows see nothing but padding above the input."""
    if geometry.done_at_once > 1:
        name, padding = geometry.layer.name, geometry.layer.padding[0]
        raise FitError(
            f"{name}: {geometry.done_at_once} output rows see only the padding of {padding} rows above the input, at most 1 may. "
            "What would help: fewer rows of padding"
        )
    for walk in geometry.walks:
        base = bases[walk.phase] + walk.skipped * geometry.pitch if walk.segments else 0
        yield {"weight_base": base, "segments": walk.segments, "short": int(walk.short), "done": walk.done}


def _channels(layer: Layer) -> Iterator[dict[str, int]]:
    """The fields of each CHANNEL."""
    for bias, multiplier in zip(layer.bias.tolist(), layer.multiplier.tolist(), strict=True):
        yield {"bias": stored_bias(bias, layer.shift), "multiplier": multiplier}
