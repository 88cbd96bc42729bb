"""`galton boards`: the boards that Galton knows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, table

EXAMPLE = """
galton boards
galton boards --json
"""
WIDE = 110
"""Columns of a terminal in which boards have their makers' names."""


@make_command("boards", EXAMPLE)
def command(as_json: bool) -> int:
    """List boards: memories and lanes of the core, clock, what place and route reached, and how far to trust it.

    Fmax is that of a whole board (core, link, pins) after routing, with the seed that was fastest; `galton build BOARD --seeds N`
    measures it again.
    """
    rows = facts()
    if as_json:
        emit(rows)
        return 0
    out = console()
    named = out.width >= WIDE
    columns = ("lanes>", "weights/KB>", "data/KB>", "clock/MHz>", "Fmax/MHz>", "maturity")
    shown = table("", "board", *[""] * named, "core", *columns)
    for row in rows:
        sizes = (f"{row['weight_bytes'] / 1024:.0f}", f"{row['data_bytes'] / 1024:.0f}")
        clocks = (f"{row['clock'] / 1e6:g}", f"{row['fmax']:.1f}" if row["fmax"] else "-")
        names = (row["name"], *[row["title"]] * named, row["configuration"])
        shown.add_row(*names, str(row["lanes"]), *sizes, *clocks, row["maturity"])
    out.print(shown)
    out.print("No board has been run yet: clocks are timing analysis. docs/boards.md says what was verified, and how.")
    for row in rows:
        if row["note"]:
            out.print(f"[bold]{row['name']}[/]: {row['note']}")
    return 0


def facts() -> list[dict[str, Any]]:
    """Every board's data, its core's lanes and memories (bytes), and the committed Fmax in MHz or None."""
    from galton_boards.boards import boards
    from galton_boards.measured import measured

    records = measured()
    rows = []
    for board in boards().values():
        config, found = board.config, records.get(board.name)
        sizes = {
            "lanes": config.groups * config.lanes,
            "weight_bytes": config.groups * config.weight_words * config.entry_bits // 8,
            "data_bytes": config.data_bytes,
            "fmax": max(found["fmax"].values()) if found else None,
            "measured": found,
        }
        rows.append({**asdict(board), **sizes, "maturity": maturity(board, found)})
    return rows


def maturity(board: Any, found: dict[str, Any] | None) -> str:
    """How far a board has come; `found`: its committed record."""
    if board.experimental:
        return "experimental"
    if found is None or max(found["fmax"].values()) * 1e6 < board.clock:
        return "not routed"
    return "routed" if found["digest"] == f"{board.config.digest:08x}" else "older core"
