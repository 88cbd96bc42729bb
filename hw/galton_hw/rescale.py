"""From accumulators back to raw activations: multiply, add bias and residual, shift, clamp (arith.requantize)."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import BYTE_BITS, LAYER, MULTIPLIER_BITS, SHIFTS, TOTAL_BITS
from galton_hw.layout import field_bits, layout
from galton_hw.memory import TwoPortMemory
from galton_hw.multiplier import Multiplier, MultiplyAdd


class LoadSignature(wiring.Signature):
    """Channels on their way in, while nothing is drained and `active` is 1: `bias` writes `word` for `channel`, `multiplier` what
    `word` becomes.

    That is (word * factor) >> SHIFTS[factor_shift]. Channels come in order, the multiplier after the bias.
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
                "factor_shift": Out(field_bits(LAYER, "multiplier_shift")),
            }
        )


class Requantizer(wiring.Component):
    """raw = clamp((accumulator * multiplier + bias + residual * residual_multiplier) >> shift, low, high).

    Latency 4, throughput 1; `bias` is taken a cycle after everything else. `product`, of accumulator and multiplier, is there two
    cycles after them.
    """

    latency = 4

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "accumulator": In(signed(config.accumulator_bits)),
                "multiplier": In(MULTIPLIER_BITS),
                "bias": In(TOTAL_BITS),
                "residual": In(BYTE_BITS),
                "product": Out(signed(config.accumulator_bits + MULTIPLIER_BITS)),
                "raw": Out(BYTE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self.layer
        m.submodules.multiplier = multiplier = Multiplier(
            self.config.accumulator_bits, MULTIPLIER_BITS, a_signed=True, tech=self.tech
        )
        m.submodules.residual = residual = MultiplyAdd(BYTE_BITS + 1, MULTIPLIER_BITS, TOTAL_BITS, tech=self.tech)
        m.d.comb += [
            multiplier.enable.eq(1),
            multiplier.a.eq(self.accumulator),
            multiplier.b.eq(self.multiplier),
            self.product.eq(multiplier.product),
            residual.a.eq(Cat(self.residual, self.residual[-1] & layer.signed_residual).as_signed()),
            residual.b.eq(layer.residual_multiplier),
            residual.c.eq(self.bias),
        ]

        # After the products, the residual's with the bias: shift and clamp.
        total = Signal(signed(TOTAL_BITS), reset_less=True)
        raw = Signal(BYTE_BITS, reset_less=True)
        shifted = Signal(signed(TOTAL_BITS - min(SHIFTS)))
        m.d.comb += [shifted.eq(Array(total >> shift for shift in SHIFTS)[layer.shift]), self.raw.eq(raw)]
        m.d.sync += [
            total.eq(multiplier.product + residual.total),
            raw.eq(Mux(shifted < layer.low, layer.low, Mux(shifted > layer.high, layer.high, shifted))),
        ]
        return m


class BundlePlaces(wiring.Component):
    """Where one channel after the other goes: to which bundle of a pixel (Config.bundles), to which place in it.

    Members: `layer`; `restart` before the first channel; `next` in a channel's last cycle, every second one at most; `bundle`,
    `place`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "restart": In(1),
                "next": In(1),
                "bundle": Out(ceil_log2(max(config.most_bundles, 2))),
                "place": Out(range(config.drain_width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, channels = self.config, self.layer.group_channels
        bundle, place = Signal.like(self.bundle, reset_less=True), Signal.like(self.place, reset_less=True)
        lane, owned = Signal(range(max(config.lanes, 2)), reset_less=True), Signal.like(channels, reset_less=True)
        ends_group, ends_vector, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            self.bundle.eq(bundle),
            self.place.eq(place),
            ends_group.eq(owned + 1 == channels),
            ends_vector.eq(ends_group | (lane == config.lanes - 1)),
            ends.eq(ends_vector | (place == config.drain_width - 1)),
        ]
        for few in range(1, config.drain_width):
            together = config.fetched_groups(few)
            if together > 1:
                with m.If(channels == few):
                    m.d.comb += ends.eq(place == few * together - 1)
        # Between two channels there is a cycle for this.
        group_ended, vector_ended, ended = (
            Signal(name=name, reset_less=True) for name in ("group_ended", "vector_ended", "ended")
        )
        m.d.sync += [group_ended.eq(ends_group), vector_ended.eq(ends_vector), ended.eq(ends)]
        with m.If(self.next):
            m.d.sync += [
                bundle.eq(bundle + ended),
                place.eq(Mux(ended, 0, place + 1)),
                lane.eq(Mux(vector_ended, 0, lane + 1)),
                owned.eq(Mux(group_ended, 0, owned + 1)),
            ]
        with m.If(self.restart):
            m.d.sync += [bundle.eq(0), place.eq(0), lane.eq(0), owned.eq(0)]
        return m


class Rescale(wiring.Component):
    """raws = Requantizer of accumulators and residuals, channel after channel, up to `drain_width` channels of a bundle at once.

    Latency 4, throughput 1 bundle. The multipliers pass through a requantizer's product on their way in: multiplier[c] =
    (stored * factor) >> SHIFTS[factor_shift], which scales them by the norm of a dynamic layer's input.

    Members
    -------
    i_valid, accumulators, residuals: the next bundle's; `last_channel`: it is a pixel's last one.
    o_valid, raws: four cycles later, with `o_last_channel`.
    load: before anything is drained, the layer's channels (LoadSignature).
    """

    latency = Requantizer.latency
    load_latency = 3

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        width = config.drain_width
        super().__init__(
            {
                "layer": In(layout(LAYER, config)),
                "i_valid": In(1),
                "accumulators": In(data.ArrayLayout(signed(config.accumulator_bits), width)),
                "residuals": In(data.ArrayLayout(BYTE_BITS, width)),
                "last_channel": Out(1),
                "o_valid": Out(1),
                "o_last_channel": Out(1),
                "raws": Out(data.ArrayLayout(BYTE_BITS, width)),
                "load": In(LoadSignature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, load, width = self.config, self.layer, self.load, self.config.drain_width
        depth = config.channels if width == 1 else max(config.most_bundles, 2)
        parts = [Requantizer(config, self.tech) for _ in range(width)]

        # The bundle at hand, and where a channel's parameters go.
        bundle, following = Signal(ceil_log2(depth)), Signal(ceil_log2(depth))
        target, place = load.channel, None
        if width == 1:
            m.d.comb += self.last_channel.eq(bundle + 1 == layer.output_channels)
        else:
            m.submodules.places = places = BundlePlaces(config)
            target, place = places.bundle, places.place
            final = Signal.like(bundle, reset_less=True)
            m.d.comb += [
                places.layer.eq(layer),
                places.restart.eq(~load.active),
                places.next.eq(load.multiplier),
                self.last_channel.eq(bundle == final),
            ]
            with m.If(load.multiplier):
                m.d.sync += final.eq(target)
        m.d.comb += following.eq(Mux(self.i_valid, Mux(self.last_channel, 0, bundle + 1), bundle))
        m.d.sync += bundle.eq(following)

        # Loading: biases straight, multipliers through the product.
        load_steps = [Signal(width, name=f"load_step_{index}", reset_less=True) for index in range(2)]
        load_targets = [Signal.like(target, name=f"load_target_{index}", reset_less=True) for index in range(2)]
        chosen = Signal(width)
        m.d.comb += chosen.eq(1 if place is None else 1 << place)
        m.d.sync += [
            load_steps[0].eq(Mux(load.multiplier, chosen, 0)),
            load_steps[1].eq(load_steps[0]),
            load_targets[0].eq(target),
            load_targets[1].eq(load_targets[0]),
        ]
        for index, part in enumerate(parts):
            m.submodules[f"multipliers_{index}"] = multipliers = TwoPortMemory(depth, MULTIPLIER_BITS)
            m.submodules[f"biases_{index}"] = biases = TwoPortMemory(depth, TOTAL_BITS)
            m.submodules[f"requantizer_{index}"] = part
            m.d.comb += [
                biases.write.eq(load.bias & chosen[index]),
                biases.write_address.eq(target),
                biases.write_data.eq(load.word),
                biases.read.eq(1),
                biases.read_address.eq(bundle),
                multipliers.write.eq(load_steps[1][index]),
                multipliers.write_address.eq(load_targets[1]),
                multipliers.write_data.eq(Array(parts[0].product >> shift for shift in SHIFTS)[load.factor_shift]),
                multipliers.read.eq(1),
                multipliers.read_address.eq(following),
                part.layer.eq(layer),
                part.accumulator.eq(self.accumulators[index]),
                part.multiplier.eq(multipliers.read_data),
                part.bias.eq(biases.read_data),
                part.residual.eq(self.residuals[index]),
                self.raws[index].eq(part.raw),
            ]
        with m.If(load.active):
            m.d.comb += [parts[0].accumulator.eq(load.factor), parts[0].multiplier.eq(load.word)]

        valids = [Signal(name=f"valid_{index}") for index in range(self.latency)]
        lasts = [Signal(name=f"last_{index}", reset_less=True) for index in range(self.latency)]
        for steps, source in ((valids, self.i_valid), (lasts, self.last_channel)):
            m.d.sync += [step.eq(before) for before, step in zip([source, *steps], steps, strict=False)]
        m.d.comb += [self.o_valid.eq(valids[-1]), self.o_last_channel.eq(lasts[-1])]
        return m
