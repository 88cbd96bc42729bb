"""A whole board in compiled simulation, through its serial pins: images run like the golden model, and no fault is for long."""

from __future__ import annotations

from contextlib import closing
from random import Random

import numpy as np
import pytest
from small_board import CLOCK, CONFIG, LINKED, SMALL

from galton import cycles, golden
from galton.errors import PortError
from galton.format import MEMORY_DATA, MEMORY_TABLE, MEMORY_WEIGHTS, REGISTERS
from galton.link import Board
from galton.link.frames import Request
from galton_sim.board import SimulatedLine

pytestmark = pytest.mark.cosim


class FaultyLine:
    """A simulated line that does to the bytes of either way what a bad cable, a dying host or a second one does."""

    def __init__(self, line: SimulatedLine, rng: Random, rate: float) -> None:
        self.line, self.rng, self.rate = line, rng, rate
        self.name, self.speed, self.patience = line.name, line.speed, line.patience
        self.last, self.faults = b"", dict.fromkeys(self.KINDS, 0)

    KINDS = ("noise", "flip", "drop", "cut", "repeat", "count", "restart", "answer")

    def send(self, data: bytes) -> None:
        rng = self.rng
        if rng.random() >= self.rate:
            self.line.send(data)
            self.last = data
            return
        kind = rng.choice(self.KINDS[:-1])
        self.faults[kind] += 1
        place, size = rng.randrange(len(data)), rng.randrange(1, 5)
        if kind == "noise":
            data = data[:place] + rng.randbytes(size) + data[place:]
        elif kind == "flip":
            data = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        elif kind == "drop":
            data = data[:place] + data[place + size :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "repeat":
            data = data * (size + 1)
        elif kind == "count":
            # A right header that promises or asks for more words than the host means.
            wrong = Request(REGISTERS["memory_data"], rng.choice([9, 500, 65535]), select=7, address=rng.getrandbits(24))
            wrong = Request(wrong.register, words=[1] * 40, select=7) if rng.random() < 0.5 else wrong
            frame = wrong.pack(rng.randrange(256))
            data = frame[: rng.randrange(len(frame) // 2, len(frame) + 1)] + data
        else:
            # A host that died in mid-transfer, and the one after it.
            data = data[:place] + data
        self.line.send(data)

    def receive(self, timeout: float) -> bytes:
        found = self.line.receive(timeout)
        if not found or self.rng.random() >= self.rate / 2:
            return found
        self.faults["answer"] += 1
        place = self.rng.randrange(len(found))
        return self.rng.choice([found[:place], found[place:], found + self.last, self.rng.randbytes(5) + found, found + found])

    def close(self) -> None:
        self.line.close()


def line(**options) -> SimulatedLine:
    return SimulatedLine(LINKED, **options)


def test_a_network_runs_like_the_golden_model():
    image, raw = SMALL
    with Board(line()) as board:
        identity = board.identify()
        assert (identity.digest, identity.clock) == (CONFIG.digest, CLOCK)
        board.load(image)
        results = board.run(raw)
        assert np.array_equal(results.outputs, golden.run(image, raw))
        assert results.profiles == cycles.predict(image, raw)
        # The registers have the sums over the layers of the last one.
        sums = {name: sum(layer[name] for layer in results.profiles[-1]) for name in results.profiles[-1][0]}
        assert board.counters() == sums
        assert [status["layer"] for status in results.statuses] == [len(image.meta["layers"])] * len(raw)
        assert board.exchange.troubles == 0
        # Without an input, it waits for one; after a reset it is as new.
        board.reset()
        assert board.status() == {"busy": 0, "saturated": 0, "layer": 0}
        assert np.array_equal(board.run(raw[:1]).outputs, results.outputs[:1])
        # It is loaded again only where it is another one.
        board.write(MEMORY_WEIGHTS, 0, [0] * 100)
        assert not np.array_equal(board.execute(image, raw), results.outputs)
        board.image = None
        assert np.array_equal(board.execute(image, raw), results.outputs)


def stress(seed: int, faults: int, rate: float) -> FaultyLine:
    """Write and read memories over a faulty line until it had that many faults; all that was acknowledged must be there."""
    rng = Random(seed)
    faulty = FaultyLine(line(), rng, rate)
    with closing(faulty):
        _stress(faulty, rng, faults)
    return faulty


def _stress(faulty: FaultyLine, rng: Random, faults: int) -> None:
    board, held = Board(faulty, attempts=40), {}
    # Words addressed, and bits of a word.
    memories = {MEMORY_DATA: (1000, 32), MEMORY_WEIGHTS: (300, CONFIG.entry_bits), MEMORY_TABLE: (300, 12)}
    while sum(faulty.faults.values()) < faults:
        select, size = rng.choice(list(memories)), rng.randrange(1, 9)
        address = rng.randrange(memories[select][0] - size)
        words = [rng.getrandbits(memories[select][1]) for _ in range(size)]
        if rng.random() < 0.5:
            board.write(select, address, words)
            held |= {(select, address + index): word for index, word in enumerate(words)}
        else:
            found = board.read(select, address, size)
            assert found == [held.get((select, address + index), word) for index, word in enumerate(found)]
    # After all of that, the first request without a fault is answered.
    faulty.rate = 0
    before = board.exchange.troubles
    for select, (size, _) in memories.items():
        found = board.read(select, 0, size)
        assert all(found[address] == word for (memory, address), word in held.items() if memory == select)
    assert board.exchange.troubles == before


@pytest.mark.cosim
def test_faults():
    faulty = stress(1, 150, 0.5)
    assert all(faulty.faults.values())


@pytest.mark.parametrize("seed", range(4))
def test_many_faults(seed):
    faulty = stress(seed, 2_500, 0.5)
    assert all(count > 100 for count in faulty.faults.values())


@pytest.mark.parametrize(("faults", "rate"), [(20, 0.15), (400, 0.3)])
def test_inferences_over_a_faulty_line(faults, rate):
    """Loaded and run again and again, each output is the golden model's."""
    image, raw = SMALL
    expected = golden.run(image, raw)
    faulty = FaultyLine(line(), Random(3), 0)
    with Board(faulty, attempts=60) as board:
        board.load(image)
        faulty.rate = rate
        while sum(faulty.faults.values()) < faults:
            assert np.array_equal(board.run(raw).outputs, expected)


def test_a_simulation_that_ends():
    end = line()
    board = Board(end)
    end._process.kill()
    end._process.wait()
    with pytest.raises(PortError, match="The simulated tiny has ended"):
        board.status()
    end.close()
