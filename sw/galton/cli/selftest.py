"""`galton selftest`: whether a board does all that it should."""

from __future__ import annotations

from dataclasses import asdict

import click

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, progress, table
from galton.cli.ports import about, open_board, port_options, sentence

EXAMPLE = """
galton selftest --port /dev/ttyUSB1
galton selftest --port sim:icebreaker
"""


@make_command("selftest", EXAMPLE)
@port_options()
@click.option("--full", is_flag=True, help="Every word of every memory, not only both ends and the powers of two.")
def command(port: str, baud: int, kind: str | None, full: bool, as_json: bool) -> int:
    """Check the board at --port: its line, memories, answers to errors, and a small network against the golden and cycle model.

    Overwrites what was loaded. Exit code 1 where a check fails.
    """
    from galton.link.selftest import selftest

    checks = []
    with open_board(port, baud, kind) as board, progress(as_json) as bar:
        task = bar.add_task("selftest", total=None)
        for check in selftest(board, full=full):
            checks.append(check)
            bar.update(task, description=check.name)
        facts = about(board)
    passed = all(check.passed for check in checks)
    if as_json:
        emit({**facts, "passed": passed, "checks": [asdict(check) for check in checks]})
        return 0 if passed else 1
    out = console()
    out.print(sentence(facts))
    rows = table("", "", "check", "")
    rows.columns[-1].no_wrap = False
    for check in checks:
        rows.add_row("[green]passed[/]" if check.passed else "[red]failed[/]", check.name, check.detail)
    out.print(rows)
    out.print(
        "[bold green]All checks passed[/]" if passed else f"[bold red]{sum(not one.passed for one in checks)} checks failed[/]"
    )
    return 0 if passed else 1
