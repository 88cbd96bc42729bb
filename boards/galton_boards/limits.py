"""The committed ceilings for cells and floors for clocks, by configuration and by board."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files

FLOOR = "corrected_mhz"


def limits(name: str) -> dict[str, float]:
    """Ceilings (cells by kind) and floor (corrected_mhz) of a configuration or a board. Raises KeyError where it has none."""
    return tomllib.loads(files("galton_boards").joinpath("limits.toml").read_text())[name]


def broken(name: str, used: Mapping[str, int], mhz: float) -> list[str]:
    """Each limit that cells and a clock break, in words."""
    found = []
    for kind, limit in limits(name).items():
        if kind == FLOOR:
            if mhz < limit:
                found.append(f"{name}: {mhz} MHz is below {limit}")
        elif used[kind] > limit:
            found.append(f"{name}: {used[kind]} {kind} is above {limit}")
    return found
