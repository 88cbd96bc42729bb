"""Writes docs/format.md and registers of docs/buses.md from galton.format, or says with --check whether they are right."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from galton import config
from galton import format as records
from galton.format import Record

DOCS = Path(__file__).parents[1] / "docs"
TARGET, BUSES = DOCS / "format.md", DOCS / "buses.md"
BEGIN, END = "<!-- registers -->\n", "<!-- end of registers -->\n"


def table(record: Record) -> list[str]:
    """A record as a Markdown table, one line per field, low bits first."""
    lines = [
        f"### {record.name}: {record.words} word{'s' if record.words > 1 else ''}",
        "",
        "| word | bits | field | meaning |",
        "|---:|---|---|---|",
    ]
    for word in range(record.words):
        for field, bit in record.in_word(word):
            bits = str(bit) if field.bits == 1 else f"{bit + field.bits - 1}:{bit}"
            sign = " (signed)" if field.signed else ""
            lines.append(f"| {word} | {bits} | `{field.name}` | {field.doc}{sign} |")
    return [*lines, ""]


def document() -> str:
    """The whole of docs/format.md."""
    found = [value for value in vars(records).values() if isinstance(value, Record)]
    lines = [
        f"# Formats, version {records.FORMAT_VERSION}",
        "",
        "Generated from `sw/galton/format.py` and `sw/galton/config.py` by `tools/format_tables.py`; a test keeps it up to date.",
        "",
        "## Records",
        "Fields are packed low bits first into 32-bit words; no field crosses a word; signed fields are two's complement.",
        f"A *shift* field is an index into {records.SHIFTS}.",
        "",
    ]
    for record in found:
        lines += table(record)
    lines += ["## Registers", "", "Addresses count 32-bit registers.", "", "| address | register |", "|---:|---|"]
    lines += [f"| {address} | `{name}` |" for name, address in records.REGISTERS.items()]
    lines += [
        "",
        f'`identity` reads {records.IDENTITY:#010x} ("GALT"). `POSITION.select` is {records.MEMORY_DATA} for the data memory, '
        f"{records.MEMORY_WEIGHTS} + g for the weights and {records.MEMORY_TABLE} + g for the segment table of group g.",
        "",
        "Registers of the host link ([link.md](link.md)): "
        + ", ".join(f"{address} is `{name}`" for name, address in records.LINK_REGISTERS.items())
        + ".",
        "",
        "## Image file",
        "",
        "| offset | bytes | header |",
        "|---:|---:|---|",
        f"| 0 | 8 | magic {records.MAGIC!r} |",
        "| 8 | 2 | format version |",
        "| 10 | 2 | sections |",
        "| 12 | 4 | configuration digest |",
        "| 16 | 8 | bytes of the whole file |",
        "| 24 | 4 | zero |",
        "| 28 | 4 | CRC-32 of the 28 bytes before |",
        "",
        f"A row of {records.SECTION_BYTES} bytes per section follows: kind (2), index (2), offset (8), bytes (4), CRC-32 of the "
        "section (4); then the CRC-32 of the rows. All numbers are little end first.",
        "",
        "| kind | section |",
        "|---:|---|",
    ]
    lines += [
        f"| {value} | {name.removeprefix('SECTION_').lower()} |"
        for name, value in vars(records).items()
        if name.startswith("SECTION_") and name != "SECTION_BYTES"
    ]
    lines += [
        "",
        "## Named configurations",
        "",
        "| | " + " | ".join(config.CONFIGS) + " |",
        "|---" * (len(config.CONFIGS) + 1) + "|",
    ]
    names = [name for name in vars(config.CONFIGS["up5k"]) if name != "name"]
    lines += [
        f"| {name} | " + " | ".join(str(getattr(value, name)) for value in config.CONFIGS.values()) + " |" for name in names
    ]
    lines += ["| digest | " + " | ".join(f"{value.digest:08x}" for value in config.CONFIGS.values()) + " |"]
    lines += ["", "Boards: " + ", ".join(f"{board} is {name}" for board, name in config.BOARDS.items()) + "."]
    return "\n".join(lines) + "\n"


def meaning(name: str) -> str:
    """What a register of REGISTERS or BUS_REGISTERS shows or takes."""
    shown = {"status": records.STATUS, "control": records.CONTROL, "memory_position": records.POSITION, "queue": records.QUEUE}
    others = {
        "identity": f'{records.IDENTITY:#010x}, "GALT"',
        "digest": "of the configuration: that of every image which fits",
        "memory_data": "the word at the position, which moves on; while the core is disabled",
        "input": "a word of an input",
        "output": "a word of an output, which leaves the queue",
        **{field.name: field.doc for field in records.PROFILE.fields},
    }
    if name in others:
        return others[name]
    parts = []
    for field, bit in shown[name].in_word(0):
        bits = f"bit {bit}" if field.bits == 1 else f"bits {bit + field.bits - 1}:{bit}"
        parts.append(f"{bits} `{field.name}`: {field.doc}")
    return "; ".join(parts)


def buses() -> str:
    """docs/buses.md with the table of registers between BEGIN and END as it should be."""
    before, rest = BUSES.read_text().split(BEGIN)
    lines = ["| byte address | register | access | bus | meaning |", "|---:|---|---|---|---|"]
    for name, number in (records.REGISTERS | records.BUS_REGISTERS).items():
        access = "write" if name == "input" else "read, write" if name in records.WRITABLE else "read"
        bus = "Wishbone" if name in records.BUS_REGISTERS else "both"
        lines.append(f"| {number * records.WORD_BYTES:#04x} | `{name}` | {access} | {bus} | {meaning(name)} |")
    return before + BEGIN + "\n".join(lines) + "\n" + END + rest.split(END)[1]


def main() -> int:
    """Write, or check and return 1 where a file is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for target, text in ((TARGET, document()), (BUSES, buses())):
        if not check:
            target.write_text(text)
        elif target.read_text() != text:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
