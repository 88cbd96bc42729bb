"""Sizes of the bundles of activations that the scan takes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import LAYER
from galton_hw.layout import layout


class BundleSizes(wiring.Component):
    """count = config.scan_width, or what is left of a pixel, in elementwise layers of a vector of L lanes or of a group.

    What it says of a bundle is ready in registers: the next one's is computed while the one at hand is taken.

    Members
    -------
    layer: constant. channels: of a pixel, in elementwise layers of a group, less one; constant.
    start: before the first bundle; next: a bundle is taken.
    count, vector_end, group_end: of the bundle at hand, from the cycle after `start` on; it is a vector's last one only in
        elementwise layers, and the last one of a group or there of a pixel.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        record = layout(LAYER, config)
        super().__init__(
            {
                "layer": In(record),
                "channels": In(record["input_channels"].shape),
                "start": In(1),
                "next": In(1),
                "count": Out(range(config.scan_width + 1)),
                "vector_end": Out(1),
                "group_end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width, lanes = self.config.scan_width, self.config.lanes
        bundles = -(-lanes // width)
        bundle, following = Signal(range(max(bundles, 2)), reset_less=True), Signal(range(max(bundles, 2)))
        rest, following_rest = Signal(self.channels.shape(), reset_less=True), Signal(self.channels.shape())
        count, most, following_most = (
            Signal.like(self.count, reset_less=True),
            Signal.like(self.count, reset_less=True),
            Signal.like(self.count),
        )
        last, group_end, following_end = Signal(reset_less=True), Signal(reset_less=True), Signal()
        m.d.comb += [
            self.count.eq(count),
            self.group_end.eq(group_end),
            self.vector_end.eq(last | (self.layer.elementwise & group_end)),
            following.eq(Mux(self.start | self.vector_end, 0, bundle + 1)),
            following_rest.eq(Mux(self.start | group_end, self.channels, rest - most)),
            following_most.eq(width),
            following_end.eq(following_rest < following_most),
        ]
        following_last = self.layer.elementwise & (following == bundles - 1)
        with m.If(following_last):
            m.d.comb += following_most.eq(lanes - width * (bundles - 1))
        with m.If(self.start | self.next):
            m.d.sync += [
                bundle.eq(following),
                rest.eq(following_rest),
                most.eq(following_most),
                last.eq(following_last),
                group_end.eq(following_end),
                count.eq(Mux(following_end, following_rest + 1, following_most)),
            ]
        return m
