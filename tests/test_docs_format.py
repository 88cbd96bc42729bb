"""docs/format.md says what galton.format says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from galton import format as records

ROOT = Path(__file__).parents[1]


def test_the_tables_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "tools/format_tables.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run tools/format_tables.py"


def test_every_field_and_register_is_in_the_tables() -> None:
    text = (ROOT / "docs" / "format.md").read_text()
    found = [value for value in vars(records).values() if isinstance(value, records.Record)]
    assert len(found) >= 7
    for record in found:
        assert f"### {record.name}: {record.words} word" in text
        for field in record.fields:
            word, bit = record.places[field.name]
            bits = f"{bit + field.bits - 1}:{bit}" if field.bits > 1 else str(bit)
            assert f"| {word} | {bits} | `{field.name}` | {field.doc}" in text
    for name, address in records.REGISTERS.items():
        assert f"| {address} | `{name}` |" in text
