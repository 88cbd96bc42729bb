"""measured.json: what `galton build BOARD --record` found, one record a board."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galton.errors import GaltonError

if TYPE_CHECKING:
    from galton_boards.build import Build

FILE = "measured.json"
FIELDS = ("configuration", "digest", "clock", "fmax", "seed", "used", "available", "seconds", "tools")
"""Of a build record: what others can find again."""


def measured() -> dict[str, dict[str, Any]]:
    """The committed records by board."""
    return json.loads(files("galton_boards").joinpath(FILE).read_text())


def kept(file: Path) -> dict[str, dict[str, Any]]:
    """The records in a file by board, none where there is no file. Raises GaltonError for a file of anything else."""
    try:
        records = json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise GaltonError(f"{file} holds no build records: {error}. Name another file, or one that is not there yet") from error
    if not isinstance(records, dict):
        raise GaltonError(f"{file} holds no build records, but a {type(records).__name__}. Name another file")
    return records


def record(build: Build, file: Path) -> None:
    """Put a build's record into a file of records, in place of an earlier one of the board. Raises as `kept`."""
    records, values = kept(file), asdict(build)
    records[build.board] = {name: values[name] for name in FIELDS}
    file.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n")
