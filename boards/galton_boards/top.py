"""What is on a board's chip: the linked core, and around it the board's clock, reset and pins."""

from __future__ import annotations

from galton_boards.boards import Board
from galton_hw.link.core import LinkedCore


def linked_core(board: Board, tech: str = "generic") -> LinkedCore:
    """The part of a board's top that no vendor makes: a core behind rx and tx, as simulated and as built.

    tech: as in Core.
    """
    return LinkedCore(board.config, tech, divider=board.divider, board=board.number, clock=board.clock)
