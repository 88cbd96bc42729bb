"""The way to a group and back, with registers on it: large chips need more than a cycle from one end to the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER
from galton_hw.dispatch import event_layout
from galton_hw.layout import field_bits


class Distance(wiring.Component):
    """Events and fetches reach a group a cycle later, and all that comes back does, places that become free in its FIFO too.

    Events go by credit: `i` is ready while there is a place of the FIFO that no event has, here or on the way to it. So an event
    can leave the FIFO a cycle later than without, and its place is free a cycle later.

    Members
    -------
    i, o: events; `o` is always taken. left: an event leaves the group's FIFO.
    fetch, fetch_word, accumulators, rows_done, entry, stolen: the other side; group_*: the group's, see Group.
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
                "rows_done": Out(field_bits(LAYER, "output_rows")),
                "entry": Out(1),
                "stolen": Out(1),
                "group_fetch": Out(1),
                "group_fetch_word": Out(word),
                "group_accumulators": In(accumulators),
                "group_rows_done": In(field_bits(LAYER, "output_rows")),
                "group_entry": In(1),
                "group_stolen": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        places = Signal(range(self.config.fifo_depth + 1), init=self.config.fifo_depth)
        ready, more = Signal(init=1), Signal.like(places)
        left, event = Signal(), Signal(self.i.payload.shape(), reset_less=True)
        valid, fetch = Signal(), Signal()
        word, accumulators = Signal.like(self.fetch_word, reset_less=True), Signal(self.accumulators.shape(), reset_less=True)
        rows_done, entry, stolen = Signal.like(self.rows_done), Signal(), Signal()
        goes = self.i.valid & ready
        m.d.comb += [
            self.i.ready.eq(ready),
            more.eq(places + left),
            self.o.valid.eq(valid),
            self.o.payload.eq(event),
            self.group_fetch.eq(fetch),
            self.group_fetch_word.eq(word),
            self.accumulators.eq(accumulators),
            self.rows_done.eq(rows_done),
            self.entry.eq(entry),
            self.stolen.eq(stolen),
        ]
        m.d.sync += [
            left.eq(self.left),
            places.eq(Mux(goes, more - 1, more)),
            ready.eq(Mux(goes, more > 1, more != 0)),
            valid.eq(goes),
            event.eq(self.i.payload),
            fetch.eq(self.fetch),
            word.eq(self.fetch_word),
            accumulators.eq(self.group_accumulators),
            rows_done.eq(self.group_rows_done),
            entry.eq(self.group_entry),
            stolen.eq(self.group_stolen),
        ]
        return m
