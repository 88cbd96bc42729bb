"""Images in the flash of a simulated board: good ones run, all others are refused, and the line works afterwards."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from small_board import CONFIG, LINKED, SMALL

from galton import golden
from galton.format import BOOT_ERASED, CONTROL, LINK_REGISTERS, MEMORY_DATA, REGISTERS
from galton.link import Board
from galton.link.flash import flash_image, recorded
from galton.link.frames import Request, packed
from galton_sim.board import SimulatedLine

pytestmark = pytest.mark.cosim
DATA = [0x01020304, 0, 0xFFFFFFFF, 0x00AA0055, *range(30)]
LOAD = [Request(REGISTERS["memory_data"], words=DATA[:20], address=0x77), Request(REGISTERS["memory_data"], words=DATA[20:])]
ENABLE = Request(REGISTERS["control"], words=CONTROL.pack({"enable": 1}))
GOOD = recorded(CONFIG.digest, [*LOAD, ENABLE])
FRAME = len(LOAD[0].pack(0)) + 3
"""Where the first request has ended."""
assert GOOD[FRAME] == 0


def powered(content: bytes) -> tuple[bool, bool]:
    """Power up with that in the flash: whether the core is enabled, and whether booting failed. The line must work."""
    line = SimulatedLine(LINKED, flash=content)
    assert line.early == b""
    with Board(line) as board:
        failed = board.identify().boot_failed
        enabled = board.exchange.ask(Request(REGISTERS["control"])).words == (1,)
        board.write(MEMORY_DATA, 3, [7, 8])
        assert board.read(MEMORY_DATA, 3, 2) == [7, 8]
        assert board.exchange.troubles == 0
    return enabled, failed


def test_a_network_from_the_flash():
    image, raw = SMALL
    with Board(SimulatedLine(LINKED, flash=flash_image(image))) as board:
        assert not board.identify().boot_failed
        board.attach(image)
        assert np.array_equal(board.run(raw).outputs, golden.run(image, raw))
        assert board.exchange.troubles == 0


@pytest.mark.parametrize("content", [b"", packed([BOOT_ERASED]) + GOOD[4:]])
def test_erased(content):
    assert powered(content) == (False, False)


def test_good():
    assert powered(GOOD) == (True, False)


WRONG = {
    "another configuration": recorded(CONFIG.digest ^ 1, [*LOAD, ENABLE]),
    "a first word of zeros": packed([0]) + GOOD[4:],
    "two zeros between requests": GOOD[:FRAME] + b"\0" + GOOD[FRAME:],
    "a zero at the beginning": GOOD[:4] + b"\0" + GOOD[4:],
    "bytes between requests": GOOD[:FRAME] + b"abc" + GOOD[FRAME:],
    "cut before the last request": recorded(CONFIG.digest, LOAD),
    "zeros after a part": recorded(CONFIG.digest, LOAD) + bytes(40),
    "only a first word": GOOD[:4],
    "an input while the core is disabled": recorded(CONFIG.digest, [Request(LINK_REGISTERS["input"], words=[1]), ENABLE]),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_wrong(content):
    assert powered(content) == (False, True)


@pytest.mark.parametrize("seed", range(4))
def test_changed_somewhere(seed):
    """Bytes changed, dropped or inserted, or all after some place gone; what an unlucky change leaves as it was is no matter."""
    rng = Random(seed)
    for _ in range(40):
        place, kind = rng.randrange(4, len(GOOD) - 8), rng.randrange(5)
        change = {
            0: GOOD[:place] + bytes([GOOD[place] ^ 1 << rng.randrange(8)]) + GOOD[place + 1 :],
            1: GOOD[:place] + rng.randbytes(1) + GOOD[place + 1 :],
            2: GOOD[:place] + GOOD[place + 1 :],
            3: GOOD[:place] + rng.randbytes(1) + GOOD[place:],
            4: GOOD[:place],
        }[kind]
        if change != GOOD:
            assert powered(change) == (False, True), (kind, place)
