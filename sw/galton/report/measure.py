"""What a network did with inputs, layer by layer, from the integer network's trace and the hardware's counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from galton import reference
from galton.compiler import CompiledNetwork
from galton.metrics import pairs
from galton.network import Ints, Layer, Network
from galton.report.facts import LayerFacts, MemoryFacts
from galton.roofline import LayerCycles
from galton.summary import memories


def measure(
    network: Network,
    compiled: CompiledNetwork,
    raw: Ints,
    profiles: Sequence[dict[str, float]],
    timings: Sequence[LayerCycles],
) -> list[LayerFacts]:
    """Facts of every layer.

    network: as quantized, before padding. raw: inputs (n, rows, columns, channels) for the histograms. profiles: mean counters of
    each layer; timings: where its cycles went.
    """
    traces = reference.trace(network, raw, count_bits=compiled.config.count_bits)
    proofs = compiled.certificates
    parts = zip(network.layers, traces, profiles, timings, proofs, strict=True)
    return [facts(layer, trace.counts, profile, timing, certificate(proof)) for layer, trace, profile, timing, proof in parts]


def facts(layer: Layer, counts: Ints, profile: dict[str, float], timing: LayerCycles, proof: dict[str, Any]) -> LayerFacts:
    """Facts of one layer, whose input counts are (n, rows, columns, channels)."""
    return LayerFacts(
        name=layer.name,
        shape="x".join(map(str, layer.output_shape[2:] if layer.output_shape[:2] == (1, 1) else layer.output_shape)),
        bits=weight_bits(layer),
        nonzero_weights=float((layer.weights != 0).mean()),
        nonzero_counts=float((counts != 0).mean()),
        weight_hits=np.bincount(np.abs(layer.weights).reshape(-1)).tolist(),
        count_hits=np.bincount(np.abs(counts).reshape(-1)).tolist(),
        operations=layer.dense_operations,
        work=work(layer, counts),
        timing=timing,
        events=profile["events"],
        entries=profile["entries"],
        certificate=proof,
    )


def certificate(proof: Any) -> dict[str, Any]:
    """A certificate's numbers under the names that the page shows."""
    values = asdict(proof)
    return {
        "largest |acc|": values["bound"],
        "bits": values["width"],
        "spare bits": values["margin"],
        "largest count": values["count"],
        "largest |total|": values["total"],
        "spare of 32": values["total_margin"],
    }


def weight_bits(layer: Layer) -> int:
    """Bits of a two's complement number that holds every weight of the layer, sign included."""
    return max(int(layer.weights.max()).bit_length(), int(-layer.weights.min() - 1).bit_length()) + 1


def work(layer: Layer, counts: Ints) -> float:
    """Multiply-accumulates of a mean inference whose weight and count are both non-zero."""
    return pairs(layer, counts) / len(counts)


def memory_facts(compiled: CompiledNetwork) -> list[MemoryFacts]:
    """Bytes by memory."""
    return [MemoryFacts(item["name"], item["used"], item["available"]) for item in memories(compiled.image)]
