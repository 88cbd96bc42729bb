"""Every message, damaged in every way, to a simulated board: what the device says and keeps, and that the next one is answered.

The table of docs/link.md, line by line. What the host makes of it is in tests/test_link.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from small_board import CONFIG, LINKED, SMALL

from galton import golden
from galton.errors import LinkError, PortError
from galton.format import CONTROL, LINK_REGISTERS, MEMORY_DATA, REGISTERS
from galton.link import Board, connect
from galton.link.frames import END, Answer, Request, codec, packed, parse
from galton.link.line import SerialLine
from galton_sim.board import SimulatedLine
from galton_sim.terminal import Terminal

pytestmark = pytest.mark.cosim
PLACE = 40
BEFORE = [11, 12, 13, 14]
MESSAGES = {
    "identify": Request(LINK_REGISTERS["board"]),
    "status": Request(REGISTERS["status"]),
    "counters": Request(REGISTERS["cycles"], 7, moving=True),
    "read memory": Request(REGISTERS["memory_data"], 4, address=PLACE),
    "write memory": Request(REGISTERS["memory_data"], words=[21, 22, 23, 24], address=PLACE),
    "control": Request(REGISTERS["control"], words=[1]),
    "input": Request(LINK_REGISTERS["input"], words=[1, 2, 3]),
}
HEADER = 12


@pytest.fixture
def board() -> Iterator[Board]:
    """A board that was just powered up, with something at PLACE."""
    with Board(SimulatedLine(LINKED)) as found:
        found.identify()
        found.write(MEMORY_DATA, PLACE, BEFORE)
        yield found
        # Whatever happened, the next requests are answered at once.
        assert found.exchange.troubles == 0
        assert found.identify().digest == CONFIG.digest
        found.reset()
        assert found.exchange.troubles == 0


def body(request: Request) -> bytearray:
    """The frame before COBS."""
    return bytearray(codec().decode(request.pack(3)[1:]))


def provoke(board: Board, *frames: bytes) -> list[Answer | None]:
    """Send frames one right after the other; what comes back."""
    line = board.exchange.line
    line.send(b"".join(END + bytes(codec().encode(bytes(frame))) for frame in frames))
    found = b""
    while piece := line.receive(board.exchange.patience):
        found += piece
    return [parse(frame) for frame in found.split(END)[:-1]]


def memory(board: Board) -> list[int]:
    """What is at PLACE now."""
    return board.read(MEMORY_DATA, PLACE, 4)


@pytest.mark.parametrize("name", MESSAGES)
def test_truncated(board, name):
    """No answer; a write has written the words that came whole."""
    whole = body(MESSAGES[name])
    for length in (1, 4, HEADER - 1, *range(HEADER, len(whole), 4), len(whole) - 1):
        assert provoke(board, whole[: min(length, len(whole) - 1)]) == []
    assert memory(board) == ([21, 22, 23, 24] if name == "write memory" else BEFORE)


@pytest.mark.parametrize("name", MESSAGES)
def test_oversized(board, name):
    """What comes after the last byte is passed over; a count that is too small makes the second CRC wrong."""
    whole = body(MESSAGES[name])
    (answer,) = provoke(board, whole + bytes(range(40)))
    assert answer is not None and not answer.fields["corrupt"] and answer.fields["sequence"] == 3
    assert memory(board) == ([21, 22, 23, 24] if name == "write memory" else BEFORE)
    if MESSAGES[name].words is not None:
        (answer,) = provoke(board, whole[:-4] + packed([7, 8]) + whole[-4:])
        assert answer is not None and answer.fields["corrupt"]


@pytest.mark.parametrize("name", MESSAGES)
def test_repeated(board, name):
    """Carried out again, with the same answer; right one after the other, the second one's zero ends the answer to the first."""
    whole = body(MESSAGES[name])
    first, second = *provoke(board, whole), *provoke(board, whole)
    assert first == second and first is not None and not first.fields["corrupt"]
    assert len(provoke(board, whole, whole)) == 1
    assert memory(board) == ([21, 22, 23, 24] if name == "write memory" else BEFORE)


@pytest.mark.parametrize("name", MESSAGES)
def test_wrong_header(board, name):
    """Told, and nothing is done."""
    for place in (*range(HEADER), 5):
        whole = body(MESSAGES[name])
        whole[place] ^= 0x40
        (answer,) = provoke(board, whole)
        assert answer is not None and answer.fields["corrupt"] and not answer.words
        assert not answer.fields["enabled"]
    assert memory(board) == BEFORE


