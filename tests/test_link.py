"""The host's side of the link, against the model of a board: frames, retries, errors; then a pseudo-terminal."""

from __future__ import annotations

import errno
import os
import sys
import termios
import tty
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_model import Bus, Model, ModelLine, encoded
from networks import random_inputs, random_network

from galton.compiler import compile
from galton.config import named
from galton.errors import CalibrationError, LinkError, MissingTool, NoAnswer, PortError, WrongBoard
from galton.format import ANSWER, BOARD, LINK_VERSION, MEMORY_DATA, MEMORY_WEIGHTS, REGISTERS
from galton.link import Board, connect
from galton.link.exchange import SEQUENCES, Exchange
from galton.link.frames import MOST, Request, codec, packed, parse
from galton.link.line import SerialLine

WORD = st.integers(0, (1 << 32) - 1)


class Replies:
    """A line that gives one reply to each request, whatever it is."""

    name, speed, patience = "the line", 1e6, 0.2

    def __init__(self, *replies):
        self.replies = list(replies)
        self.sent, self.waiting = [], b""

    def send(self, data):
        self.sent.append(data)
        self.waiting = self.replies.pop(0) if self.replies else b""

    def receive(self, timeout):
        assert timeout > 0
        found, self.waiting = self.waiting, b""
        return found


def answer(*words, sequence=1, **fields):
    """An answer on the line."""
    values = {field.name: 0 for field in ANSWER.fields} | {"sequence": sequence} | fields
    found = [*words, *ANSWER.pack(values)]
    return encoded([*found, zlib.crc32(packed(found))])


@given(st.lists(WORD, max_size=20))
def test_answers_come_back(words):
    found = parse(answer(*words, sequence=77, refused=1)[:-1])
    assert found is not None
    assert found.words == tuple(words)
    assert (found.fields["sequence"], found.fields["refused"], found.fields["corrupt"]) == (77, 1, 0)


@given(st.binary(max_size=40))
def test_noise_is_no_answer(data):
    assert parse(data.replace(b"\0", b"")) is None


@given(st.data())
def test_a_changed_answer_is_none(data):
    frame = bytearray(answer(0, 0x01020304, 5)[:-1])
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    assert parse(bytes(frame)) is None


@given(st.lists(WORD, min_size=1, max_size=300), st.integers(0, SEQUENCES - 1))
def test_requests_are_understood(words, sequence):
    model = Model()
    request = Request(REGISTERS["memory_data"], words=words, select=9, address=1000)
    found = parse(model.answer(request.pack(sequence)[1:])[:-1])
    assert found is not None
    assert found.fields["sequence"] == sequence
    assert model.bus.memory == {(9, 1000 + index): word for index, word in enumerate(words)}
    back = Request(REGISTERS["memory_data"], len(words), select=9, address=1000)
    reply = model.answer(back.pack(sequence)[1:])
    assert len(reply) == back.answer_bytes
    assert parse(reply[:-1]).words == tuple(words)


@pytest.mark.parametrize("words", [[], [0] * (MOST + 1)])
def test_requests_of_no_or_too_many_words(words):
    with pytest.raises(ValueError, match=r"for one word or more|REQUEST\.count is 65536"):
        Request(REGISTERS["memory_data"], words=words).pack(0)


def test_old_answers_are_passed_over():
    line = Replies(answer(8, sequence=0) + answer(9, sequence=1))
    assert Exchange(line).ask(Request(5)).words == (9,)
    assert len(line.sent) == 1


@pytest.mark.parametrize(
    "bad", [b"", b"\x05abcd\0", answer(9)[:-3], answer(9, corrupt=1), answer(9, remaining=1), answer(corrupt=1), answer()]
)
def test_requests_are_repeated(bad):
    exchange = Exchange(Replies(bad, answer(9, sequence=2)))
    assert exchange.ask(Request(5)).words == (9,)
    assert exchange.troubles == 1


def test_silence():
    line = Replies()
    with pytest.raises(NoAnswer, match="The board at the line did not answer 3 times"):
        Exchange(line, 3).ask(Request(5))
    assert len(line.sent) == 3
    # Each attempt has a number of its own.
    assert len(set(line.sent)) == 3


def test_a_disturbed_line():
    line = Replies(*[b"\x05abcd\0"] * 5)
    with pytest.raises(LinkError, match="5 attempts at a request to the board at the line failed"):
        Exchange(line).ask(Request(5))
    assert len(line.sent) == 5


def test_a_line_that_never_stops():
    class Babble(Replies):
        def receive(self, timeout):
            return b"\x55" * 50

    with pytest.raises(LinkError, match="5 attempts"):
        Exchange(Babble()).ask(Request(5))


