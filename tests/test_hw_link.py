"""The link unit and its parts: what it answers, byte by byte, whatever it is sent."""

from __future__ import annotations

from random import Random

import circuits
import pytest
from cobs import cobs
from link_model import BOARD_WORD, Bus, Model, encoded

from galton.format import LINK_REGISTERS, MEMORY_DATA, POSITION, REGISTERS
from galton.link.frames import Request
from galton_hw.link.unit import Link

BYTE = 12
"""Cycles between two bytes."""
QUIET = 50
"""Cycles after which nothing more comes."""


class Bench:
    """A link unit in the simulator, a bus as the model has it around it, and a host."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.dut = bus, Link(BOARD_WORD)
        self.rng = Random(5)

    async def core(self, ctx):
        """Answers the register bus after 2 or 3 cycles and takes words of inputs."""
        dut, waited = self.dut, 0
        ctx.set(dut.words.ready, int(self.bus.takes_input))
        signals = (dut.bus.valid, dut.bus.ready, dut.bus.write, dut.bus.address, dut.bus.write_data)
        ports = (dut.words.valid, dut.words.ready, dut.words.payload)
        async for _, _, valid, ready, write, address, value, offered, taken, word in ctx.tick().sample(*signals, *ports):
            if offered and taken:
                self.bus.write(LINK_REGISTERS["input"], word)
            if valid and not ready:
                waited += 1
                if waited == 2:
                    if not write:
                        ctx.set(dut.bus.read_data, self.bus.read(address))
                    elif address == REGISTERS["memory_position"]:
                        self.bus.select, self.bus.address = POSITION.unpack([value]).values()
                    else:
                        self.bus.write(address, value)
                    ctx.set(dut.bus.ready, 1)
            else:
                waited = 0
                ctx.set(dut.bus.ready, 0)

    async def send(self, ctx, data: bytes) -> None:
        """Bytes at the least distance."""
        for value in data:
            ctx.set(self.dut.i.payload, value)
            ctx.set(self.dut.i.valid, 1)
            passed = 0
            while passed < BYTE:
                *_, ready = await ctx.tick().sample(self.dut.i.ready)
                passed += 1
                if ready:
                    ctx.set(self.dut.i.valid, 0)
                    ready = 0

    async def receive(self, ctx, quiet: int = QUIET) -> bytes:
        """What comes until nothing does, taken at random moments."""
        found, waited = bytearray(), 0
        while waited < quiet:
            ctx.set(self.dut.o.ready, self.rng.random() < 0.3)
            *_, valid, ready, payload = await ctx.tick().sample(self.dut.o.valid, self.dut.o.ready, self.dut.o.payload)
            waited += 1
            if valid:
                waited = 0
                if ready:
                    found.append(payload)
        ctx.set(self.dut.o.ready, 0)
        return bytes(found)

    def run(self, testbench) -> None:
        circuits.simulate(self.dut, testbench, background=[self.core])


def compare(pieces: list[bytes], **options) -> tuple[Bus, list[bytes]]:
    """Send each piece with a zero in front; the unit and the model must answer and do the same."""
    mine, theirs, answers = Bus(**options), Bus(**options), []
    bench, model = Bench(mine), Model(theirs)

    async def testbench(ctx):
        for piece in pieces:
            await bench.send(ctx, b"\0" + piece)
            answers.append(await bench.receive(ctx))
            assert answers[-1] == model.answer(piece), f"to {piece.hex()}"
            assert (mine.memory, mine.inputs, mine.enabled) == (theirs.memory, theirs.inputs, theirs.enabled)

    bench.run(testbench)
    return mine, answers


def pieces(requests: list[Request]) -> list[bytes]:
    return [request.pack(index)[1:] for index, request in enumerate(requests)]


def words(seed: int, count: int) -> list[int]:
    """Words with many zero bytes."""
    rng = Random(seed)
    return [sum(rng.choice([0, rng.randrange(256)]) << 8 * place for place in range(4)) for _ in range(count)]


def test_what_is_written_can_be_read():
    data = words(1, 9)
    bus, answers = compare(
        pieces(
            [
                Request(REGISTERS["memory_data"], words=data, select=3, address=0x123),
                Request(REGISTERS["memory_data"], 9, select=3, address=0x123),
                Request(LINK_REGISTERS["board"]),
                Request(REGISTERS["identity"], 2, moving=True),
                Request(REGISTERS["cycles"], 7, moving=True),
                Request(REGISTERS["control"], words=[1]),
                Request(LINK_REGISTERS["input"], words=[5, 6, 7]),
                Request(REGISTERS["control"]),
            ]
        )
    )
    assert bus.memory == {(3, 0x123 + index): word for index, word in enumerate(data)}
    assert bus.inputs == [5, 6, 7]
    assert all(answers)


@pytest.mark.parametrize("count", [62, pytest.param(63, marks=pytest.mark.cosim), pytest.param(128, marks=pytest.mark.cosim)])
def test_long_blocks(count):
    # Frames around 254 bytes, with and without any zero.
    rng = Random(count)
    data = [rng.getrandbits(32) | 0x01010101 for _ in range(count)]
    request = Request(REGISTERS["memory_data"], words=data, select=1, address=0x7F7F7F)
    bus, answers = compare([cobs.encode(cobs.decode(piece)) for piece in pieces([request])])
    assert len(bus.memory) == count
    assert answers[0]


def test_nothing_is_done_on_a_wrong_header():
    request = Request(REGISTERS["memory_data"], words=[1, 2, 3], select=2, address=7).pack(9)[1:]
    body = bytearray(cobs.decode(request))
    wrong = []
    for bit in range(0, 96, 19):
        body[bit // 8] ^= 1 << bit % 8
        wrong.append(cobs.encode(bytes(body)))
        body[bit // 8] ^= 1 << bit % 8
    bus, answers = compare(wrong)
    assert not bus.memory
    assert all(answers)


def test_damaged_words_are_told():
    request = Request(REGISTERS["memory_data"], words=[1, 2, 3], select=2, address=7).pack(9)[1:]
    body = bytearray(cobs.decode(request))
    body[17] ^= 4
    _, answers = compare([cobs.encode(bytes(body)), request])
    assert [answer[:5] for answer in answers] == [encoded([0x0901])[:5], encoded([0x0900])[:5]]


def test_refused_words_are_told():
    bus, answers = compare(pieces([Request(LINK_REGISTERS["input"], words=[4, 5])]), takes_input=False)
    assert not bus.inputs
    assert answers[0][:5] == encoded([0x2])[:5]


def test_an_input_is_one_request():
    given, enable = Request(LINK_REGISTERS["input"], words=[4, 5]), Request(REGISTERS["control"], words=[1])
    once, again, go = pieces([given, given, enable])
    bus, answers = compare([once, again, go, once[:-5], again, go, again, Request(REGISTERS["status"]).pack(7)[1:], again])
    assert bus.inputs == [4, 5, 4, 4, 5]
    refused = encoded([0x0102])[:5], encoded([0x0106])[:5]
    assert (answers[1][:5], answers[4][:5], answers[8][:5]) == (refused[0], refused[1], refused[1])


def test_requests_cut_short_are_not_answered_and_the_next_one_is():
    requests = pieces([Request(REGISTERS["memory_data"], words=[1, 2], select=2, address=7), Request(REGISTERS["identity"])])
    cut = [requests[0][:length] for length in range(0, len(requests[0]), 4)]
    _, answers = compare([piece for short in cut for piece in (short, requests[1])])
    assert not any(answers[0::2])
    assert all(answers[1::2])


def test_bytes_after_a_request_change_nothing():
    requests = pieces([Request(REGISTERS["memory_data"], words=[1, 2]), Request(REGISTERS["digest"])])
    compare([requests[0] + b"\x05abcd" * 3, requests[1] + requests[0], requests[1]])


def test_more_words_than_the_count():
    body = cobs.decode(Request(REGISTERS["memory_data"], words=[1, 2, 3], address=4).pack(1)[1:])
    fewer = cobs.decode(Request(REGISTERS["memory_data"], words=[1, 2], address=4).pack(1)[1:])
    bus, _ = compare([cobs.encode(fewer[:12] + body[12:])])
    assert bus.memory == {(MEMORY_DATA, 4): 1, (MEMORY_DATA, 5): 2}


@pytest.mark.parametrize("step", [97, pytest.param(7, marks=pytest.mark.cosim)])
def test_a_zero_ends_an_answer(step):
    """At any time: the next request is carried out, and its answer is the end of what comes."""
    bus = Bus()
    bench, model = Bench(bus), Model(Bus())
    long, short = pieces([Request(REGISTERS["memory_data"], 3), Request(REGISTERS["digest"])])

    async def testbench(ctx):
        for wait in range(0, 500, step):
            await bench.send(ctx, b"\0" + long)
            for _ in range(wait):
                ctx.set(bench.dut.o.ready, bench.rng.random() < 0.2)
                await ctx.tick()
            ctx.set(bench.dut.o.ready, 0)
            await bench.send(ctx, b"\0" + short)
            answer = await bench.receive(ctx)
            assert answer == model.answer(short)

    bench.run(testbench)


@pytest.mark.parametrize(("seed", "rounds"), [(0, 4), pytest.param(1, 60, marks=pytest.mark.cosim)])
def test_noise(seed, rounds):
    """Random bytes, and requests with bytes changed, dropped and inserted."""
    rng = Random(seed)
    data = pieces([Request(REGISTERS["memory_data"], words=words(seed, 3), select=1, address=seed), Request(REGISTERS["digest"])])
    sent = []
    for _ in range(rounds):
        piece = bytearray(rng.choice([rng.randbytes(rng.randrange(40)), *data]))
        for _ in range(rng.choice([0, 1, 1, 3])):
            place = rng.randrange(len(piece) + 1)
            piece[place : place + rng.randrange(2)] = rng.randbytes(rng.randrange(2))
        sent += [bytes(piece).replace(b"\0", b"\1"), data[1]]
    _, answers = compare(sent)
    assert all(answers[1::2])
