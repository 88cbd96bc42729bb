"""The way to a group and back, with registers on it: large chips need more than a cycle from one end to the other."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton_hw.dispatch import event_layout


class Distance(wiring.Component):
    """Events and fetches reach a group a cycle later, its accumulators and the places that become free in its FIFO come back so.

    Events go by credit: `i` is ready while there is a place of the FIFO that no event has, here or on the way to it. So an event
    can leave the FIFO a cycle later than without, and its place is free a cycle later.

    Members
    -------
    i, o: events; `o` is always taken. left: an event leaves the group's FIFO.
    fetch, fetch_word, accumulators: the drain's side; group_*: the group's.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        accumulators = data.ArrayLayout(signed(config.accumulator_bits), config.lanes)
        word = ceil_log2(config.accumulator_words)
        super().__init__(
            {
                "i": In(stream.Signature(event_layout(config))),
                "o": Out(stream.Signature(event_layout(config))),
                "left": In(1),
                "fetch": In(1),
                "fetch_word": In(word),
                "accumulators": Out(accumulators),
                "group_fetch": Out(1),
                "group_fetch_word": Out(word),
                "group_accumulators": In(accumulators),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        places = Signal(range(self.config.fifo_depth + 1), init=self.config.fifo_depth)
        left, event = Signal(), Signal(self.i.payload.shape(), reset_less=True)
        valid, fetch = Signal(), Signal()
        word, accumulators = Signal.like(self.fetch_word, reset_less=True), Signal(self.accumulators.shape(), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(places != 0),
            self.o.valid.eq(valid),
            self.o.payload.eq(event),
            self.group_fetch.eq(fetch),
            self.group_fetch_word.eq(word),
            self.accumulators.eq(accumulators),
        ]
        m.d.sync += [
            left.eq(self.left),
            places.eq(places + left - (self.i.valid & self.i.ready)),
            valid.eq(self.i.valid & self.i.ready),
            event.eq(self.i.payload),
            fetch.eq(self.fetch),
            word.eq(self.fetch_word),
            accumulators.eq(self.group_accumulators),
        ]
        return m
