"""From counts to events: drops the zeros, holds back rows that the accumulators have no room for, feeds the groups."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, MAXIMUM_STRIDE, ROW
from galton_hw.layout import field_bits, layout, sign_magnitude, start_bits
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout


def event_layout(config: Config) -> data.StructLayout:
    """An event, or a marker; for a marker's fields see scan.tag_layout.

    In elementwise layers an event holds the counts of bundle number `bundle` of a vector of L lanes, not all 0 but in the `last`
    one; in others the first of `counts` is the event's, and not 0. Where there are several groups, `late` says that the group's
    taps begin a pixel of the accumulators further than `column`.
    """
    return data.StructLayout(
        {
            **({"late": 1} if config.groups > 1 else {}),
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
    """Bundles of counts in, events out, to every group with taps at once or in elementwise layers to the one with the channels.

    Bundles of zeros take one cycle and go nowhere, but for the last one of a vector that has a count. In other than elementwise
    layers only the first count of a bundle may be other than 0.

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
        # Rows of the ring that nobody has claimed: negative while a claim waits. Claimed are all rows that are done and those of
        # the segments at hand.
        spare, started = Signal(signed(len(layer.ring_rows) + 1)), Signal()
        row = data.StructLayout({name: field_bits(ROW, name) for name in ("done", "segments")})
        begins, segments = data.View(row, item.tag.start[: row.size]), Signal(row["segments"].shape)
        blocked, leaves, all_ready, taken = Signal(), Signal(), Signal(), Signal()
        # Where an elementwise layer's bundle belongs, and whether its vector has had a count.
        bundle, group, begun = Signal(len(self.o[0].payload.bundle)), Signal(range(max(len(self.o), 2))), Signal()
        single, wanted = Signal(), Signal(len(self.o))
        counted = Signal(len(item.counts))
        several = len(self.o) > 1
        every = item.tag.woken if several else [Const(1)]
        m.d.comb += [
            blocked.eq(spare < 0),
            single.eq(layer.elementwise & ~item.marker),
            counted.eq(Cat(item.tag.active & (count.magnitude != 0) for count in item.counts)),
            leaves.eq(item.marker | counted.any() | (item.tag.active & item.tag.vector_end & begun)),
            *(wanted[index].eq((~single | (group == index)) & woken) for index, woken in enumerate(every)),
            all_ready.eq(Cat(~wanted[index] | output.ready for index, output in enumerate(self.o)).all()),
        ]
        with m.If(taken & single):
            m.d.sync += [bundle.eq(bundle + 1), begun.eq(begun | leaves)]
            with m.If(item.tag.vector_end):
                m.d.sync += [bundle.eq(0), begun.eq(0)]
                with m.If(item.tag.group_end):
                    m.d.sync += group.eq(Mux(group == len(self.o) - 1, 0, group + 1))

        def own(field: Signal, index: int) -> Value:
            """The bit of a group for the item's label."""
            return field.word_select(index, MAXIMUM_STRIDE).bit_select(item.tag.label, 1)

        for index, output in enumerate(self.o):
            others = [~wanted[place] | other.ready for place, other in enumerate(self.o) if place != index]
            m.d.comb += [
                output.valid.eq(self.i.valid & leaves & ~blocked & wanted[index] & Cat(others).all()),
                output.payload.counts.eq(item.counts),
                output.payload.marker.eq(item.marker),
                output.payload.last.eq(item.tag.vector_end),
                output.payload.bundle.eq(bundle),
                output.payload.short.eq(item.tag.short | (own(layer.fewer, index) if several else 0)),
                output.payload.start.eq(item.tag.start),
                output.payload.column.eq(item.tag.column),
            ]
            if several:
                m.d.comb += output.payload.late.eq(own(layer.late, index) & ~item.marker)
        m.d.comb += [
            self.i.ready.eq(~blocked & (~leaves | all_ready)),
            taken.eq(self.i.valid & self.i.ready),
            self.events.eq(Mux(taken, sum(counted), 0)),
            self.ring_stall.eq(self.i.valid & blocked),
            self.fifo_stall.eq(self.i.valid & ~blocked & leaves & ~all_ready),
        ]
        m.d.sync += started.eq(1)
        room, claims = spare + Mux(started, self.row_drained, layer.ring_rows), taken & item.marker
        claim = begins.done + begins.segments - segments
        if self.config.group_distance:
            # What comes late chooses.
            m.d.sync += spare.eq(Mux(claims, room - claim, room))
        else:
            m.d.sync += spare.eq(room - Mux(claims, claim, 0))
        with m.If(claims):
            m.d.sync += segments.eq(begins.segments)
        return m
