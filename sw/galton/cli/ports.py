"""What the commands that talk to a board share: its port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from galton.link.line import BAUD

if TYPE_CHECKING:
    from galton.link import Board


def port_options(required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options --port, --baud and --board, passed as `port`, `baud` and `kind`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options = [
            click.option("--port", required=required, help="The board's serial port, or sim:NAME for a simulated board."),
            click.option("--baud", type=click.IntRange(1), default=BAUD, show_default=True, help="Bits a second on its line."),
            click.option("--board", "kind", help="Refuse any board but one of this name (`galton boards`)."),
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def open_board(port: str, baud: int, kind: str | None) -> Board:
    """The board at a port, identified. Raises as galton.connect does, and UnknownName where `kind` is no board's name."""
    from galton.errors import WrongBoard
    from galton.link import connect
    from galton_boards.boards import find, numbered

    number = None if kind is None else find(kind).number
    board = connect(port, baud=baud)
    if board.identity is not None and number not in (None, board.identity.board):
        board.close()
        raise WrongBoard(f"The board at {board.name} is {numbered(board.identity.board)}, not {kind}: is it the right port?")
    return board


def about(board: Board) -> dict[str, Any]:
    """What an identified board is, as JSON values."""
    from galton.link.places import config_of
    from galton_boards.boards import numbered

    identity = board.identity or board.identify()
    config = config_of(identity.digest)
    return {
        "port": board.name,
        "board": numbered(identity.board),
        "configuration": config.name if config else None,
        "digest": f"{identity.digest:08x}",
        "clock": identity.clock,
        "boot_failed": identity.boot_failed,
    }


def latency(facts: dict[str, Any], cycles: float) -> float | None:
    """Seconds that cycles take on the board of `about`; None where it does not say its clock."""
    return cycles / facts["clock"] if facts["clock"] else None


def sentence(facts: dict[str, Any]) -> str:
    """`about` for people."""
    failed = "; the image in its flash was refused" if facts["boot_failed"] else ""
    name = facts["configuration"] or f"unknown configuration {facts['digest']}"
    return f"{facts['board']} at {facts['port']}: {name}, {facts['clock'] / 1e6:g} MHz{failed}"
