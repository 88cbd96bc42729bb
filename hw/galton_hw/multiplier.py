"""Multipliers with registers on both sides, in the form that each FPGA family's DSP blocks want.

iCE40: yosys maps products to SB_MAC16 only with `-dsp`, which has no cap and rewrites instantiated blocks; so blocks are
instantiated here and `-dsp` is never given. Two 8 x 8 products share a block. Other families infer DSPs from the generic form.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from galton_hw.memory import TECHNOLOGIES

BLOCK_BITS = 16
"""Of an operand of SB_MAC16."""


def _mac16(
    a: Value, b: Value, product: Signal, enable: Value, *, signed_a: bool, signed_b: bool, dual: bool, added: Value | None = None
) -> Instance:
    """SB_MAC16 as 16 x 16 or as two 8 x 8 products, operands and product registered (Lattice TN1295).

    With `added`, 32 bits, the sum of the 16 x 16 product and it is registered instead.
    """
    output_select = 1 if added is not None else 2 if dual else 3
    addend = Const(0, 32) if added is None else added
    return Instance(
        "SB_MAC16",
        p_A_REG=1,
        p_B_REG=1,
        p_TOP_8x8_MULT_REG=1 if dual else 0,
        p_BOT_8x8_MULT_REG=1 if dual else 0,
        p_PIPELINE_16x16_MULT_REG1=0,
        p_PIPELINE_16x16_MULT_REG2=0 if dual or added is not None else 1,
        p_TOPADDSUB_LOWERINPUT=2,
        p_TOPADDSUB_UPPERINPUT=1,
        p_TOPADDSUB_CARRYSELECT=3,
        p_BOTADDSUB_LOWERINPUT=2,
        p_BOTADDSUB_UPPERINPUT=1,
        p_BOTADDSUB_CARRYSELECT=0,
        p_TOPOUTPUT_SELECT=output_select,
        p_BOTOUTPUT_SELECT=output_select,
        p_MODE_8x8=1 if dual else 0,
        p_A_SIGNED=int(signed_a),
        p_B_SIGNED=int(signed_b),
        i_CLK=ClockSignal("sync"),
        i_CE=enable,
        i_A=a,
        i_B=b,
        i_C=addend[16:],
        i_D=addend[:16],
        i_AHOLD=Const(0),
        i_BHOLD=Const(0),
        i_CHOLD=Const(0),
        i_DHOLD=Const(0),
        i_IRSTTOP=Const(0),
        i_IRSTBOT=Const(0),
        i_ORSTTOP=Const(0),
        i_ORSTBOT=Const(0),
        i_OLOADTOP=Const(0),
        i_OLOADBOT=Const(0),
        i_ADDSUBTOP=Const(0),
        i_ADDSUBBOT=Const(0),
        i_OHOLDTOP=Const(0),
        i_OHOLDBOT=Const(0),
        i_CI=Const(0),
        i_ACCUMCI=Const(0),
        i_SIGNEXTIN=Const(0),
        o_O=product,
    )


def product_in_cells(a: Value, b: Value) -> Value:
    """a * b, both unsigned, as one conditional addition for each bit of `a`, whose condition fits the adder's own cells."""
    total: Value = Mux(a[0], b, 0)
    for place in range(1, len(a)):
        # Bits below `place` stay what they are.
        upper = total[place:]
        total = Cat(total[:place], Mux(a[place], (upper + b)[: len(b) + 1], upper))
    return total


