"""A board at the other end of a line as docs/link.md describes it, byte by byte: the oracle of the link unit and of the host."""

from __future__ import annotations

import os
import select
import threading
import tty
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from galton.format import (
    ANSWER,
    BOARD,
    IDENTITY,
    LINK_REGISTERS,
    LINK_VERSION,
    REGISTERS,
    REQUEST,
)
from galton.link.frames import packed

BOARD_WORD = BOARD.pack({"version": LINK_VERSION, "board": 7, "clock": 2400})[0]


def encoded(words: list[int]) -> bytes:
    """The answer on the line: a group for each word, then the zero."""
    found = bytearray()
    for word in words:
        rest = packed([word]) + b"\0"
        while rest:
            place = rest.index(0)
            found += bytes([place + 1]) + rest[:place]
            rest = rest[place + 1 :]
    return bytes(found) + b"\0"


def decoded(piece: bytes) -> bytes:
    """The bytes that are known once `piece` has come."""
    found, place, gap = bytearray(), 0, False
    while place < len(piece):
        code = piece[place]
        found += b"\0" * gap + piece[place + 1 : place + code]
        place, gap = place + code, code != 0xFF
    return bytes(found)


@dataclass
class Bus:
    """What the link sees of a core: named registers, and memories by (select, address)."""

    digest: int = 0x12345678
    takes_input: bool = True
    enabled: int = 0
    select: int = 0
    address: int = 0
    memory: dict[tuple[int, int], int] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)

    def write(self, register: int, value: int) -> None:
        """Set a register."""
        if register == LINK_REGISTERS["input"]:
            self.inputs.append(value)
        elif register == REGISTERS["control"]:
            self.enabled = value & 1
        elif register == REGISTERS["memory_data"] and not self.enabled:
            self.memory[self.select, self.address] = value
            self.address += 1

    def read(self, register: int) -> int:
        """The word that a register shows."""
        if register == REGISTERS["memory_data"]:
            self.address += 1
            return self.memory.get((self.select, self.address - 1), 0)
        plain = {"identity": IDENTITY, "digest": self.digest, "control": self.enabled, "status": 0}
        known = {REGISTERS[name]: value for name, value in plain.items()} | {LINK_REGISTERS["board"]: BOARD_WORD}
        return known.get(register, 0xABCD0000 + register)


@dataclass
class Model:
    """The link unit. `answer` takes the bytes of one request, without the zero before it."""

    bus: Bus = field(default_factory=Bus)
    given: bool = False

    def answer(self, piece: bytes) -> bytes:
        """What the board sends once it has had these bytes; nothing if it waits for more."""
        data = decoded(piece)
        words = iter([int.from_bytes(data[place : place + 4], "little") for place in range(0, len(data) - 3, 4)])
        try:
            return encoded(self._answer(words))
        except StopIteration:
            return b""

    def _answer(self, words: Iterator[int]) -> list[int]:
        head = [next(words), next(words)]
        request = REQUEST.unpack(head)
        self.bus.select, self.bus.address = request["select"], request["address"]
        check = zlib.crc32(packed(head))
        found: list[int] = []
        corrupt, refused, remaining = next(words) != check, False, request["count"]
        # An input comes in one request.
        earlier = self.given
        # A count of 0 is the largest and one more.
        for index in range(0 if corrupt else request["count"] or 1 << 16):
            remaining = (remaining - 1) % (1 << 16)
            if not request["write"]:
                found.append(self.bus.read(request["register"] + index * request["moving"]))
                continue
            word = next(words)
            check = zlib.crc32(packed([word]), check)
            if request["register"] >= min(LINK_REGISTERS.values()):
                if earlier or not self.bus.takes_input:
                    refused = True
                    continue
                self.given = True
            elif request["register"] == REGISTERS["control"]:
                self.given = False
            self.bus.write(request["register"], word)
        if request["write"] and not corrupt:
            corrupt = next(words) != check
        values = {"corrupt": corrupt, "refused": refused, "enabled": self.bus.enabled, "boot_failed": 0, "zero": 0}
        found.append(ANSWER.pack({**values, "sequence": request["sequence"], "remaining": remaining})[0])
        return [*found, zlib.crc32(packed(found))]


class ModelLine:
    """A line (galton.link.Line) to the model of a board; `spoil` changes what goes either way."""

    name, speed, patience = "the model", 1e6, 0.2

    def __init__(self, bus: Bus | None = None, spoil: Callable[[bytes], bytes] = lambda data: data) -> None:
        self.bus = bus or Bus()
        self.model, self.spoil, self.sent, self.closed = Model(self.bus), spoil, b"", False

    def send(self, data: bytes) -> None:
        """See Line."""
        self.sent += self.spoil(data)

    def receive(self, timeout: float) -> bytes:
        """See Line; the answer to what was sent last, at once."""
        *_, piece = self.sent.rpartition(b"\0")
        self.sent = b""
        return self.spoil(self.model.answer(piece))

    def close(self) -> None:
        """See Line."""
        self.closed = True


class Terminal:
    """A pseudo-terminal with the model of a board behind it. Members: `path`, `bus`, `model`."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.model = Model(self.bus)
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.unplugged = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """Answer until it is unplugged."""
        waiting = b""
        while not self.unplugged:
            if not select.select([self.master], [], [], 0.02)[0]:
                continue
            waiting = (waiting + os.read(self.master, 4096)).rpartition(b"\0")[2]
            reply = self.model.answer(waiting)
            if reply:
                os.write(self.master, reply)
                waiting = b""
        os.close(self.master)

    def unplug(self) -> None:
        """Let the port go away under whoever has it open."""
        self.unplugged = True
        self.thread.join()

    def close(self) -> None:
        """Unplug it and put it away."""
        self.unplug()
        os.close(self.slave)
