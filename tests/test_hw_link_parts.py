"""The parts of the link unit against zlib, the cobs package and integers."""

from __future__ import annotations

import zlib
from random import Random

import circuits
import pytest
from cobs import cobs

from galton.format import REQUEST
from galton_hw.link.check import Crc
from galton_hw.link.cobs import Decoder, Group
from galton_hw.link.request import Request


def bits(data: bytes) -> list[int]:
    return [value >> place & 1 for value in data for place in range(8)]


def whole(found: list[int]) -> bytes:
    """Bytes from bits, low bit first."""
    return bytes(sum(bit << place for place, bit in enumerate(found[start : start + 8])) for start in range(0, len(found), 8))


@pytest.mark.parametrize("length", [0, 1, 12])
def test_crc(length):
    data = Random(length).randbytes(length)
    more = b"more"
    turns = [{"shift": 1, "turn": 1, "bit": 0}] * 32
    stimuli = [{"shift": 1, "bit": bit} for bit in bits(data)] + turns + [{"shift": 1, "bit": bit} for bit in bits(more)] + turns
    stimuli += [{"clear": 1}, *turns]
    seen = circuits.run(Crc(), stimuli, ["out"], idle={"shift": 0, "turn": 0, "clear": 0})
    out = [cycle["out"] for cycle in seen]
    shown = [whole(out[start : start + 32]) for start in (8 * length, 8 * length + 64, len(out) - 32)]
    assert shown == [zlib.crc32(part).to_bytes(4, "little") for part in (data, data + more, b"")]


@pytest.mark.parametrize("length", [1, 3, 254, 255, 520])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_decoder(length, zeros):
    rng = Random(length)
    data = bytes(0 if rng.random() < zeros else rng.randrange(1, 256) for _ in range(length))
    stimuli = [{"i.valid": 1, "i.payload": 7}] * 9
    for value in b"\0" + cobs.encode(data):
        stimuli += [{"i.payload": value}] * (9 if value else 1)
    seen = circuits.run(Decoder(), stimuli, ["valid", "bit", "start", "i.ready"])
    # What came before the zero does not count.
    found = whole([cycle["bit"] for cycle in seen[10:] if cycle["valid"]])
    assert found == data
    assert [index for index, cycle in enumerate(seen) if cycle["start"]] == [9]
    assert [index for index, cycle in enumerate(seen) if cycle["i.ready"]] == [8, *range(9, len(seen), 9)]


def test_groups():
    rng = Random(1)
    dut, sent = Group(), []
    words = [bytes(0 if pattern >> place & 1 else rng.randrange(1, 256) for place in range(4)) for pattern in range(16)]
    stimuli = []
    for word in words:
        stimuli += [{"shift": 1, "bit": bit, "last": place % 8 == 7} for place, bit in enumerate(bits(word))]
        stimuli += [{"next": 1}] * 5
    seen = circuits.run(dut, stimuli, ["literal", "code"], idle={"shift": 0, "last": 0, "next": 0})
    for index, word in enumerate(words):
        leaving = seen[37 * index + 32 : 37 * index + 37]
        source = b"\0" + word
        sent.append(bytes(source[place] if cycle["literal"] else cycle["code"] for place, cycle in enumerate(leaving)))
    # The decoder takes the last zero for the frame's end.
    assert [cobs.decode(group) for group in sent] == words


@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize("moving", [0, 1])
@pytest.mark.parametrize(("register", "count"), [(5, 1), (62, 3), (31, 0x1_00), (63, 0)])
def test_request(register, count, moving, write):
    values = {"register": register, "moving": moving, "write": write, "sequence": 0xFE, "count": count}
    word = REQUEST.pack({**values, "select": 0, "address": 0})[0]
    turn = [{"shift": 1, "place": place} for place in range(32)]
    stimuli = [{**cycle, "load": 1, "bit": word >> cycle["place"] & 1} for cycle in turn] + turn
    stimuli += [{**cycle, "advance": 1} for cycle in turn * 3] + [{"place": 0}]
    seen = circuits.run(Request(), stimuli, ["register", "write", "more", "out"], idle={"shift": 0, "load": 0, "advance": 0})
    assert sum(cycle["out"] << place for place, cycle in enumerate(seen[32:64])) == word
    for turns, start in enumerate((32, 64, 96, 128, 160)):
        done = max(turns - 1, 0)
        at = (register + done * moving * (1 - write)) % 64
        expected = {"register": at, "write": write, "more": int((count - done) % (1 << 16) != 0)}
        assert {name: seen[start][name] for name in expected} == expected
