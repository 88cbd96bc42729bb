"""Boards: data that agrees with itself, with the compiler's list and with amaranth-boards' pins."""

import pytest

from galton.config import BOARDS, CONFIGS
from galton.errors import GaltonError
from galton.format import BOARD, CLOCK_UNIT
from galton_boards import boards
from galton_boards.top import linked_core
from galton_hw.link.uart import MINIMUM_DIVIDER

ALL = boards.boards()


def test_the_compiler_knows_every_board():
    assert {board.name: board.configuration for board in ALL.values()} == BOARDS
    assert len({board.number for board in ALL.values()}) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_data_of_a_board(name):
    board = boards.find(name)
    assert board.config is CONFIGS[board.configuration]
    assert 0 < board.number < 256
    assert board.baud >= 1_000_000 and board.divider >= MINIMUM_DIVIDER
    # A receiver that reads bits in their middles bears 5 % over ten bits; the host's clock wants its share.
    assert abs(board.clock / board.divider / board.baud - 1) < 0.01
    assert bool(board.link.resource) != bool(board.link.rx and board.link.tx)
    assert set(board.leds) <= {"ready", "error"}
    assert 0 < board.flash.offset < board.flash.bytes


def test_boards_by_name_and_number():
    assert boards.numbered(boards.find("icebreaker").number) == "icebreaker"
    assert boards.numbered(250) == "board number 250"
    with pytest.raises(GaltonError, match="no board 'icebraker'; the known ones are icebreaker, "):
        boards.find("icebraker")


def test_a_core_shows_its_board():
    board = boards.find("ulx3s-25f")
    shown = BOARD.unpack([linked_core(board).link.board])
    assert (shown["board"], shown["clock"]) == (board.number, board.clock / CLOCK_UNIT)
