"""How small a quantized network's weights could be at rest: `python tools/weight_entropy.py NETWORK.galtonq...`.

For each network, as packed for up5k with memories as large as it takes: kilobytes as stored, under an ideal code of the lanes by
their frequencies in each layer, and under a simple one, a bit for zero and else a bit and the lane.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from galton import storage
from galton.compiler import compile, dry_run
from galton.compiler.advice import DEPTHS
from galton.config import CONFIGS
from galton.decode import decode_entries
from galton.network import Ints

UP5K = CONFIGS["up5k"]


def sizes(layers: list[Ints]) -> dict[str, float]:
    """Kilobytes by code of the lanes of each layer, signed and as wide as a plane."""
    ideal = simple = 0.0
    for lanes in layers:
        _, counts = np.unique(lanes, return_counts=True)
        ideal -= float((counts * np.log2(counts / counts.sum())).sum())
        simple += lanes.size + UP5K.weight_bits * np.count_nonzero(lanes)
    stored = UP5K.weight_bits * sum(lanes.size for lanes in layers)
    return {name: bits / 8 / 1024 for name, bits in (("stored", stored), ("ideal", ideal), ("simple", simple))}


def main(paths: list[str]) -> None:
    """Print a line for each network."""
    room = UP5K.weight_words * UP5K.entry_bits / 8 / 1024
    for path in paths:
        network = storage.load(Path(path))[0]
        memory = dry_run(network, UP5K).memory
        large = replace(UP5K, **{DEPTHS[use.name]: max(use.used, use.available) for use in memory})
        lanes, _ = decode_entries(compile(network, large).image.chunks[0], UP5K)
        ends = np.cumsum([amount for _, amount in memory[0].layers])[:-1]
        found = sizes(np.split(lanes, ends))
        zeros = 100 * np.mean(lanes == 0)
        numbers = ", ".join(f"{name} {size:.1f} KB" for name, size in found.items())
        print(f"{network.name}: {numbers}; up5k has {room:.0f} KB; {zeros:.0f} % of the lanes are zero")


if __name__ == "__main__":
    main(sys.argv[1:])
