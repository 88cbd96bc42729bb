"""A board on the desk: `connect(port)` gives a Board to load and run. The protocol is in docs/link.md."""

from __future__ import annotations

from typing import Any

from galton.link.board import Board, Identity
from galton.link.line import BAUD, Line, SerialLine

__all__ = ["BAUD", "Board", "Identity", "Line", "SerialLine", "connect"]


def connect(port: str, *, baud: int = BAUD, **options: Any) -> Board:
    """The board at a serial port, a pseudo-terminal, or a URL of pyserial such as ``socket://host:7777``, identified.

    `options` as in Board. Raises PortError, NoAnswer, WrongBoard; MissingTool without pyserial or cobs.
    """
    line = SerialLine(port, baud)
    try:
        board = Board(line, **options)
        board.identify()
    except BaseException:
        line.close()
        raise
    return board
