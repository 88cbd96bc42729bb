"""The clock that a latency is stated at."""

from __future__ import annotations

TARGETS = {"up5k": 24e6, "ecp5-25": 60e6, "ecp5-85": 60e6}
"""Hz that the named configurations are designed for; place and route must reach it (boards/galton_boards/limits.toml)."""
DEFAULT = 24e6


def clock(configuration: str) -> tuple[float, str]:
    """Hz, and where the number comes from."""
    if configuration in TARGETS:
        return TARGETS[configuration], f"the target clock of {configuration}"
    return DEFAULT, "an assumed clock"