@pytest.mark.parametrize("name", [name for name, request in MESSAGES.items() if request.words is not None])
def test_wrong_words(board, name):
    """Told; the words were carried out as they came."""
    whole = body(MESSAGES[name])
    whole[-1] ^= 1
    (answer,) = provoke(board, whole)
    assert answer is not None and answer.fields["corrupt"]
    assert memory(board) == ([21, 22, 23, 24] if name == "write memory" else BEFORE)


def test_out_of_order(board):
    """An input before the core is enabled; memories while it is; a second input, another request between two halves of one."""
    start = body(Request(REGISTERS["control"], words=CONTROL.pack({"enable": 1})))
    stop = body(Request(REGISTERS["control"], words=[0]))
    given = body(MESSAGES["input"])
    assert [answer.fields["refused"] for answer in provoke(board, given)] == [1]
    assert not provoke(board, start)[0].fields["refused"]
    (answer,) = provoke(board, body(MESSAGES["write memory"]))
    assert answer.fields["enabled"]
    provoke(board, given[:-6])
    assert [answer.fields["refused"] for answer in provoke(board, given)] == [1]
    assert not provoke(board, stop)[0].fields["enabled"]
    assert memory(board) == BEFORE


def test_run_before_load(board):
    with pytest.raises(LinkError, match="Nothing was loaded onto the board"):
        board.run(SMALL[1])


def test_an_inference_without_an_image_is_ended_by_a_reset(board):
    """Whoever enables the core by hand: it takes or refuses words as its empty memories say, and is as new after a reset."""
    provoke(board, body(Request(REGISTERS["control"], words=[1])), body(MESSAGES["input"]))
    board.reset()
    assert board.status() == {"busy": 0, "saturated": 0, "layer": 0}
    assert memory(board) == BEFORE
    image, raw = SMALL
    board.load(image)
    assert np.array_equal(board.run(raw[:1]).outputs, golden.run(image, raw[:1]))


def test_addresses_outside(board):
    """The host refuses them; the device takes the low bits of an address, and no memory for a number that it does not have."""
    with pytest.raises(LinkError, match="are not all there"):
        board.write(MEMORY_DATA, CONFIG.data_words - 1, [1, 2])
    nowhere = [(200, 0), (63, PLACE), (2, PLACE)]
    for select, address in nowhere:
        (answer,) = provoke(board, body(Request(REGISTERS["memory_data"], words=[99] * 4, select=select, address=address)))
        assert not answer.fields["corrupt"]
    assert memory(board) == BEFORE
    provoke(board, body(Request(REGISTERS["memory_data"], words=[99], address=PLACE + (1 << 20))))
    assert memory(board) == [99, *BEFORE[1:]]


def test_registers_that_do_not_exist(board):
    for register in (6, 7, 31, 40, 63):
        (answer,) = provoke(board, body(Request(register, 3)))
        assert len(answer.words) == 3
        (answer,) = provoke(board, body(Request(register if register < 32 else register & 31 | 8, words=[1, 2])))
        assert not answer.fields["corrupt"]
    assert memory(board) == BEFORE


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A board behind a pseudo-terminal that is being served."""
    ended = threading.Event()
    with Terminal(SimulatedLine(LINKED)) as found:
        thread = threading.Thread(target=found.serve, args=(ended.is_set,))
        thread.start()
        yield found
        ended.set()
        thread.join()


def host(*arguments: str) -> subprocess.Popen[str]:
    """Another process of the program."""
    command = [sys.executable, "-m", "galton", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_process(terminal):
    with closing(SerialLine(terminal.path)):
        second = host("counters", "--port", terminal.path)
        _, errors = second.communicate()
    assert second.returncode == 1
    assert f"Cannot open {terminal.path}" in errors and "Traceback" not in errors


def test_a_host_that_dies_in_mid_transfer(terminal, tmp_path):
    """Killed while it loads; the next one finds the port free and the board at its service."""
    image, raw = SMALL
    image.save(tmp_path / "net.galton")
    first = host("load", str(tmp_path / "net.galton"), "--port", terminal.path)
    before = terminal.cycles
    while terminal.cycles < before + 200_000 and first.poll() is None:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    with connect(terminal.path) as board:
        board.load(image)
        assert np.array_equal(board.run(raw).outputs, golden.run(image, raw))


def test_a_board_that_goes_away_in_mid_transfer(tmp_path):
    terminal = Terminal(SimulatedLine(LINKED))
    ended = threading.Event()
    thread = threading.Thread(target=terminal.serve, args=(ended.is_set,))
    thread.start()

    def pull(done: int, total: int) -> None:
        if not ended.is_set():
            ended.set()
            thread.join()
            terminal.close()

    with connect(terminal.path) as board, pytest.raises(PortError, match=r"Lost .* Plug the board in again and repeat"):
        board.load(SMALL[0], progress=pull)
    with pytest.raises(PortError, match="Cannot open"):
        connect(terminal.path)
