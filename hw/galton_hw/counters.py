"""The counters of PROFILE: sums in a small memory, and in front of each a short counter that the one adder empties in turn."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from galton.config import Config
from galton.format import PROFILE, WORD_BITS
from galton_hw.memory import TwoPortMemory

HALF_BITS = WORD_BITS // 2


class Counters(wiring.Component):
    """total[i] += increments[i], modulo 2^WORD_BITS, every cycle.

    A total is two half words. The adder goes round all of them, a half a cycle: low half plus short counter, high plus carry.

    Members
    -------
    increments: in PROFILE's order, each at most `most`: what the groups or the scan's lanes do in a cycle.
    clear: for one cycle, forgets all increments before this cycle.
    valid, index, total: total number `index`, shown for a cycle every `round_cycles` cycles. It has all increments up to three
        cycles before, but says nothing in the first 2 `round_cycles` cycles after `clear`.
    """

    round_cycles = 2 << ceil_log2(PROFILE.words)

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        self.most = max(config.groups, config.scan_width)
        super().__init__(
            {
                "increments": In(range(self.most + 1)).array(PROFILE.words),
                "clear": In(1),
                "valid": Out(1),
                "index": Out(ceil_log2(PROFILE.words)),
                "total": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # High halves in odd places; with the place's number a half's read begins.
        place = Signal(ceil_log2(self.round_cycles))
        high, current = place[0], place[1:]
        before = Signal.like(self.index)
        clearing = Signal()
        m.d.sync += place.eq(place + 1)
        with m.If(high):
            m.d.sync += before.eq(current)
        with m.If(place == self.round_cycles - 1):
            m.d.sync += clearing.eq(0)
        with m.If(self.clear):
            m.d.sync += [place.eq(0), clearing.eq(1)]

        # While all totals are cleared the short counters go on: they hold what comes in nearly two rounds.
        short = Array(Signal(bits_for(2 * self.round_cycles * self.most - 1), name=field.name) for field in PROFILE.fields)
        for index, (count, increment) in enumerate(zip(short, self.increments, strict=True)):
            with m.If((high & (current == index) & ~clearing) | self.clear):
                m.d.sync += count.eq(increment)
            with m.Else():
                m.d.sync += count.eq(count + increment)

        m.submodules.totals = totals = TwoPortMemory(self.round_cycles, HALF_BITS, "block" if self.tech == "ice40" else "auto")
        half, carry = Signal(HALF_BITS), Signal()
        low = Signal(HALF_BITS, reset_less=True)
        sums = Signal(HALF_BITS + 1)
        addend = Signal.like(short[0])
        m.d.comb += [
            addend.eq(Mux(high, Array([*short, Const(0, len(short[0]))])[current], carry)),
            sums.eq(totals.read_data + addend),
            totals.read.eq(1),
            totals.read_address.eq(place),
            totals.write.eq(1),
            totals.write_address.eq(Cat(high, before)),
            totals.write_data.eq(half),
            self.valid.eq(high),
            self.index.eq(before),
            self.total.eq(Cat(low, half)),
        ]
        m.d.sync += [Cat(half, carry).eq(Mux(clearing, 0, sums)), low.eq(half)]
        return m
