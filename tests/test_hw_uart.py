"""Bytes on a serial line: every byte, both ways, at speeds that are not quite right, and what is no byte."""

from __future__ import annotations

from random import Random

import circuits
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton_hw.link.uart import MINIMUM_DIVIDER, Receiver, Transmitter
from galton_sim import streams


class Loop(wiring.Component):
    """A transmitter and a receiver at the ends of a wire."""

    def __init__(self, divider):
        self.divider = divider
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = transmitter = Transmitter(self.divider)
        m.submodules.receiver = receiver = Receiver(self.divider)
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        wiring.connect(m, receiver.o, wiring.flipped(self.o))
        m.d.comb += receiver.line.eq(transmitter.line)
        return m


@pytest.mark.parametrize("divider", [MINIMUM_DIVIDER, 17])
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_what_is_sent_is_received(divider, stall):
    values = [0, 255, 0x55, 0xAA, 1, 128, *Random(divider).randbytes(4)]
    transfers = streams.run(Loop(divider), inputs={"i": values}, outputs={"o": len(values)}, stall=stall, seed=divider)
    assert transfers.values["o"] == values
    if not stall:
        # Back to back: start, data and stop bit.
        assert set(map(int.__sub__, transfers.times["i"][1:], transfers.times["i"])) == {10 * divider}


def test_a_transmitter_rests_at_one():
    seen = circuits.run(Transmitter(16), [{"i.valid": 0}] * 40, ["line"])
    assert [cycle["line"] for cycle in seen] == [1] * 40


def levels(value, divider, stop=1):
    """The line through a byte, `divider` cycles a bit, which need not be whole."""
    bits = [0, *((value >> place) & 1 for place in range(8)), stop]
    return [bits[int(cycle / divider)] for cycle in range(round(10 * divider))]


def received(line, divider, take=True):
    """The bytes that a receiver makes of a line, and how many cycles each stands."""
    seen = circuits.run(
        Receiver(divider), [{"line": level, "o.ready": take} for level in [*line, *[1] * 40]], ["o.valid", "o.payload"]
    )
    return [cycle["o.payload"] for cycle in seen if cycle["o.valid"]]


@pytest.mark.parametrize("error", [-0.04, 0, 0.04])
def test_a_speed_that_is_not_quite_right(error):
    values = [0, 255, 0xA5, 0x0F, 0x80, 0x01]
    line = [1] * 7 + [level for value in values for level in levels(value, 24 * (1 + error))]
    assert received(line, 24) == values


@pytest.mark.parametrize("length", [1, 5, 11])
def test_spikes_are_no_start_bits(length):
    spike = [1] * 30 + [0] * length + [1] * 30
    assert received(spike + levels(0x37, 24) + spike, 24) == [0x37]


def test_a_byte_without_stop_bit_is_dropped():
    line = [1] * 20 + levels(0x37, 24, stop=0) + [1] * 300 + levels(0x38, 24)
    assert received(line, 24) == [0x38]


def test_a_line_that_is_down():
    assert received([0] * 2000 + [1] * 300 + levels(0x38, 24), 24)[-1] == 0x38


def test_a_byte_stands_until_the_next_start_bit():
    line = levels(0x37, 24) + levels(0x38, 24) + [1] * 30
    stood = received(line, 24, take=False)
    assert stood.count(0x37) == 24
    assert set(stood) == {0x37, 0x38}


@pytest.mark.parametrize("part", [Receiver, Transmitter])
def test_lines_that_are_too_fast(part):
    with pytest.raises(ValueError, match=f"A bit must last at least {MINIMUM_DIVIDER} cycles, not 11"):
        part(11)
