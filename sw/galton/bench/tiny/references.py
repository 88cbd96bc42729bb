"""Published latencies, and the goals: data of references.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("ic", "kws", "vww", "ad")


@dataclass(frozen=True)
class Reference:
    """Somebody's latencies in ms by task, None for those that are not known, and where they are published."""

    name: str
    source: str
    milliseconds: dict[str, float | None]


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files("galton.bench.tiny").joinpath("references.toml").read_text())


def references() -> list[Reference]:
    """Everybody's."""
    return [Reference(row["name"], row["source"], {name: row.get(name) for name in NAMES}) for row in _data()["reference"]]


def goal(configuration: str, task: str) -> float | None:
    """What a task's latency in ms is to be at most on a configuration; None where there is no goal."""
    found: float | None = _data()["goals"].get(configuration, {}).get(task)
    return found
