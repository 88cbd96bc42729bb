"""Multipliers against Python's products; the generic form, which every simulation of a core uses."""

from random import Random

import circuits
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton_hw import verilog
from galton_hw.multiplier import LaneMultipliers, Multiplier, MultiplyAdd, product_in_cells


@pytest.mark.parametrize(("a_bits", "b_bits", "a_signed"), [(8, 16, False), (20, 16, True), (32, 16, True), (1, 1, False)])
def test_products(a_bits, b_bits, a_signed):
    rng = Random(f"{a_bits} {b_bits}")
    low, high = (-(1 << (a_bits - 1)), (1 << (a_bits - 1)) - 1) if a_signed else (0, (1 << a_bits) - 1)
    pairs = [(a, b) for a in (low, high) for b in (0, (1 << b_bits) - 1)]
    pairs += [(rng.randint(low, high), rng.getrandbits(b_bits)) for _ in range(100)]
    stimuli = [{"enable": rng.random() < 0.7, "a": a, "b": b} for a, b in pairs]
    seen = circuits.run(Multiplier(a_bits, b_bits, a_signed=a_signed), stimuli, ["product"])
    # The product of the second last enabled cycle before.
    entered = []
    for stimulus, cycle in zip(stimuli, seen, strict=True):
        if len(entered) >= Multiplier.latency:
            assert cycle["product"] == entered[-Multiplier.latency]
        if stimulus["enable"]:
            entered.append(stimulus["a"] * stimulus["b"])
    assert len(entered) > 50


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_lanes(lanes):
    rng = Random(lanes)
    extremes = [([255] * lanes, [w] * lanes) for w in (-128, 127)]
    drawn = [[(rng.getrandbits(8), rng.randint(-128, 127)) for _ in range(lanes)] for _ in range(60)]
    pairs = extremes + [tuple(zip(*lane, strict=True)) for lane in drawn]
    stimuli = [{"magnitudes": magnitudes, "weights": weights} for magnitudes, weights in pairs]
    seen = circuits.run(LaneMultipliers(lanes), stimuli, ["products"])
    expected = [[m * w for m, w in zip(magnitudes, weights, strict=True)] for magnitudes, weights in pairs]
    latency = LaneMultipliers.latency
    assert [cycle["products"] for cycle in seen[latency:]] == expected[:-latency]


@pytest.mark.parametrize("total_bits", [20, 32])
def test_multiply_add(total_bits):
    rng = Random(total_bits)
    triples = [(a, b, c) for a in (-256, -1, 0, 255) for b in (0, 1, (1 << 16) - 1) for c in (0, 1, (1 << total_bits) - 1)]
    triples += [(rng.randrange(-256, 256), rng.getrandbits(16), rng.getrandbits(total_bits)) for _ in range(50)]
    # `c` comes a cycle after its `a` and `b`.
    stimuli = [{"a": a, "b": b, "c": c} for (a, b, _), (_, _, c) in zip(triples, [(0, 0, 0), *triples], strict=False)]
    seen = circuits.run(MultiplyAdd(9, 16, total_bits), stimuli, ["total"])
    totals = [cycle["total"] % (1 << total_bits) for cycle in seen[MultiplyAdd.latency :]]
    assert totals == [(a * b + c) % (1 << total_bits) for a, b, c in triples[: -MultiplyAdd.latency]]
    assert verilog.convert(MultiplyAdd(9, 16, total_bits, "ice40"), "total").count("SB_MAC16 ") == 1


class InCells(wiring.Component):
    """product_in_cells as a component."""

    def __init__(self, a_bits, b_bits):
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(product_in_cells(self.a, self.b))
        return m


@pytest.mark.parametrize(("a_bits", "b_bits"), [(1, 3), (3, 1), (4, 3)])
def test_products_in_cells(a_bits, b_bits):
    pairs = [(a, b) for a in range(1 << a_bits) for b in range(1 << b_bits)]
    seen = circuits.run(InCells(a_bits, b_bits), [{"a": a, "b": b} for a, b in pairs], ["product"])
    assert [cycle["product"] for cycle in seen] == [a * b for a, b in pairs]


@pytest.mark.parametrize(("a_bits", "blocks"), [(8, 1), (16, 1), (20, 1)])
def test_blocks_of_a_multiplier(a_bits, blocks):
    multiplier = Multiplier(a_bits, 16, a_signed=True, tech="ice40")
    assert verilog.convert(multiplier, "multiplier").count("SB_MAC16 ") == blocks


@pytest.mark.parametrize(("lanes", "blocks"), [(1, 1), (3, 2), (8, 4)])
def test_two_lanes_share_a_block(lanes, blocks):
    assert verilog.convert(LaneMultipliers(lanes, "ice40"), "lanes").count("SB_MAC16 ") == blocks


@pytest.mark.parametrize(
    "make", [lambda: Multiplier(8, 8, tech="asic"), lambda: LaneMultipliers(2, "asic"), lambda: MultiplyAdd(8, 8, 8, "asic")]
)
def test_technology_is_checked(make):
    with pytest.raises(ValueError, match=r"tech must be one of \('generic', 'ice40'\), not 'asic'"):
        make()


@pytest.mark.parametrize(("a_bits", "b_bits"), [(33, 16), (8, 17)])
def test_widths_are_checked(a_bits, b_bits):
    with pytest.raises(ValueError, match=f"Operands have at most 32 and 16 bits, not {a_bits} and {b_bits}"):
        Multiplier(a_bits, b_bits)
