"""Boards in compiled simulation, by name."""

from __future__ import annotations

from galton.link import SIMULATED
from galton_boards.boards import find
from galton_boards.top import linked_core
from galton_sim.board import SimulatedLine


def line(name: str, flash: bytes = b"") -> SimulatedLine:
    """The line to a simulated board of that name; `flash` as in SimulatedLine.

    Raises UnknownName where there is no such board; MissingTool, HardwareMismatch where it cannot be built.
    """
    return SimulatedLine(linked_core(find(name)), flash=flash, name=f"{SIMULATED}{name}")