def test_attempts():
    with pytest.raises(ValueError, match="at least 1 attempt, not 0"):
        Board(ModelLine(), attempts=0)


def test_identify():
    identity = Board(ModelLine(Bus(digest=0xABCDEF01))).identify()
    assert (identity.board, identity.digest, identity.clock, identity.boot_failed) == (7, 0xABCDEF01, 24e6, False)


def test_another_version():
    word = BOARD.pack({"version": LINK_VERSION + 1, "board": 1, "clock": 2400})
    with pytest.raises(WrongBoard, match=f"speaks version {LINK_VERSION + 1} of the link, this program {LINK_VERSION}"):
        Board(Replies(answer(*word))).identify()


def test_no_galton_core():
    word = BOARD.pack({"version": LINK_VERSION, "board": 1, "clock": 2400})
    with pytest.raises(WrongBoard, match="says 0x00000005, not 0x544c4147: it is no Galton core"):
        Board(Replies(answer(*word), answer(5, 6, sequence=2))).identify()


def test_memories():
    board = Board(ModelLine())
    words, seen = [Random(1).getrandbits(32) for _ in range(10_000)], []
    board.write(4, 100, words, chunks=3, progress=lambda done, total: seen.append((done, total)))
    assert board.read(4, 100, 10_000, chunks=3) == words
    # Each request has whole addresses.
    assert seen == [(4095, 10_000), (8190, 10_000), (10_000, 10_000)]
    assert (4, 100 + 4095 // 3) in board.exchange.line.bus.memory


def test_status_and_counters():
    board = Board(ModelLine())
    assert board.status() == {"busy": 0, "saturated": 0, "layer": 0}
    assert board.counters()["events"] == 0xABCD0000 + REGISTERS["events"]


def test_a_core_that_somebody_else_started():
    line = ModelLine()
    board = Board(line)
    line.bus.enabled = 1
    exchange = board.exchange
    request = Request(REGISTERS["memory_data"], words=[5], select=MEMORY_DATA, address=3)
    assert not exchange.ask(request, enabled=0).fields["enabled"]
    assert line.bus.memory == {(MEMORY_DATA, 3): 5}
    assert exchange.troubles == 1


OUTSIDE = {
    "beyond the end": (MEMORY_DATA, 4090, 7, 1, r"The data memory of configuration tiny has 4,096 addresses of 1 words; 7 words"),
    "before the beginning": (MEMORY_DATA, -1, 1, 1, "from address -1 on"),
    "no such group": (MEMORY_WEIGHTS + 1, 0, 1, 1, "A core of configuration tiny has no memory 2"),
    "entries of another width": (MEMORY_WEIGHTS, 0, 2, 2, "2 to an address, are not all there"),
}


@pytest.mark.parametrize(("select", "address", "count", "chunks", "words"), OUTSIDE.values(), ids=OUTSIDE)
def test_places_that_the_core_does_not_have(select, address, count, chunks, words):
    board = Board(ModelLine(Bus(digest=named("tiny").digest)))
    board.identify()
    with pytest.raises(LinkError, match=words):
        board.write(select, address, [5] * count, chunks=chunks)
    with pytest.raises(LinkError, match=words):
        board.read(select, address, count, chunks=chunks)
    assert not board.exchange.line.bus.memory


@pytest.mark.parametrize("package", ["serial", "cobs"])
def test_packages_that_are_missing(package, terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    codec.cache_clear()
    with pytest.raises(MissingTool, match=r"pip install (pyserial|cobs)"):
        connect(terminal.path)
    codec.cache_clear()


def test_an_image_for_another_configuration():
    config = named("tiny")
    image = compile(random_network(1, config), config).image
    line = ModelLine(Bus(digest=5))
    with pytest.raises(WrongBoard, match="has configuration digest 00000005, the image is for tiny"):
        Board(line).load(image)
    assert not line.bus.memory


def test_load_and_what_run_refuses():
    config = named("tiny")
    network = random_network(1, config)
    image = compile(network, config).image
    line = ModelLine(Bus(digest=config.digest))
    board = Board(line)
    raw = random_inputs(1, network, 1)
    with pytest.raises(LinkError, match="Nothing was loaded onto the board at the model yet"):
        board.run(raw)
    seen = []
    board.load(image, progress=lambda done, total: seen.append((done, total)))
    assert [line.bus.memory[MEMORY_DATA, place] for place in range(len(image.program))] == image.program.tolist()
    assert seen[-1][0] == seen[-1][1]
    with pytest.raises(CalibrationError, match="takes raw inputs of shape"):
        board.run(raw[:, :, :, :0])
    with pytest.raises(CalibrationError, match="Raw inputs are integers, not float64"):
        board.run(raw / 2)
    with pytest.raises(NoAnswer, match=r"did not end within 0 s; 0 of \d+ layers are done"):
        board.run(raw, limit=0)
    line.bus.takes_input = False
    with pytest.raises(LinkError, match=r"did not take an input of \d+ words in 5 attempts"):
        board.run(raw)
    with board:
        pass
    assert line.closed


@pytest.mark.parametrize("seed", range(3))
def test_faults_on_the_line(seed):
    rng = Random(seed)

    def spoil(data):
        if rng.random() < 0.6 or not data:
            return data
        place = rng.randrange(len(data))
        damaged = bytearray(data)
        damaged[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        return bytes(damaged)

    line = ModelLine(spoil=spoil)
    board, expected = Board(line, attempts=30), {}
    for _ in range(60):
        address, words = rng.randrange(100), [rng.getrandbits(32) for _ in range(rng.randrange(1, 6))]
        board.write(0, address, words)
        expected |= {address + index: word for index, word in enumerate(words)}
        assert board.read(0, address, len(words)) == words
    assert line.bus.memory == {(0, address): word for address, word in expected.items()}
    assert board.exchange.troubles > 50


def test_a_serial_port(terminal):
    with connect(terminal.path) as board:
        assert board.identity.board == 7
        board.write(2, 5, [1, 0, 0xFFFFFFFF])
        assert board.read(2, 5, 3) == [1, 0, 0xFFFFFFFF]


def test_a_second_host_is_kept_out(terminal):
    with connect(terminal.path) as board:
        with pytest.raises(PortError, match=f"Cannot open {terminal.path}: .*; another program uses it"):
            connect(terminal.path)
        assert board.status()["busy"] == 0
    with connect(terminal.path):
        pass


def test_a_port_that_is_not_there(tmp_path):
    with pytest.raises(PortError, match=r"Cannot open .*nothing: No such file or directory; is the board plugged in\?"):
        connect(str(tmp_path / "nothing"))
    with pytest.raises(PortError, match=r"Cannot open socket://.*Is the board plugged in"):
        connect("socket://localhost")
    (tmp_path / "file").touch()
    for other in (tmp_path, tmp_path / "file"):
        with pytest.raises(PortError, match=f"Cannot open {other}: .*; this is no serial port"):
            connect(str(other))


def test_a_port_that_this_user_may_not_open(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("serial.serialposix.os.open", refuse)
    with pytest.raises(PortError, match=r"Cannot open port: Permission denied; `galton doctor` says what to type"):
        connect("port")


def test_a_speed_that_no_port_has(terminal):
    with pytest.raises(PortError, match=f"Cannot open {terminal.path}: "):
        connect(terminal.path, baud=1 << 40)


def test_a_silent_port_is_given_back(terminal):
    terminal.model.answer = lambda piece: b""
    with pytest.raises(NoAnswer):
        connect(terminal.path, attempts=1, patience=0.01)
    SerialLine(terminal.path).close()


def test_a_terminal_that_cannot_be_set_up(terminal, monkeypatch):
    def fail(*arguments):
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(termios, "tcflush", fail)
    with pytest.raises(PortError, match="Input/output error"):
        SerialLine(terminal.path)


def test_a_port_that_takes_nothing():
    """Whoever made the pseudo-terminal does not read."""
    master, slave = os.openpty()
    tty.setraw(slave)
    line = SerialLine(os.ttyname(slave))
    line.speed, line.patience = 1e9, 0.01
    with pytest.raises(PortError, match=r"Lost .*: Write timeout"):
        line.send(bytes(100_000))
    line.close()
    os.close(slave)
    os.close(master)


def test_a_port_that_goes_away_in_mid_transfer(terminal):
    """The adapter is pulled out while a memory is being written."""
    board = connect(terminal.path, patience=5.0)
    seen = []

    def pull(done, count):
        seen.append(done)
        if done > 8000:
            terminal.unplug()

    with pytest.raises(PortError, match=f"Lost {terminal.path}: .* Plug the board in again"):
        board.write(MEMORY_DATA, 0, [5] * 20_000, progress=pull)
    assert seen == [4096, 8192]
    board.close()


def test_a_port_that_goes_away(terminal):
    line = SerialLine(terminal.path)
    line.close()
    with pytest.raises(PortError, match=f"Lost {terminal.path}: .* Plug the board in again"):
        Board(line).status()
