"""The counters of PROFILE, in a ring that turns to show one after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import PROFILE, WORD_BITS
from galton_hw.counting import up


class Counters(wiring.Component):
    """total[i] += increments[i], modulo 2^WORD_BITS, every cycle.

    The counters themselves are the ring: with every `turn` each takes over the next one's total, so that no multiplexer and no
    memory is needed. Increments must be 0 from a turn on until as many turns as there are counters have passed.

    Members
    -------
    increments: in PROFILE's order, each at most `most`: what the groups or the scan's lanes do in a cycle.
    clear: for one cycle, forgets all increments before this cycle, and turns.
    turn: shows the next total from `latency` cycles later on.
    index, total: total number `index`, which has all increments up to `latency` cycles before.
    """

    latency = 2

    def __init__(self, config: Config) -> None:
        self.most = max(config.groups, config.scan_width)
        super().__init__(
            {
                "increments": In(range(self.most + 1)).array(PROFILE.words),
                "clear": In(1),
                "turn": In(1),
                "index": Out(ceil_log2(PROFILE.words)),
                "total": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # What chooses between sum and next total enters the carry chains, too: it comes from a register.
        index, turn = Signal.like(self.index), Signal()
        m.d.sync += turn.eq(self.turn)
        counts = [Signal(WORD_BITS, name=field.name) for field in PROFILE.fields]
        m.d.comb += [self.index.eq(index), self.total.eq(counts[0])]
        with m.If(turn):
            m.d.sync += index.eq(Mux(index == PROFILE.words - 1, 0, index + 1))
        for place, count in enumerate(counts):
            increment, following = Signal(range(self.most + 1), name=f"increment_{place}"), counts[(place + 1) % len(counts)]
            m.d.sync += increment.eq(self.increments[place])
            if self.most == 1:
                with m.If(turn | increment):
                    m.d.sync += count.eq(Mux(turn, following, up(count, turn)))
            else:
                m.d.sync += count.eq(Mux(turn, following, count + increment))
        with m.If(self.clear):
            m.d.sync += [count.eq(0) for count in (index, *counts)]
        return m
