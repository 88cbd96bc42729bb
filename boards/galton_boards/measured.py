"""measured.json: what `galton build BOARD --record` found, one record a board."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from galton_boards.build import Build

FILE = "measured.json"
FIELDS = ("configuration", "digest", "clock", "fmax", "seed", "used", "available", "seconds", "tools")
"""Of a build record: what others can find again."""


def measured() -> dict[str, dict[str, Any]]:
    """The committed records by board."""
    return json.loads(files("galton_boards").joinpath(FILE).read_text())


def record(build: Build, file: Path) -> None:
    """Put a build's record into a file of records, in place of an earlier one of the board."""
    records = json.loads(file.read_text()) if file.exists() else {}
    values = asdict(build)
    records[build.board] = {name: values[name] for name in FIELDS}
    file.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n")
