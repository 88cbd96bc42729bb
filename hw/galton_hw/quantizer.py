"""The streaming stratified-sampling quantizer (1905.12253, in the closed form of galton.arith.quantize_stream).

It takes a bundle of activations a cycle. Where there are several, prefix sums of their magnitudes are multiplied instead of the
magnitudes themselves: hits telescope, so that the residue is carried from bundle to bundle by a single addition.
"""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.format import BYTE_BITS, FRACTION_BITS, STEP_BITS
from galton_hw.layout import sign_magnitude
from galton_hw.multiplier import Multiplier


def item_layout(tag: ShapeLike, width: int = 1) -> data.StructLayout:
    """What enters: a bundle of raw bytes, those that it is short of 0, with whatever travels beside it.

    A `marker` has no bytes and leaves the residue alone.
    """
    return data.StructLayout({"raw": data.ArrayLayout(BYTE_BITS, width), "marker": 1, "tag": tag})


def count_layout(count_bits: int, tag: ShapeLike, width: int = 1) -> data.StructLayout:
    """What leaves: the counts of a bundle, 0 for a marker."""
    return data.StructLayout({"counts": data.ArrayLayout(sign_magnitude(count_bits), width), "marker": 1, "tag": tag})


class Sampler(wiring.Component):
    """One step of the quantizer, combinational.

    With `carry` reached_k = (product_k + residue) >> F, hits_k = reached_k - reached_{k-1}, reached_0 = 0; the products are
    those of prefix sums of magnitudes. Without, the products are the magnitudes' own and hits_k = (product_k + residue) >> F.

    Members: `products`, `residue`, `carry`; `hits` before saturation, `following` the residue afterwards (with `carry`).
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        super().__init__(
            {
                "products": In(data.ArrayLayout(BYTE_BITS + ceil_log2(width) + STEP_BITS, width)),
                "residue": In(FRACTION_BITS),
                "carry": In(1),
                "hits": Out(data.ArrayLayout(BYTE_BITS, width)),
                "following": Out(FRACTION_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before = Const(0, BYTE_BITS)
        for index in range(self.width):
            # Magnitudes are below 2^8 and m below 2^16, so the sum cannot overflow, nor a difference need more than 8 bits.
            position = Signal(len(self.products[index]), name=f"position_{index}")
            reached = position[FRACTION_BITS:][:BYTE_BITS]
            m.d.comb += [
                position.eq(self.products[index] + self.residue),
                self.hits[index].eq(reached - Mux(self.carry, before, 0) if index else reached),
                self.following.eq(position[:FRACTION_BITS]),
            ]
            before = reached
        return m


class Quantizer(wiring.Component):
    """count_j = sign(a_j) * ((|a_j| m + r_{j-1}) >> F), r_j the fraction left over; saturated at `count_bits`.

    Latency `latency` transfers, throughput a bundle a cycle; all stages rest together while an offered bundle is not taken.

    Parameters
    ----------
    count_bits: bits of a count's magnitude, 1..8.
    tag: shape of what travels beside each bundle.
    tech: see galton_hw.multiplier.
    width: activations of a bundle.

    Members
    -------
    step, residue, carry, bypass, dead_zone, signed_raw: as in format.LAYER; constant from reset on.
    saturated: in the cycle in which a bundle is taken, how many of its counts were cut; else 0.
    """

    def __init__(self, count_bits: int, tag: ShapeLike, tech: str = "generic", width: int = 1) -> None:
        if not 1 <= count_bits <= BYTE_BITS:
            raise ValueError(f"Count width must be 1..{BYTE_BITS}, not {count_bits!r}")
        self.count_bits, self.tag, self.tech, self.width = count_bits, tag, tech, width
        self.latency = 3 if width == 1 else 4
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(tag, width))),
                "o": Out(stream.Signature(count_layout(count_bits, tag, width))),
                "step": In(STEP_BITS),
                "residue": In(FRACTION_BITS),
                "carry": In(1),
                "bypass": In(1),
                "dead_zone": In(BYTE_BITS),
                "signed_raw": In(1),
                "saturated": Out(range(width + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # Magnitudes and dead zone. Of several activations they are kept for a cycle before they are summed up.
        magnitudes, negative = data.ArrayLayout(BYTE_BITS, self.width), data.ArrayLayout(1, self.width)
        stage = data.StructLayout({"magnitudes": magnitudes, "negative": negative, "marker": 1, "tag": self.tag})
        stages = [Signal(stage, name=f"stage_{index}", reset_less=True) for index in range(self.latency)]
        valids = [Signal(name=f"valid_{index}") for index in range(self.latency)]
        entered, last = stages[0], stages[-1]
        item = self.i.payload
        m.d.comb += [valids[0].eq(self.i.valid), entered.marker.eq(item.marker), entered.tag.eq(item.tag)]
        for index, raw in enumerate(item.raw):
            magnitude = Signal(BYTE_BITS, name=f"magnitude_{index}")
            m.d.comb += [
                entered.negative[index].eq(self.signed_raw & raw[-1]),
                magnitude.eq(Mux(entered.negative[index], -raw, raw)),
                entered.magnitudes[index].eq(Mux((magnitude < self.dead_zone) | item.marker, 0, magnitude)),
            ]
        with m.If(advance):
            m.d.sync += [after.eq(before) for chain in (stages, valids) for before, after in pairwise(chain)]

        # Products, and the residue: that of the layer's start serves until the first bundle has come by, and always for rounding.
        m.submodules.sampler = sampler = Sampler(self.width)
        carried, fresh = Signal(FRACTION_BITS, reset_less=True), Signal(init=1)
        operands, total = stages[self.latency - Multiplier.latency - 1].magnitudes, Const(0)
        for index, operand in enumerate(operands):
            multiplier = Multiplier(BYTE_BITS + ceil_log2(self.width), STEP_BITS, tech=self.tech)
            m.submodules[f"multiplier_{index}"] = multiplier
            total = operand + Mux(self.carry, total, 0) if index else operand
            m.d.comb += [multiplier.a.eq(total), multiplier.b.eq(self.step), multiplier.enable.eq(advance)]
            m.d.comb += sampler.products[index].eq(multiplier.product)
        m.d.comb += [sampler.carry.eq(self.carry), sampler.residue.eq(Mux(fresh | ~self.carry, self.residue, carried))]

        limit = (1 << self.count_bits) - 1
        valid, cut = Signal(), Signal(self.width)
        payload = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(payload)]
        m.d.comb += self.saturated.eq(Mux(valid & self.o.ready, sum(cut), 0))
        with m.If(advance):
            m.d.sync += [valid.eq(valids[-1]), payload.marker.eq(last.marker), payload.tag.eq(last.tag)]
            for index, count in enumerate(payload.counts):
                hits = Signal(BYTE_BITS, name=f"hits_{index}")
                excess = hits[self.count_bits :].any()
                m.d.comb += hits.eq(Mux(self.bypass, last.magnitudes[index], sampler.hits[index]))
                m.d.sync += [
                    count.magnitude.eq(Mux(excess, limit, hits)),
                    count.negative.eq(last.negative[index]),
                    cut[index].eq(excess),
                ]
            # A marker's magnitudes are 0, so that the residue stays what it is.
            with m.If(valids[-1]):
                m.d.sync += [carried.eq(sampler.following), fresh.eq(0)]
        return m
