"""The selftest of a board, against models of good boards and of bad ones."""

from __future__ import annotations

import zlib
from itertools import takewhile

import numpy as np
import pytest
from link_model import Bus, Model, ModelLine, encoded

from galton import cycles, golden
from galton.config import CONFIGS, named
from galton.format import ANSWER, MEMORY_DATA, MEMORY_WEIGHTS
from galton.link import Board, selftest
from galton.link.frames import packed, parse
from galton.link.network import built_in, inputs
from galton.link.selftest import Failed, Place

CONFIG = named("tiny")


def board(bus: Bus, **options) -> Board:
    return Board(ModelLine(bus, **options), patience=0.01)


class Stuck(Bus):
    """A bit of its addresses is always 0."""

    def write(self, register, value):
        self.address &= ~128
        super().write(register, value)

    def read(self, register):
        self.address &= ~128
        return super().read(register)


class Forgetful(Bus):
    """A bit of a memory's words is always 1."""

    def read(self, register):
        return super().read(register) | 0x8000


def test_a_good_board_passes_all_but_what_a_model_cannot_run():
    bus = Bus(CONFIG.digest, takes_input=False)
    seen = list(takewhile(lambda check: check.name != "refused inputs", selftest.selftest(board(bus))))
    assert [check.name for check in seen] == [
        "identity",
        "line",
        "data memory",
        "weights of group 0",
        "table of group 0",
        "errors",
    ]
    assert all(check.passed for check in seen), seen
    assert "tiny, 24 MHz, kind 7" in seen[0].detail


def test_a_board_of_no_known_configuration():
    (check,) = selftest.selftest(board(Bus(5)))
    assert (check.passed, check.detail) == (False, "no configuration of this version has digest 00000005")


@pytest.mark.parametrize(("bus", "words"), [(Stuck(), "at address 0 stands"), (Forgetful(), "words there are wrong")])
def test_bad_memories_are_found(bus, words):
    with pytest.raises(Failed, match=words):
        selftest.memory(board(bus), Place("data", MEMORY_DATA, 1000), False)


def test_every_word_of_entries_of_several():
    """Three bus words to an address, the last one of 3 bits."""
    bus = Bus()
    assert selftest.memory(board(bus), Place("weights", MEMORY_WEIGHTS, 300, (32, 32, 3)), True).startswith("1,800 words written")
    assert sorted(bus.memory) == [(MEMORY_WEIGHTS, word) for word in range(900)]
    assert all(word < 8 for (_, place), word in bus.memory.items() if place % 3 == 2)


def test_a_line_with_faults_is_found():
    faults = iter([True, True] + [False] * 1000)
    with pytest.raises(Failed, match="of 50 requests had to be repeated"):
        selftest.line(board(Bus(), spoil=lambda data: data[:-1] if next(faults) else data))


def test_an_input_that_a_disabled_core_takes_is_found():
    with pytest.raises(Failed, match="a disabled core took an input"):
        selftest.refused(board(Bus(takes_input=True)))


def test_a_line_that_never_stops():
    babble = board(Bus())
    babble.exchange.line.receive = lambda timeout: b"\x55" * 50
    assert selftest.provoke(babble, bytes(12)) is None


@pytest.mark.parametrize(
    ("untold", "words"),
    [
        (lambda model, piece: True, "a damaged header was not told"),
        (lambda model, piece: model.bus.memory.get((MEMORY_DATA, selftest.PLACE)) == 3, "damaged words were not told"),
    ],
)
def test_a_board_that_does_not_tell_errors_is_found(monkeypatch, untold, words):
    """The model says that a damaged request was well."""
    tell, silent = Model.answer, board(Bus())

    def answer(model, piece):
        told = parse(tell(model, piece)[:-1])
        if told is None or not told.fields["corrupt"] or not untold(model, piece):
            return tell(model, piece)
        found = ANSWER.pack({**told.fields, "corrupt": 0})
        return encoded([*found, zlib.crc32(packed(found))])

    monkeypatch.setattr(Model, "answer", answer)
    with pytest.raises(Failed, match=words):
        selftest.errors(silent)


def test_a_board_that_carries_out_what_is_damaged_is_found(monkeypatch):
    class Rash(Bus):
        def read(self, register):
            return super().read(register) ^ (self.address == selftest.PLACE + 2)

    with pytest.raises(Failed, match="a damaged header was carried out"):
        selftest.errors(board(Rash()))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_network_fits_and_uses_everything(name):
    image = built_in(named(name))
    outputs, layers = golden.run(image, inputs()), cycles.predict(image, inputs())
    assert len(np.unique(outputs)) > 20
    assert all(counted["events"] for layer in layers for counted in layer)
    assert max(sum(one["cycles"] for one in layer) for layer in layers) < 20_000
