"""The streaming stratified-sampling quantizer (1905.12253, in the closed form of galton.arith.quantize_stream)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import BYTE_BITS, FRACTION_BITS, STEP_BITS
from galton_hw.multiplier import Multiplier


def item_layout(tag: ShapeLike) -> data.StructLayout:
    """What enters: a raw byte with whatever travels beside it; a `marker` has no byte and leaves the residue alone."""
    return data.StructLayout({"raw": BYTE_BITS, "marker": 1, "tag": tag})


def count_layout(count_bits: int, tag: ShapeLike) -> data.StructLayout:
    """What leaves: sign and magnitude of the count, 0 for a marker."""
    return data.StructLayout({"magnitude": count_bits, "negative": 1, "marker": 1, "tag": tag})


class Sampler(wiring.Component):
    """hits, next residue = divmod(product + residue, 2^F): one step of the quantizer, combinational.

    Members: `product` = |a| m, `residue`, `hits` before saturation, `following` the residue afterwards.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "product": In(BYTE_BITS + STEP_BITS),
                "residue": In(FRACTION_BITS),
                "hits": Out(BYTE_BITS),
                "following": Out(FRACTION_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        position = Signal(BYTE_BITS + STEP_BITS)
        # |a| < 2^8 and m < 2^16, so |a| m + r < 2^24: the sum cannot overflow.
        m.d.comb += [
            position.eq(self.product + self.residue),
            self.hits.eq(position[FRACTION_BITS:]),
            self.following.eq(position[:FRACTION_BITS]),
        ]
        return m


class Quantizer(wiring.Component):
    """count_j = sign(a_j) * ((|a_j| m + r_{j-1}) >> F), r_j the fraction left over; saturated at `count_bits`.

    Latency 3 transfers, throughput 1 a cycle; all stages rest together while an offered count is not taken.

    Parameters
    ----------
    count_bits: bits of a count's magnitude, 1..8.
    tag: shape of what travels beside each activation.
    tech: see galton_hw.multiplier.

    Members
    -------
    step, residue, carry, bypass, dead_zone, signed_raw: as in format.LAYER; constant from reset on.
    saturated: 1 in the cycle in which a count that was cut is taken.
    """

    latency = 3

    def __init__(self, count_bits: int, tag: ShapeLike, tech: str = "generic") -> None:
        if not 1 <= count_bits <= BYTE_BITS:
            raise ValueError(f"Count width must be 1..{BYTE_BITS}, not {count_bits!r}")
        self.count_bits, self.tag, self.tech = count_bits, tag, tech
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(tag))),
                "o": Out(stream.Signature(count_layout(count_bits, tag))),
                "step": In(STEP_BITS),
                "residue": In(FRACTION_BITS),
                "carry": In(1),
                "bypass": In(1),
                "dead_zone": In(BYTE_BITS),
                "signed_raw": In(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # Magnitude and dead zone, into the operand registers.
        stage = data.StructLayout({"magnitude": BYTE_BITS, "negative": 1, "marker": 1, "tag": self.tag})
        entered = Signal(stage)
        magnitude = Signal(BYTE_BITS)
        item = self.i.payload
        m.d.comb += [
            entered.negative.eq(self.signed_raw & item.raw[-1]),
            magnitude.eq(Mux(entered.negative, -item.raw, item.raw)),
            entered.magnitude.eq(Mux((magnitude < self.dead_zone) | item.marker, 0, magnitude)),
            entered.marker.eq(item.marker),
            entered.tag.eq(item.tag),
        ]
        m.submodules.multiplier = multiplier = Multiplier(BYTE_BITS, STEP_BITS, tech=self.tech)
        m.d.comb += [multiplier.a.eq(entered.magnitude), multiplier.b.eq(self.step), multiplier.enable.eq(advance)]
        stages = [Signal(stage, name=f"stage_{index}", reset_less=True) for index in range(2)]
        valids = [Signal(name=f"valid_{index}") for index in range(2)]

        # Sampling: the residue of the layer's start serves until the first activation has come by, and always for rounding.
        m.submodules.sampler = sampler = Sampler()
        carried, fresh = Signal(FRACTION_BITS, reset_less=True), Signal(init=1)
        last = stages[-1]
        m.d.comb += [
            sampler.product.eq(multiplier.product),
            sampler.residue.eq(Mux(fresh | ~self.carry, self.residue, carried)),
        ]
        hits = Signal(BYTE_BITS)
        m.d.comb += hits.eq(Mux(self.bypass | last.marker, last.magnitude, sampler.hits))
        limit = (1 << self.count_bits) - 1
        excess = hits[self.count_bits :].any()

        valid, cut = Signal(), Signal()
        payload = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += [self.o.valid.eq(valid), self.o.payload.eq(payload), self.saturated.eq(cut & valid & self.o.ready)]
        with m.If(advance):
            m.d.sync += [
                stages[0].eq(entered),
                stages[1].eq(stages[0]),
                valids[0].eq(self.i.valid),
                valids[1].eq(valids[0]),
                valid.eq(valids[1]),
                payload.magnitude.eq(Mux(excess, limit, hits)),
                payload.negative.eq(last.negative),
                payload.marker.eq(last.marker),
                payload.tag.eq(last.tag),
                cut.eq(excess),
            ]
            with m.If(valids[1] & ~last.marker):
                m.d.sync += [carried.eq(sampler.following), fresh.eq(0)]
        return m
