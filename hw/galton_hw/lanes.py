"""The lanes: L multiply-accumulates a cycle into one word of the accumulator memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton_hw.layout import sign_magnitude
from galton_hw.memory import TwoPortMemory
from galton_hw.multiplier import LaneMultipliers


def signed_weight(weight: Value, negative: Value, bits: int) -> Value:
    """`weight`, or its negative, in two's complement of `bits` bits: flipped above its lowest 1, which needs no carry chain.

    The most negative weight of `bits` bits has no negative.
    """
    above = [negative & weight[:place].any() for place in range(len(weight))]
    value = [bit ^ flip for bit, flip in zip(weight, above, strict=True)]
    sign = Mux(weight[-1], ~negative, above[-1])
    return Cat(*value, *[sign] * (bits - len(weight)))


SHALLOW = 128
"""Accumulator words that are kept in look-up tables: a block RAM of ECP5 has 512 of 36 bits at least."""


def fetch_latency(config: Config) -> int:
    """Cycles from a word's `clear` until it stands in `accumulators`."""
    return 3 + 2 * config.group_distance


class Lanes(wiring.Component):
    """accumulator[word] += counts * weights, or read and clear, one operation a cycle.

    Pipeline, counted from the cycle of `issue` or `clear`: 1 the entry arrives, weights get their counts' signs and their plane;
    2 multiply, read the accumulators; 3 add and write back. A word written in the cycle before is forwarded, so that the same
    word can be hit in every cycle. Groups at a distance are large, too: everything that enters goes through a register first, and
    products and accumulators through another one before they are added; words of the two cycles before are forwarded.

    Members
    -------
    two_planes, elementwise, pixel: of the layer; an elementwise layer's taps lie `pixel` words apart, other entries one.
    load, counts: the count of each lane for what is issued from this cycle on.
    issue: an entry of the segment at hand, whose weights arrive in `entry` a cycle later; `first` of the segment; `high` plane.
    entry: weights, lane 0 lowest, then the step. Of 8-bit weights and of high planes the most negative one is not legal.
    word: with `first`, accumulator word of the segment; with `clear`, the word to read and clear, which is not that of the
        cycle before, at a distance of the two cycles before.
    accumulators: the word as it was, `latency` cycles after `clear`.
    """

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        self.latency = fetch_latency(config)
        super().__init__(
            {
                "two_planes": In(1),
                "elementwise": In(1),
                "pixel": In(ceil_log2(config.accumulator_words)),
                "load": In(1),
                "counts": In(data.ArrayLayout(sign_magnitude(config.count_bits), config.lanes)),
                "issue": In(1),
                "clear": In(1),
                "word": In(ceil_log2(config.accumulator_words)),
                "first": In(1),
                "high": In(1),
                "entry": In(config.entry_bits),
                "accumulators": Out(data.ArrayLayout(signed(config.accumulator_bits), config.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.multipliers = multipliers = LaneMultipliers(config.lanes, self.tech)
        style = "block" if config.accumulator_words > SHALLOW else "distributed"
        m.submodules.memory = memory = TwoPortMemory(config.accumulator_words, config.accumulator_bits * config.lanes, style)

        entering = {name: getattr(self, name) for name in ("load", "counts", "issue", "clear", "word", "first", "high", "entry")}
        if config.group_distance:
            for name, source in entering.items():
                entering[name] = Signal.like(source, name=f"entering_{name}", reset_less=name not in ("load", "issue", "clear"))
                m.d.sync += entering[name].eq(source)
        entry = entering["entry"]

        # 1: the entry is here.
        issued, cleared = Signal(), Signal()
        word = Signal(len(self.word), reset_less=True)
        first, high = Signal(reset_less=True), Signal(reset_less=True)
        counts = Signal(self.counts.shape(), reset_less=True)
        with m.If(entering["load"]):
            m.d.sync += counts.eq(entering["counts"])
        m.d.sync += [
            issued.eq(entering["issue"]),
            cleared.eq(entering["clear"]),
            word.eq(entering["word"]),
            first.eq(entering["first"]),
            high.eq(entering["high"]),
        ]
        following, here = Signal(len(self.word), reset_less=True), Signal(len(self.word))
        bits = config.weight_bits
        step = entry[config.lanes * bits :]
        m.d.comb += here.eq(Mux(first | cleared, word, following) + Mux(cleared, 0, step))
        with m.If(issued):
            m.d.sync += following.eq(here + Mux(self.two_planes & ~high, 0, Mux(self.elementwise, self.pixel, 1)))
        for lane in range(config.lanes):
            weight = entry[lane * bits : (lane + 1) * bits]
            operand = Signal(multipliers.weights[lane].shape(), name=f"operand_{lane}")
            m.d.comb += [
                multipliers.magnitudes[lane].eq(counts[lane].magnitude),
                operand.eq(signed_weight(weight, counts[lane].negative, len(operand))),
                multipliers.weights[lane].eq(operand),
            ]
            if config.planes == 2:
                m.d.comb += multipliers.weights[lane].eq(Mux(high, operand << bits, operand))

        # 2: multiply, read.
        read = Signal(data.StructLayout({"write": 1, "clear": 1, "word": len(self.word)}))
        m.d.sync += [read.write.eq(issued | cleared), read.clear.eq(cleared), read.word.eq(here)]
        m.d.comb += [memory.read.eq(1), memory.read_address.eq(read.word)]

        # 3: add, write; at a distance a cycle later.
        arrived = [read]
        stored, products = Value.cast(memory.read_data), multipliers.products
        if config.group_distance:
            arrived.append(Signal.like(read, name="arrived"))
            held = Signal(len(stored), reset_less=True)
            held_products = Signal(products.shape(), reset_less=True)
            m.d.sync += [arrived[1].eq(read), held.eq(stored), held_products.eq(products)]
            stored, products = held, held_products
        add = Signal.like(read)
        sums = Signal(self.accumulators.shape())
        m.d.sync += add.eq(arrived[-1])
        m.d.comb += [memory.write.eq(add.write), memory.write_address.eq(add.word), memory.write_data.eq(sums)]
        stored = data.View(self.accumulators.shape(), stored)
        # What has been written since the word was read goes before it, and the newest before all.
        current: list[Value] = list(stored)
        written, written_sums = [add], [sums]
        hits = [Signal(name=f"hit_{index}") for index in range(len(arrived))]
        for index, hit in enumerate(hits):
            last, last_sums = (
                Signal.like(read, name=f"last_{index}"),
                Signal.like(sums, name=f"last_sums_{index}", reset_less=True),
            )
            m.d.sync += [
                hit.eq(written[-1].write & (written[-1].word == arrived[-1].word)),
                last.eq(written[-1]),
                last_sums.eq(written_sums[-1]),
            ]
            written.append(last)
            written_sums.append(last_sums)
        for hit, last_sums in reversed(list(zip(hits, written_sums[1:], strict=True))):
            current = [Mux(hit, new, old) for new, old in zip(last_sums, current, strict=True)]
        for lane in range(config.lanes):
            # A word is never cleared so soon after it was written: the marker that frees a row comes in between.
            m.d.comb += [
                self.accumulators[lane].eq(stored[lane]),
                sums[lane].eq(Mux(add.clear, 0, current[lane] + products[lane])),
            ]
        return m
