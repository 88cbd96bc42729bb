"""From counts to events: drops the zeros, holds back rows that the accumulators have no room for, feeds the groups."""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER
from galton_hw.layout import layout, sign_magnitude, start_bits
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout


def event_layout(config: Config) -> data.StructLayout:
    """An event, or a marker; for a marker's fields see scan.tag_layout.

    In elementwise layers an event holds the counts of bundle number `bundle` of a vector of L lanes, not all 0 but in the `last`
    one; in others the first of `counts` is the event's, and not 0.
    """
    return data.StructLayout(
        {
            "counts": data.ArrayLayout(sign_magnitude(config.count_bits), config.scan_width),
            "marker": 1,
            "last": 1,
            "bundle": ceil_log2(max(-(-config.lanes // config.scan_width), 2)),
            "short": 1,
            "start": start_bits(config),
            "column": ceil_log2(config.accumulator_words),
        }
    )


class Dispatch(wiring.Component):
    """Bundles of counts in, events out: a cycle for each count that is not 0, which goes to every group at once.

    In elementwise layers a bundle goes as a whole, to the group that owns its channels. Bundles of zeros take one cycle and go
    nowhere, but for the last one of a vector that has a count.

    An offer to one group stands as long as the other groups stay ready, as a FIFO does until it is given something.
    A marker passes at once; what follows it waits until the output rows that it claims have room in the ring.

    Members
    -------
    layer: constant from reset on. row_drained: a row of the ring has been emptied, not in the first cycle after reset.
    events: counts other than 0 that leave in this cycle.
    fifo_stall, ring_stall: 1 in cycles in which an item waits for a full FIFO or for the ring.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "i": In(stream.Signature(count_layout(config.count_bits, tag_layout(config), config.scan_width))),
                "o": Out(stream.Signature(event_layout(config))).array(config.groups),
                "row_drained": In(1),
                "events": Out(range(config.scan_width + 1)),
                "fifo_stall": Out(1),
                "ring_stall": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item, layer = self.i.payload, self.layer
        # Rows of the ring that nobody has claimed: negative while a claim waits. Rows that no input touches may be drained before
        # they are claimed, so it can pass ring_rows, too.
        spare, started = Signal(signed(len(layer.ring_rows) + 2)), Signal()
        blocked, leaves, all_ready, taken = Signal(), Signal(), Signal(), Signal()
        # Where an elementwise layer's bundle belongs, and whether its vector has had a count.
        bundle, group, begun = Signal(len(self.o[0].payload.bundle)), Signal(range(max(len(self.o), 2))), Signal()
        single, wanted = Signal(), Signal(len(self.o))
        # Counts that are not 0, and those of them that are yet to go.
        counted, pending = Signal(len(item.counts)), Signal(len(item.counts))
        m.d.comb += [
            blocked.eq(spare < 0),
            single.eq(layer.elementwise & ~item.marker),
            counted.eq(Cat(item.tag.active & (count.magnitude != 0) for count in item.counts)),
            leaves.eq(item.marker | pending.any() | (item.tag.active & item.tag.vector_end & begun)),
            *(wanted[index].eq(~single | (group == index)) for index in range(len(self.o))),
            all_ready.eq(Cat(~wanted[index] | output.ready for index, output in enumerate(self.o)).all()),
        ]
        with m.If(taken & single):
            m.d.sync += [bundle.eq(bundle + 1), begun.eq(begun | leaves)]
            with m.If(item.tag.vector_end):
                m.d.sync += [bundle.eq(0), begun.eq(0)]
                with m.If(item.tag.group_end):
                    m.d.sync += group.eq(Mux(group == len(self.o) - 1, 0, group + 1))
        counts, start = Signal(item.counts.shape()), Signal(len(item.tag.start))
        goes, whole, going = Signal(), Signal(), Signal(len(counted))
        m.d.comb += [counts.eq(item.counts), start.eq(item.tag.start), pending.eq(counted), whole.eq(1), going.eq(counted)]
        if len(counted) > 1:
            self._one_by_one(m, counted, pending, counts, start, goes, whole, going)
        for index, output in enumerate(self.o):
            others = [~wanted[place] | other.ready for place, other in enumerate(self.o) if place != index]
            m.d.comb += [
                output.valid.eq(self.i.valid & leaves & ~blocked & wanted[index] & Cat(others).all()),
                output.payload.counts.eq(counts),
                output.payload.marker.eq(item.marker),
                output.payload.last.eq(item.tag.vector_end),
                output.payload.bundle.eq(bundle),
                output.payload.short.eq(item.tag.short),
                output.payload.start.eq(start),
                output.payload.column.eq(item.tag.column),
            ]
        m.d.comb += [
            goes.eq(~blocked & (~leaves | all_ready)),
            self.i.ready.eq(goes & whole),
            taken.eq(self.i.valid & self.i.ready),
            self.events.eq(Mux(self.i.valid & goes, sum(going), 0)),
            self.ring_stall.eq(self.i.valid & blocked),
            self.fifo_stall.eq(self.i.valid & ~blocked & leaves & ~all_ready),
        ]
        m.d.sync += [
            started.eq(1),
            spare.eq(spare + Mux(started, self.row_drained, layer.ring_rows) - Mux(taken & item.marker, item.tag.claim, 0)),
        ]
        return m

    def _one_by_one(
        self,
        m: Module,
        counted: Signal,
        pending: Signal,
        counts: Signal,
        start: Signal,
        goes: Signal,
        whole: Signal,
        going: Signal,
    ) -> None:
        """Several counts of a bundle go one after the other: the lowest one `pending` as the first of `counts`, from its `start`.

        `whole`: with what is `going` nothing is left of the bundle.
        """
        item, layer = self.i.payload, self.layer
        sent, stride, more = Signal(len(counted)), Signal(len(start)), Signal()
        m.d.comb += [pending.eq(counted & ~sent), more.eq((pending & (pending - 1)).any()), whole.eq(layer.elementwise | ~more)]
        with m.If(self.i.valid & goes):
            m.d.sync += sent.eq(Mux(whole, 0, sent | going))
            with m.If(item.marker):
                m.d.sync += stride.eq(Mux(item.tag.short, layer.channel_stride_short, layer.channel_stride_long))
        lowest = Signal(range(len(counted)))
        for index in reversed(range(len(counted))):
            with m.If(pending[index]):
                m.d.comb += lowest.eq(index)
        with m.If(~layer.elementwise):
            m.d.comb += [
                going.eq(pending & (~pending + 1)),
                counts[0].eq(item.counts[lowest]),
                start.eq(item.tag.start + reduce(add, (Mux(bit, stride << place, 0) for place, bit in enumerate(lowest)))),
            ]
