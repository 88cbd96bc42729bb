"""From counts to events: drops the zeros, holds back rows that the accumulators have no room for, feeds the groups."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER
from galton_hw.layout import field_bits, start_bits
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout


def event_layout(config: Config) -> data.StructLayout:
    """An event, or a marker; for a marker's fields see scan.tag_layout.

    In elementwise layers an event is the count of one `lane` of a vector; only the `last` one may be 0.
    """
    return data.StructLayout(
        {
            "magnitude": config.count_bits,
            "negative": 1,
            "marker": 1,
            "last": 1,
            "lane": ceil_log2(max(config.lanes, 2)),
            "short": 1,
            "start": start_bits(config),
            "column": ceil_log2(config.accumulator_words),
        }
    )


class Dispatch(wiring.Component):
    """Counts in, events out, to every group at once or in elementwise layers to the channel's own; zeros take one cycle and go
    nowhere, but for the last lane of a vector that has a count.

    An offer to one group stands as long as the other groups stay ready, as a FIFO does until it is given something.
    A marker passes at once; what follows it waits until the output rows that it claims have room in the ring.

    Members
    -------
    elementwise: of the layer.
    ring_rows: rows of the ring; row_drained: a row has been emptied, not in the first cycle after reset.
    event, fifo_stall, ring_stall: 1 in cycles in which an event leaves, or an item waits for a full FIFO or for the ring.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(count_layout(config.count_bits, tag_layout(config)))),
                "o": Out(stream.Signature(event_layout(config))).array(config.groups),
                "elementwise": In(1),
                "ring_rows": In(field_bits(LAYER, "ring_rows")),
                "row_drained": In(1),
                "event": Out(1),
                "fifo_stall": Out(1),
                "ring_stall": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item = self.i.payload
        # Rows of the ring that nobody has claimed: negative while a claim waits. Rows that no input touches may be drained before
        # they are claimed, so it can pass ring_rows, too.
        spare, counted = Signal(signed(len(self.ring_rows) + 2)), Signal()
        blocked, leaves, all_ready, taken = Signal(), Signal(), Signal(), Signal()
        # Where an elementwise layer's activation belongs, and whether its vector has had a count.
        lane, group, begun = Signal(range(max(self.config.lanes, 2))), Signal(range(max(len(self.o), 2))), Signal()
        single, wanted = Signal(), Signal(len(self.o))
        m.d.comb += [
            blocked.eq(spare < 0),
            single.eq(self.elementwise & ~item.marker),
            leaves.eq(item.marker | (item.tag.active & ((item.magnitude != 0) | (item.tag.vector_end & begun)))),
            *(wanted[index].eq(~single | (group == index)) for index in range(len(self.o))),
            all_ready.eq(Cat(~wanted[index] | output.ready for index, output in enumerate(self.o)).all()),
        ]
        with m.If(taken & single):
            m.d.sync += [lane.eq(lane + 1), begun.eq(begun | leaves)]
            with m.If(item.tag.vector_end):
                m.d.sync += [lane.eq(0), begun.eq(0)]
                with m.If(item.tag.group_end):
                    m.d.sync += group.eq(Mux(group == len(self.o) - 1, 0, group + 1))
        for index, output in enumerate(self.o):
            others = [~wanted[place] | other.ready for place, other in enumerate(self.o) if place != index]
            m.d.comb += [
                output.valid.eq(self.i.valid & leaves & ~blocked & wanted[index] & Cat(others).all()),
                output.payload.magnitude.eq(item.magnitude),
                output.payload.negative.eq(item.negative),
                output.payload.marker.eq(item.marker),
                output.payload.last.eq(item.tag.vector_end),
                output.payload.lane.eq(lane),
                output.payload.short.eq(item.tag.short),
                output.payload.start.eq(item.tag.start),
                output.payload.column.eq(item.tag.column),
            ]
        m.d.comb += [
            self.i.ready.eq(~blocked & (~leaves | all_ready)),
            taken.eq(self.i.valid & self.i.ready),
            self.event.eq(taken & leaves & ~item.marker),
            self.ring_stall.eq(self.i.valid & blocked),
            self.fifo_stall.eq(self.i.valid & ~blocked & leaves & ~all_ready),
        ]
        m.d.sync += [
            counted.eq(1),
            spare.eq(spare + Mux(counted, self.row_drained, self.ring_rows) - Mux(taken & item.marker, item.tag.claim, 0)),
        ]
        return m
