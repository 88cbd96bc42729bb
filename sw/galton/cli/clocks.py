"""The clock that a latency is stated at: what place and route is known to reach."""

from __future__ import annotations

import json
from pathlib import Path

import click

ASSUMED = 24e6
"""Hz of configurations that no device is known for."""


def clock(configuration: str, record: Path | None = None) -> tuple[float, str]:
    """Hz, and where the number comes from: a record that `python -m galton_boards.synth --output` wrote, or the committed floor.

    Raises click.UsageError for a file that is no such record.
    """
    found = recorded(record, configuration) if record is not None else None
    if found is not None and record is not None:
        return found, f"routed, in {record.name}"
    from galton_boards.device import DEVICES
    from galton_boards.limits import FLOOR, limits

    if configuration in DEVICES:
        return 1e6 * limits(configuration)[FLOOR], "the least that place and route may give (limits.toml)"
    return ASSUMED, "an assumed clock"


def routed(configuration: str) -> bool:
    """Whether there is a device that the configuration is placed and routed on."""
    from galton_boards.device import DEVICES

    return configuration in DEVICES


def recorded(record: Path, configuration: str) -> float | None:
    """Hz of a configuration in a record; None where it is not in there."""
    try:
        reports = {report["name"]: report["corrected"] for report in json.loads(record.read_text())}
    except (ValueError, TypeError, KeyError) as error:
        raise click.UsageError(f"{record} is no record of `python -m galton_boards.synth --output`: {error}") from error
    return 1e6 * reports[configuration] if configuration in reports else None
