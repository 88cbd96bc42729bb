"""A board on the desk: `connect(port)` gives a Board to load and run. The protocol is in docs/link.md."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from galton.errors import MissingTool
from galton.link.board import Board, Identity
from galton.link.line import BAUD, Line, SerialLine

SIMULATED = "sim:"
"""What comes before the name of a board that is to be simulated."""

__all__ = ["BAUD", "Board", "Identity", "Line", "SerialLine", "connect", "simulated"]


def connect(port: str, *, baud: int = BAUD, number: int | None = None, **options: Any) -> Board:
    """The board at a serial port, a pseudo-terminal, or a URL of pyserial such as ``socket://host:7777``, identified.

    ``sim:icebreaker`` is a board of that kind in compiled simulation, a new one each time. `number`: of the kind of board that
    must be there (galton_boards); `options` as in Board.
    Raises PortError, NoAnswer, WrongBoard; MissingTool without pyserial or cobs, or what the simulation needs; for a simulated
    board UnknownName where there is none of that name, and HardwareMismatch.
    """
    line = simulated(port.removeprefix(SIMULATED)) if port.startswith(SIMULATED) else SerialLine(port, baud)
    try:
        board = Board(line, **options)
        board.identify(number)
    except BaseException:
        line.close()
        raise
    return board


def simulated(name: str) -> Line:
    """The line to a new simulated board (galton_boards.simulated.line)."""
    try:
        make = import_module("galton_boards.simulated").line
    except ModuleNotFoundError as error:
        raise MissingTool(f"A simulated board needs {error.name}: pip install 'galton[sim]'") from error
    line: Line = make(name)
    return line
