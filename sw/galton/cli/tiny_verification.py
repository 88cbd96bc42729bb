"""A kept network in the Verilog of a configuration, as a piece of work of the bench."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from galton.bench.tiny.machine import Placed
from galton.config import Config
from galton.errors import GaltonError

Row = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A network on a configuration, and the digest of its Verilog."""

    placed: Placed
    verilog: str

    @property
    def key(self) -> str:
        """A name that only equal work of equal source, the hardware's too, shares."""
        return hashlib.sha256(f"{self.placed.key} {self.verilog}".encode()).hexdigest()[:20]


def digest(config: Config) -> str:
    """Of the Verilog of a configuration."""
    from galton_sim.simulate import core_text

    return hashlib.sha256(core_text(config).encode()).hexdigest()


def measure(check: Check, threads: int = 1) -> Row:
    """How Verilog compares with the models; `failure` where it does not run at all.

    mismatches: inferences with another output; mispredictions: with another counter. late: of the first one, cycles from its
    first word to its last beyond those predicted. speed: simulated cycles in a second.
    """
    from galton import cycles
    from galton.cli.verification import verify

    placed = check.placed
    row: Row = {"key": check.key, "network": placed.trial.network, "trial": placed.trial.key, "configuration": placed.config.name}
    try:
        image = placed.image()
        raw = placed.trial.load()[1][: placed.inputs]
        found = verify(image, raw)
    except GaltonError as error:
        return {**row, "failure": str(error)}
    around = cycles.transfers(image) + cycles.profiling(image) + cycles.waking(image.config)
    totals = [sum(layer["cycles"] for layer in layers) for layers in found.profiles]
    return {
        **row,
        "inputs": len(raw),
        "mismatches": found.mismatches,
        "mispredictions": found.mispredictions,
        "late": found.cycles[0] - totals[0] - around,
        "cycles": sum(totals) / len(totals),
        "speed": found.speed,
    }


def agrees(row: Row) -> bool:
    """Whether nothing differs."""
    return "failure" not in row and row["mismatches"] == row["mispredictions"] == row["late"] == 0
