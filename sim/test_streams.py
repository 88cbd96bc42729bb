"""The stream helpers themselves: a good component passes, each kind of bad one is caught."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from galton_sim import streams


class Register(wiring.Component):
    """o = i + 1, one register; `bug` breaks the contract in a chosen way."""

    def __init__(self, bug=None):
        self.bug = bug
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        full = Signal()
        ready = ~full | self.o.ready
        m.d.comb += [self.o.valid.eq(full), self.i.ready.eq(ready)]
        with m.If(ready):
            m.d.sync += [full.eq(self.i.valid), self.o.payload.eq(self.i.payload + 1)]
        if self.bug == "withdraws":
            m.d.sync += full.eq(self.i.valid)
        if self.bug == "changes":
            m.d.sync += self.o.payload.eq(self.i.payload + 1)
        if self.bug == "waits":
            m.d.comb += self.o.valid.eq(full & self.o.ready)
        if self.bug == "doubles":
            again = Signal()
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += again.eq(~again)
            m.d.comb += self.i.ready.eq(~full | (self.o.ready & again))
            with m.If(full & self.o.ready & ~again):
                m.d.sync += [full.eq(1), self.o.payload.eq(self.o.payload)]
        return m


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_values_survive_stalls(stall, seed):
    values = list(range(50))
    transfers = streams.run(Register(), inputs={"i": values}, outputs={"o": 50}, stall=stall, seed=seed)
    assert transfers.values["o"] == [value + 1 for value in values]
    assert len(transfers.times["i"]) == len(transfers.times["o"]) == 50


def test_full_speed_and_latency():
    transfers = streams.run(Register(), inputs={"i": range(20)}, outputs={"o": 20})
    assert transfers.times["i"] == list(range(20))
    assert transfers.times["o"] == [time + 1 for time in transfers.times["i"]]


@pytest.mark.parametrize(
    ("bug", "message"), [("withdraws", "withdrew"), ("changes", "changed"), ("waits", "Nothing more after 2000 cycles")]
)
def test_broken_contracts_are_caught(bug, message):
    with pytest.raises(streams.StreamError, match=message):
        streams.run(Register(bug), inputs={"i": range(100)}, outputs={"o": 100}, stall=0.5, limit=2000)


def test_surplus_outputs_are_seen():
    transfers = streams.run(Register("doubles"), inputs={"i": range(5)}, outputs={"o": 5})
    assert len(transfers.values["o"]) == 10


def test_structured_payloads_become_plain():
    shape = data.StructLayout({"a": 4, "b": data.ArrayLayout(3, 2)})

    class Pass(wiring.Component):
        i: In(stream.Signature(shape))
        o: Out(stream.Signature(shape))

        def elaborate(self, platform):
            m = Module()
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
            return m

    values = [{"a": 1, "b": [2, 3]}, {"a": 15, "b": [0, 7]}]
    transfers = streams.run(Pass(), inputs={"i": values}, outputs={"o": 2}, stall=0.4)
    assert transfers.values["o"] == values
