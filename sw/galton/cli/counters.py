"""`galton counters`: what a board counted in its last inference."""

from __future__ import annotations

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, table
from galton.cli.ports import about, open_board, port_options, sentence

EXAMPLE = """
galton counters --port /dev/ttyUSB1
"""


@make_command("counters", EXAMPLE)
@port_options()
def command(port: str, baud: int, kind: str | None, as_json: bool) -> int:
    """Show what the board at --port counted in its last inference, all layers together, and its status."""
    from galton.format import PROFILE

    with open_board(port, baud, kind) as board:
        facts = {**about(board), "status": board.status(), "counters": board.counters()}
    if as_json:
        emit(facts)
        return 0
    out = console()
    out.print(sentence(facts))
    status = facts["status"]
    out.print(f"{'busy' if status['busy'] else 'at rest'}, {status['layer']} layers done{', saturated' * status['saturated']}")
    rows = table("Counters of the last inference", "counter", "value>", "")
    rows.columns[-1].no_wrap = False
    for field in PROFILE.fields:
        rows.add_row(field.name, f"{facts['counters'][field.name]:,}", field.doc)
    out.print(rows)
    return 0
