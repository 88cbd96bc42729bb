"""docs/link.md says the numbers that the program has."""

from pathlib import Path

import pytest

from galton.format import LINK_REGISTERS, LINK_VERSION, REQUEST
from galton.link import BAUD, board, exchange, line
from galton_boards.limits import limits
from galton_hw.link.boot import BYTE_CYCLES, READ, RELEASE
from galton_hw.link.uart import MINIMUM_DIVIDER

TEXT = " ".join((Path(__file__).parents[1] / "docs" / "link.md").read_text().split())
SAID = [
    f"# The host link, version {LINK_VERSION}",
    f"{BAUD // 1_000_000} Mbaud unless",
    f"A bit lasts {MINIMUM_DIVIDER} clock cycles of the core at least",
    *(f"| `{name}` ({number}) |" for name, number in LINK_REGISTERS.items()),
    f"`count` 0 stands for {REQUEST.field('count').range[1] + 1:,}",
    f"wakes the flash ({RELEASE:02X}h)",
    f"reads ({READ:02X}h)",
    f"A byte takes {BYTE_CYCLES} cycles",
    f"answer's on the line and {line.PATIENCE} s (`PATIENCE`",
    f"sent up to {exchange.ATTEMPTS} times (`ATTEMPTS`)",
    f"given up after {board.LIMIT:g} s (`limit=`)",
    f"is more patient: {line.SIMULATED_PATIENCE:g} s and {line.SIMULATED_SPEED:g} bytes a second",
]


@pytest.mark.parametrize("words", SAID)
def test_numbers(words):
    assert words in TEXT


@pytest.mark.parametrize(("before", "name"), [("transmitter takes", "link"), ("loading from the flash", "link-boot")])
def test_cells_are_within_their_ceilings(before, name):
    said = int(TEXT.partition(f"{before} ")[2].split()[0].strip(",.()"))
    assert said <= limits(name)["logic"]
