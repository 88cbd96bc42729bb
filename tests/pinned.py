"""The pinned vectors: for each case a network, its image, raw inputs and raw outputs. Run as a program, it writes them anew.

They change only with the format, with the parameters of a configuration, or with the numeric contract. Each of these is a new
FORMAT_VERSION once the format is released.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from networks import ODD, random_inputs, random_network
from oracle import run

from galton import storage
from galton.compiler import compile
from galton.config import Config

FOLDER = Path(__file__).parent / "vectors"
CASES = {
    "dense": (195, Config("dense", lanes=4)),
    "sparse": (20, Config("sparse", lanes=2, step_bits=2, table_words=2048)),
    "groups": (97, ODD["three-by-five"]),
    "vectors": (106, Config("vectors", groups=2, lanes=8)),
}
"""Seed and configuration of each case."""


def write() -> None:
    """Write every case."""
    FOLDER.mkdir(exist_ok=True)
    for name, (seed, config) in CASES.items():
        network = random_network(seed, config, layers=4, size=8, channels=9, operations=40_000)
        raw = random_inputs(seed, network, 3)
        storage.save(network, FOLDER / f"{name}.safetensors")
        (FOLDER / f"{name}.image").write_bytes(compile(network, config).image.to_bytes())
        np.save(FOLDER / f"{name}.inputs.npy", raw.astype(np.int16))
        np.save(FOLDER / f"{name}.outputs.npy", run(network, raw, config.count_bits).astype(np.int16))


if __name__ == "__main__":
    write()
