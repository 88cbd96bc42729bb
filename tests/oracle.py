"""What a network computes, from the definitions alone: Python's integers and loops over taps."""

import numpy as np

from galton import arith
from galton.network import NONE, Ints, Layer, Network


def run(network: Network, raw: Ints, count_bits: int = 8) -> Ints:
    """Raw outputs (n, rows, columns, channels)."""
    return np.stack([_one(network, image, count_bits) for image in raw])


def _one(network: Network, values: Ints, count_bits: int) -> Ints:
    tensors = [values]
    for layer, taken, added in zip(network.layers, network.inputs, network.residuals, strict=True):
        residual = tensors[added] * layer.residual_multiplier if added != NONE else None
        tensors.append(_layer(layer, tensors[taken].reshape(layer.input_shape), residual, count_bits))
    return tensors[-1]


def _layer(layer: Layer, raw: Ints, residual: Ints | None, count_bits: int) -> Ints:
    activation, stream = layer.activation, raw.reshape(-1).tolist()
    norm, step, multiplier = arith.norm(stream, activation.dead_zone), activation.step, layer.multiplier.tolist()
    if activation.dynamic:
        step = arith.dynamic_step(norm, activation.samples)
        shifts = (norm, activation.samples, layer.norm_shift, layer.multiplier_shift)
        multiplier = [arith.dynamic_multiplier(m, *shifts) for m in multiplier]
    counts, _ = arith.quantize_stream(
        stream,
        bypass=activation.mode == "bypass",
        carry=activation.mode == "monte_carlo",
        step=step,
        residue=activation.residue,
        dead_zone=activation.dead_zone,
        count_bits=count_bits,
    )
    top, bottom, left, right = layer.padding
    padded = np.pad(np.array(counts).reshape(layer.input_shape), ((top, bottom), (left, right), (0, 0)))
    (rows, columns), (stride_y, stride_x) = layer.map_shape, layer.stride
    sums = np.zeros((rows, columns, len(layer.weights)), np.int64)
    for ky in range(layer.weights.shape[1]):
        for kx in range(layer.weights.shape[2]):
            seen = padded[ky:, kx:][: (rows - 1) * stride_y + 1 : stride_y, : (columns - 1) * stride_x + 1 : stride_x]
            if layer.elementwise:
                sums += seen * layer.weights[:, ky, kx, 0]
            else:
                sums += np.einsum("yxc,kc->yxk", seen, layer.weights[:, ky, kx])
    result = np.zeros_like(sums)
    for k in range(len(layer.weights)):
        stored = arith.stored_bias(int(layer.bias[k]), layer.shift)
        for y, x in np.ndindex(rows, columns):
            extra = 0 if residual is None else int(residual[y, x, k])
            result[y, x, k] = arith.requantize(
                int(sums[y, x, k]), multiplier[k], stored, layer.shift, layer.low, layer.high, extra
            )
    pool_y, pool_x = layer.pool
    return result.reshape(rows // pool_y, pool_y, columns // pool_x, pool_x, -1).max(axis=(1, 3))