class Multiplier(wiring.Component):
    """product = a * b, both unsigned, or a signed; b has at most 16 bits.

    Latency 2 in cycles with `enable`: operands are registered, then the product. Throughput 1. Exact.

    Parameters: `a_bits`, `b_bits`, `a_signed`, `tech`. On ice40 a block takes the highest 16 bits of `a`; the product of those
    below is made of cells, and what it has beyond their number of bits is added in the block.
    """

    latency = 2

    def __init__(self, a_bits: int, b_bits: int, *, a_signed: bool = False, tech: str = "generic") -> None:
        if tech not in TECHNOLOGIES:
            raise ValueError(f"tech must be one of {TECHNOLOGIES}, not {tech!r}")
        if b_bits > 16 or a_bits > 32:
            raise ValueError(f"Operands have at most 32 and 16 bits, not {a_bits} and {b_bits}")
        self.tech = tech
        a_shape = signed(a_bits) if a_signed else unsigned(a_bits)
        product = signed(a_bits + b_bits) if a_signed else unsigned(a_bits + b_bits)
        super().__init__({"enable": In(1), "a": In(a_shape), "b": In(b_bits), "product": Out(product)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.tech == "ice40":
            self._block(m)
            return m
        a = Signal(self.a.shape(), reset_less=True)
        b = Signal(self.b.shape(), reset_less=True)
        product = Signal(self.product.shape(), reset_less=True)
        m.d.comb += self.product.eq(product)
        with m.If(self.enable):
            m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        return m

    def _block(self, m: Module) -> None:
        is_signed, below = self.a.shape().signed, max(0, len(self.a) - BLOCK_BITS)
        upper = self.a[below:]
        operand = Signal(signed(BLOCK_BITS) if is_signed else unsigned(BLOCK_BITS))
        other, output = Signal(BLOCK_BITS), Signal(2 * BLOCK_BITS)
        m.d.comb += [operand.eq(upper.as_signed() if is_signed else upper), other.eq(self.b)]
        added, lowest = None, Signal(below, reset_less=True)
        if below:
            part, added = Signal(below + len(self.b), reset_less=True), Signal(2 * BLOCK_BITS)
            m.d.comb += added.eq(part[below:])
            with m.If(self.enable):
                m.d.sync += [part.eq(product_in_cells(self.a[:below], self.b)), lowest.eq(part[:below])]
        m.submodules.mac = _mac16(
            operand, other, output, self.enable, signed_a=is_signed, signed_b=False, dual=False, added=added
        )
        m.d.comb += self.product.eq(Cat(lowest, output))


class MultiplyAdd(wiring.Component):
    """total = a * b + c modulo 2^total_bits, a signed, b unsigned, both of at most 16 bits; total_bits at most 32.

    Latency 2 from `a` and `b`, which are registered, and 1 from `c`; the sum is registered. Throughput 1.
    """

    latency = 2

    def __init__(self, a_bits: int, b_bits: int, total_bits: int, tech: str = "generic") -> None:
        if tech not in TECHNOLOGIES:
            raise ValueError(f"tech must be one of {TECHNOLOGIES}, not {tech!r}")
        if max(a_bits, b_bits) > 16 or total_bits > 32:
            raise ValueError(f"Operands have at most 16, 16 and 32 bits, not {a_bits}, {b_bits} and {total_bits}")
        self.tech = tech
        super().__init__({"a": In(signed(a_bits)), "b": In(b_bits), "c": In(total_bits), "total": Out(signed(total_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.tech == "ice40":
            operand, other, addend = Signal(signed(16)), Signal(16), Signal(32)
            output = Signal(32)
            m.d.comb += [operand.eq(self.a), other.eq(self.b), addend.eq(self.c), self.total.eq(output)]
            m.submodules.mac = _mac16(operand, other, output, Const(1), signed_a=True, signed_b=False, dual=False, added=addend)
            return m
        a, b = Signal(self.a.shape(), reset_less=True), Signal(self.b.shape(), reset_less=True)
        total = Signal(self.total.shape(), reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), total.eq(a * b + self.c)]
        m.d.comb += self.total.eq(total)
        return m


class LaneMultipliers(wiring.Component):
    """products[i] = magnitudes[i] * weights[i], unsigned 8 bit times signed 8 bit, registered before and after.

    Latency 2, throughput 1, exact. Parameters: `lanes`, `tech`; on ice40 two lanes share a block.
    """

    latency = 2

    def __init__(self, lanes: int, tech: str = "generic") -> None:
        if tech not in TECHNOLOGIES:
            raise ValueError(f"tech must be one of {TECHNOLOGIES}, not {tech!r}")
        self.lanes, self.tech = lanes, tech
        super().__init__(
            {
                "magnitudes": In(data.ArrayLayout(8, lanes)),
                "weights": In(data.ArrayLayout(signed(8), lanes)),
                "products": Out(data.ArrayLayout(signed(16), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.tech == "generic":
            for lane in range(self.lanes):
                magnitude = Signal(8, name=f"magnitude_{lane}", reset_less=True)
                weight = Signal(signed(8), name=f"weight_{lane}", reset_less=True)
                product = Signal(signed(16), name=f"product_{lane}", reset_less=True)
                m.d.sync += [
                    magnitude.eq(self.magnitudes[lane]),
                    weight.eq(self.weights[lane]),
                    product.eq(magnitude * weight),
                ]
                m.d.comb += self.products[lane].eq(product)
            return m
        for pair in range(0, self.lanes, 2):
            output = Signal(32, name=f"output_{pair}")
            both = slice(pair, pair + 2)
            m.submodules[f"mac_{pair}"] = _mac16(
                Cat(*list(self.magnitudes)[both], Const(0, 8))[:16],
                Cat(*list(self.weights)[both], Const(0, 8))[:16],
                output,
                Const(1),
                signed_a=False,
                signed_b=True,
                dual=True,
            )
            m.d.comb += self.products[pair].eq(output[:16].as_signed())
            if pair + 1 < self.lanes:
                m.d.comb += self.products[pair + 1].eq(output[16:].as_signed())
        return m
