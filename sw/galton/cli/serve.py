"""`galton serve`: a simulated board behind a pseudo-terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton serve icebreaker
galton serve icebreaker --flash digits.bin --link board
"""
TERMINALS = Path("/dev/pts")


@make_command("serve", EXAMPLE)
@click.argument("board")
@click.option("--flash", type=INPUT_FILE, help="What its flash holds from the board's offset on (`galton load --flash`).")
@click.option("--link", type=OUTPUT_FILE, help="A symbolic link to the terminal, while it lasts.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds instead of at Ctrl-C.")
def command(board: str, flash: Path | None, link: Path | None, seconds: float | None, as_json: bool) -> int:
    """Simulate BOARD, its serial pins included, from the Verilog of its top, and offer its port as a pseudo-terminal.

    Prints the terminal's path, which any `--port` takes, and runs until Ctrl-C. The board's clock stands still while
    nothing passes on its line.
    """
    from galton_boards.boards import find
    from galton_boards.simulated import line
    from galton_sim.terminal import Terminal

    about, content = find(board), flash.read_bytes() if flash else b""
    if link is not None:
        make_room(link)
    out = console()
    if not as_json:
        out.print(f"Building {board}, {about.configuration} at {about.clock / 1e6:g} MHz; the first time takes a minute")
    with Terminal(line(board, content)) as terminal, named(terminal.path, link) as path:
        facts = {"port": path, "board": board, "configuration": about.configuration}
        if as_json:
            emit(facts)
        else:
            out.print(f"[bold]{path}[/] is its port; Ctrl-C ends it", soft_wrap=True)
        end = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(KeyboardInterrupt):
            terminal.serve(lambda: end is not None and time.monotonic() > end)
        facts |= {"cycles": terminal.cycles, "seconds": terminal.seconds, "speed": terminal.cycles / max(terminal.seconds, 1e-9)}
    if as_json:
        emit(facts)
    else:
        out.print(f"{facts['cycles']:,} cycles, {facts['speed'] / 1e6:.2f} million cycles a second")
    return 0


def make_room(link: Path) -> None:
    """Remove a link to a terminal that is gone. Raises click.UsageError where there is something else."""
    if not link.exists() and link.is_symlink() and link.readlink().is_relative_to(TERMINALS):
        link.unlink()
    if link.exists() or link.is_symlink():
        raise click.UsageError(f"There is something called {link} already: remove it, or name the --link otherwise")


@contextlib.contextmanager
def named(path: str, link: Path | None) -> Iterator[str]:
    """`path`, or a symbolic link to it for as long as this lasts."""
    if link is None:
        yield path
        return
    link.symlink_to(path)
    try:
        yield str(link)
    finally:
        link.unlink(missing_ok=True)
