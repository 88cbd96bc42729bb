"""From bundles of counts to single ones, where several activations are scanned in a cycle."""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import LAYER
from galton_hw.layout import layout
from galton_hw.quantizer import count_layout
from galton_hw.scan import tag_layout


class Serializer(wiring.Component):
    """Bundles in; out each count that is not 0 as the first of a bundle of its own, with its own start, the other ones 0.

    Markers, bundles that reach no output or have nothing but zeros, and all of an elementwise layer go through as they are.

    Latency `latency`, throughput an outgoing bundle a cycle.

    Members: `layer`, constant from reset on; streams `i` and `o`.
    """

    latency = 1

    def __init__(self, config: Config) -> None:
        self.config = config
        bundles = stream.Signature(count_layout(config.count_bits, tag_layout(config), config.scan_width))
        super().__init__({"layer": In(layout(LAYER, config)), "i": In(bundles), "o": Out(bundles)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item, layer, width = self.i.payload, self.layer, self.config.scan_width
        advance, whole = Signal(), Signal()
        pending, sent, lowest = Signal(width), Signal(width), Signal(range(width))
        stride = Signal(len(item.tag.start))
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            pending.eq(Cat(item.tag.active & (count.magnitude != 0) for count in item.counts) & ~sent),
            whole.eq(layer.elementwise | ~(pending & (pending - 1)).any()),
            self.i.ready.eq(advance & whole),
        ]
        for index in reversed(range(width)):
            with m.If(pending[index]):
                m.d.comb += lowest.eq(index)

        valid, payload = Signal(), Signal(item.shape(), reset_less=True)
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(payload)]
        strides = reduce(add, (Mux(bit, stride << place, 0) for place, bit in enumerate(lowest)))
        with m.If(advance):
            m.d.sync += [valid.eq(self.i.valid), payload.eq(item)]
            with m.If(~layer.elementwise):
                m.d.sync += [
                    payload.counts.eq(0),
                    payload.counts[0].eq(item.counts[lowest]),
                    payload.tag.start.eq(item.tag.start + strides),
                ]
            with m.If(self.i.valid):
                m.d.sync += sent.eq(Mux(whole, 0, sent | (1 << lowest)))
                with m.If(item.marker):
                    m.d.sync += stride.eq(Mux(item.tag.short, layer.channel_stride_short, layer.channel_stride_long))
        return m
