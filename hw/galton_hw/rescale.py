"""From accumulators back to raw activations: multiply, add bias and residual, shift, clamp (arith.requantize)."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import BYTE_BITS, LAYER, MULTIPLIER_BITS, SHIFTS, TOTAL_BITS
from galton_hw.layout import layout
from galton_hw.memory import TwoPortMemory
from galton_hw.multiplier import Multiplier, MultiplyAdd


class LoadSignature(wiring.Signature):
    """Channels on their way in, while no layer runs and `active` is 1: `bias` or `multiplier` writes `word` for `channel`.

    The multiplier becomes (word * factor) >> SHIFTS[factor_shift].
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "active": Out(1),
                "bias": Out(1),
                "multiplier": Out(1),
                "channel": Out(ceil_log2(config.channels)),
                "word": Out(TOTAL_BITS),
                "factor": Out(MULTIPLIER_BITS),
                "factor_shift": Out(2),
            }
        )


class Rescale(wiring.Component):
    """raw = clamp((accumulator * multiplier[c] + bias[c] + residual * residual_multiplier) >> shift, low, high), c in order.

    Latency 4, throughput 1. The multipliers pass through the same product on their way in: multiplier[c] =
    (stored * factor) >> SHIFTS[factor_shift], which scales them by the norm of a dynamic layer's input.

    Members
    -------
    i_valid, accumulator, residual: the next accumulator and residual activation; `last_channel`: it is a pixel's last one.
    o_valid, raw: four cycles later, with `o_last_channel`.
    load: before a layer runs, its channels (LoadSignature).
    """

    latency = 4
    load_latency = 3

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "i_valid": In(1),
                "accumulator": In(signed(config.accumulator_bits)),
                "residual": In(BYTE_BITS),
                "last_channel": Out(1),
                "o_valid": Out(1),
                "o_last_channel": Out(1),
                "raw": Out(BYTE_BITS),
                "load": In(LoadSignature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self.config, self.layer
        m.submodules.multipliers = multipliers = TwoPortMemory(config.channels, MULTIPLIER_BITS)
        m.submodules.biases = biases = TwoPortMemory(config.channels, TOTAL_BITS)
        m.submodules.multiplier = multiplier = Multiplier(config.accumulator_bits, MULTIPLIER_BITS, a_signed=True, tech=self.tech)

        channel, following = Signal(ceil_log2(config.channels)), Signal(ceil_log2(config.channels))
        m.d.comb += [
            self.last_channel.eq(channel + 1 == layer.output_channels),
            following.eq(Mux(self.i_valid, Mux(self.last_channel, 0, channel + 1), channel)),
        ]
        m.d.sync += channel.eq(following)

        # Loading: biases straight, multipliers through the product.
        load_steps = [Signal(name=f"load_step_{index}", reset_less=True) for index in range(2)]
        load_channels = [Signal.like(channel, name=f"load_channel_{index}", reset_less=True) for index in range(2)]
        m.d.sync += [
            load_steps[0].eq(self.load.multiplier),
            load_steps[1].eq(load_steps[0]),
            load_channels[0].eq(self.load.channel),
            load_channels[1].eq(load_channels[0]),
        ]
        product = multiplier.product
        m.d.comb += [
            biases.write.eq(self.load.bias),
            biases.write_address.eq(self.load.channel),
            biases.write_data.eq(self.load.word),
            biases.read.eq(1),
            biases.read_address.eq(channel),
            multipliers.write.eq(load_steps[1]),
            multipliers.write_address.eq(load_channels[1]),
            multipliers.write_data.eq(Array(product >> shift for shift in SHIFTS)[self.load.factor_shift]),
            multipliers.read.eq(1),
            multipliers.read_address.eq(following),
            multiplier.enable.eq(1),
            multiplier.a.eq(Mux(self.load.active, self.load.factor, self.accumulator)),
            multiplier.b.eq(Mux(self.load.active, self.load.word, multipliers.read_data)),
        ]

        m.submodules.residual = residual = MultiplyAdd(BYTE_BITS + 1, MULTIPLIER_BITS, TOTAL_BITS, tech=self.tech)
        m.d.comb += [
            residual.a.eq(Cat(self.residual, self.residual[-1] & layer.signed_residual).as_signed()),
            residual.b.eq(layer.residual_multiplier),
            residual.c.eq(biases.read_data),
        ]

        # After the products, the residual's with the bias: shift and clamp.
        valids = [Signal(name=f"valid_{index}") for index in range(self.latency)]
        lasts = [Signal(name=f"last_{index}", reset_less=True) for index in range(self.latency)]
        for steps, source in ((valids, self.i_valid), (lasts, self.last_channel)):
            m.d.sync += [step.eq(before) for before, step in zip([source, *steps], steps, strict=False)]
        total = Signal(signed(TOTAL_BITS), reset_less=True)
        raw = Signal(BYTE_BITS, reset_less=True)
        shifted = Signal(signed(TOTAL_BITS - min(SHIFTS)))
        m.d.comb += shifted.eq(Array(total >> shift for shift in SHIFTS)[layer.shift])
        m.d.sync += [
            total.eq(product + residual.total),
            raw.eq(Mux(shifted < layer.low, layer.low, Mux(shifted > layer.high, layer.high, shifted))),
        ]
        m.d.comb += [self.o_valid.eq(valids[-1]), self.o_last_channel.eq(lasts[-1]), self.raw.eq(raw)]
        return m
