"""The core: composition only."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import LAYER, MEMORY_DATA, MEMORY_TABLE, MEMORY_WEIGHTS, PROFILE, SHIFTS, WORD_BITS
from galton_hw.counters import Counters
from galton_hw.dispatch import Dispatch
from galton_hw.distance import Distance
from galton_hw.divider import StepDivider
from galton_hw.drain import Drain
from galton_hw.group import Group
from galton_hw.layout import field_in_word
from galton_hw.memory import DualPortMemory, OnePortMemory
from galton_hw.norm import Norm
from galton_hw.quantizer import Quantizer, count_layout, item_layout
from galton_hw.registers import BusSignature, Registers
from galton_hw.relay import Relay
from galton_hw.scan import Scan, tag_layout
from galton_hw.sequencer import Sequencer
from galton_hw.serializer import Serializer


class Core(wiring.Component):
    """A network's words in, its words out, for whatever network was loaded over the bus (format.NETWORK).

    Parameters: `config`, and `tech` as in galton_hw.memory.
    Members: `bus`, see registers.BusSignature; `i`, words of input tensors; `o`, words of output tensors; `input_last`,
    `output_last`, as in Sequencer; `enabled`, CONTROL's.
    """

    def __init__(self, config: Config, tech: str = "generic") -> None:
        self.config, self.tech = config, tech
        super().__init__(
            {
                "bus": In(BusSignature()),
                "i": In(stream.Signature(WORD_BITS)),
                "o": Out(stream.Signature(WORD_BITS)),
                **{name: Out(1) for name in ("input_last", "output_last", "enabled")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, tech = self.config, self.tech
        registers, sequencer = Registers(config), Sequencer(config)
        norm, divider, counters = Norm(wide=config.drain_width > 1), StepDivider(), Counters(config)
        shared = config.data_ports == 1
        memory = OnePortMemory(config.data_words, WORD_BITS, tech) if shared else DualPortMemory(config.data_words, WORD_BITS)
        scan, dispatch, drain = Scan(config), Dispatch(config), Drain(config, tech)
        quantizer = Quantizer(config.count_bits, tag_layout(config), tech, config.scan_width)
        groups = [Group(config, tech) for _ in range(config.groups)]

        # What the host disables forgets everything; the engine rests but for a layer's run and the sweep of the accumulators.
        disabled, resting, odd = Signal(), Signal(), Signal()
        m.d.comb += [
            disabled.eq(~registers.enable),
            resting.eq(disabled | ~(sequencer.running | sequencer.sweep)),
        ]
        m.d.sync += odd.eq(~odd & ~resting)
        m.submodules.registers, m.submodules.memory, m.submodules.counters = registers, memory, counters
        for name, part in {"sequencer": sequencer, "norm": norm, "divider": divider}.items():
            m.submodules[name] = ResetInserter(disabled)(part)
        serializer = Serializer(config) if config.scan_width > 1 else None
        engine = {"scan": scan, "quantizer": quantizer, "dispatch": dispatch, "drain": drain}
        # Where several activations are taken at once, the paths of scan, quantizer with serializer, and dispatch are long enough
        # each by itself.
        relays: list[Relay] = []
        if serializer:
            tag = tag_layout(config)
            shapes = item_layout(tag, config.scan_width), count_layout(config.count_bits, tag, config.scan_width)
            relays = [Relay(shape) for shape in shapes]
            engine |= {"scanned": relays[0], "serializer": serializer, "single": relays[1]}
        engine |= {f"group_{index}": group for index, group in enumerate(groups)}
        ways = [Distance(config) for _ in groups] if config.group_distance else []
        engine |= {f"way_{index}": way for index, way in enumerate(ways)}
        for name, part in engine.items():
            m.submodules[name] = ResetInserter(resting)(part)

        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        wiring.connect(m, wiring.flipped(self.i), sequencer.i)
        wiring.connect(m, sequencer.o, wiring.flipped(self.o))
        m.d.comb += [
            self.input_last.eq(sequencer.input_last),
            self.output_last.eq(sequencer.output_last),
            self.enabled.eq(registers.enable),
        ]
        chain = [scan, quantizer]
        if serializer:
            m.d.comb += serializer.layer.eq(sequencer.layer)
            chain = [scan, relays[0], quantizer, serializer, relays[1]]
        for part, following in pairwise([*chain, dispatch]):
            wiring.connect(m, part.o, following.i)
        for index, group in enumerate(ways or groups):
            wiring.connect(m, dispatch.o[index], group.i)
        for way, group in zip(ways, groups, strict=False):
            wiring.connect(m, way.o, group.i)
            m.d.comb += [
                way.left.eq(group.left),
                way.group_rows_done.eq(group.rows_done),
                way.group_entry.eq(group.entry),
                way.group_stolen.eq(group.stolen),
                group.fetch.eq(way.group_fetch),
                group.fetch_word.eq(way.group_fetch_word),
                way.group_accumulators.eq(group.accumulators),
            ]
        self._connect_memories(m, registers, sequencer, memory, scan, drain, groups, disabled, odd)
        self._connect_layer(m, sequencer, divider, norm, memory, scan, quantizer, dispatch, drain, groups, ways)
        self._count(m, counters, registers, sequencer, quantizer, dispatch, ways or groups)
        return m

    def _connect_memories(
        self,
        m: Module,
        registers: Registers,
        sequencer: Sequencer,
        memory: OnePortMemory | DualPortMemory,
        scan: Scan,
        drain: Drain,
        groups: list[Group],
        disabled: Signal,
        odd: Signal,
    ) -> None:
        """Who has the data memory's port: the host, the sequencer, or in turns the scan and the drain.

        Where there are two ports, one is the scan's and the other one the drain's, the sequencer's and the host's.
        """
        host, shared = registers.memory, self.config.data_ports == 1
        select_data = host.select == MEMORY_DATA
        with m.If(disabled):
            m.d.comb += [
                memory.address.eq(host.address),
                memory.write.eq(host.write & select_data),
                memory.write_data.eq(host.write_data),
            ]
        with m.Elif(sequencer.owns_memory):
            m.d.comb += [
                memory.address.eq(sequencer.address),
                memory.write.eq(sequencer.write),
                memory.write_data.eq(sequencer.write_data),
            ]
        with m.Else():
            m.d.comb += [
                memory.address.eq(Mux(odd, drain.address, scan.address) if shared else drain.address),
                memory.write.eq(drain.write),
                memory.write_data.eq(drain.write_data),
            ]
        # A narrow reader takes every second cycle, a wide one all of them.
        m.d.comb += [
            scan.turn.eq(~odd if self.config.scan_width == 1 else 1),
            scan.read_data.eq(memory.read_data if shared else memory.scan_data),
            drain.turn.eq(odd),
            drain.granted.eq(1 if shared else ~sequencer.owns_memory),
            *(part.read_data.eq(memory.read_data) for part in (sequencer, drain)),
        ]
        if not shared:
            m.d.comb += [
                memory.scan_address.eq(Mux(sequencer.running, scan.address, sequencer.second_address)),
                sequencer.second_data.eq(memory.scan_data),
            ]
        away = "sync" if self.config.group_distance else "comb"
        word, read = Signal.like(memory.read_data), Signal.like(host.read_data)
        m.d[away] += word.eq(memory.read_data)
        with m.Switch(host.select):
            with m.Case(MEMORY_DATA):
                m.d.comb += read.eq(word)
            for index, group in enumerate(groups):
                with m.Case(MEMORY_WEIGHTS + index):
                    m.d.comb += read.eq(group.weight_read_data)
                if self.config.sparse:
                    with m.Case(MEMORY_TABLE + index):
                        m.d.comb += read.eq(group.table_read_data)
        m.d[away] += host.read_data.eq(read)
        for index, group in enumerate(groups):
            m.d.comb += [
                group.host.eq(disabled),
                group.host_address.eq(host.address),
                group.weight_write.eq(host.write & (host.select == MEMORY_WEIGHTS + index)),
                group.weight_data.eq(host.write_data),
            ]
            if self.config.sparse:
                m.d.comb += [
                    group.table_write.eq(host.write & (host.select == MEMORY_TABLE + index)),
                    group.table_word.eq(host.write_data),
                ]

    def _connect_layer(
        self,
        m: Module,
        sequencer: Sequencer,
        divider: StepDivider,
        norm: Norm,
        memory: OnePortMemory | DualPortMemory,
        scan: Scan,
        quantizer: Quantizer,
        dispatch: Dispatch,
        drain: Drain,
        groups: list[Group],
        ways: list[Distance],
    ) -> None:
        """The layer's record to all that follow it, and what they tell each other."""
        layer, network = sequencer.layer, sequencer.network

        ports = self.config.data_ports
        # The next two words of LAYER: from both ports at once, or one after the other from the only one.
        pair = memory.read_data, memory.read_data if ports == 1 else memory.scan_data

        def arrives(name: str) -> Value:
            return sequencer.layer_write & (sequencer.load_index == LAYER.places[name][0] // ports)

        def arriving(name: str) -> Value:
            return field_in_word(LAYER, name, pair[LAYER.places[name][0] % ports], self.config)

        takes = {name: (arrives(name), arriving(name)) for name in ("samples", "step")}
        if self.config.group_distance:
            # A cycle later, from the registers.
            for name, (arrived, _) in takes.items():
                takes[name] = Signal(name=f"take_{name}"), layer[name]
                m.d.sync += takes[name][0].eq(arrived)

        static_factor = 1 << min(SHIFTS)
        m.d.comb += [
            sequencer.finished.eq(drain.finished),
            scan.layer.eq(layer),
            scan.table_write.eq(sequencer.table_write),
            scan.table_address.eq(sequencer.load_index),
            scan.table_word.eq(memory.read_data),
            quantizer.step.eq(divider.step),
            quantizer.residue.eq(layer.residue),
            quantizer.carry.eq(layer.carry),
            quantizer.bypass.eq(layer.bypass),
            quantizer.dead_zone.eq(layer.dead_zone),
            quantizer.signed_raw.eq(layer.signed_input),
            dispatch.layer.eq(layer),
            drain.layer.eq(layer),
            drain.load.active.eq(sequencer.load),
            drain.load.bias.eq(sequencer.load_bias),
            drain.load.multiplier.eq(sequencer.load_multiplier),
            drain.load.channel.eq(sequencer.load_index),
            drain.load.word.eq(memory.read_data),
            # A static layer's multipliers go through the product too: times 2^12, shifted back by 12.
            drain.load.factor.eq(Mux(layer.dynamic, divider.factor, static_factor)),
            drain.load.factor_shift.eq(Mux(layer.dynamic, layer.multiplier_shift, SHIFTS.index(min(SHIFTS)))),
            divider.clear.eq(sequencer.running),
            divider.take_norm.eq(sequencer.norm_take),
            divider.norm.eq(norm.total),
            divider.take_samples.eq(takes["samples"][0]),
            divider.samples.eq(takes["samples"][1]),
            divider.take_step.eq(takes["step"][0]),
            divider.static_step.eq(takes["step"][1]),
            divider.start.eq(sequencer.divide),
            divider.norm_shift.eq(layer.norm_shift),
            sequencer.divided.eq(divider.done),
            norm.clear.eq(sequencer.norm_clear),
            norm.word.eq(memory.write_data),
            norm.write.eq(Mux(sequencer.loading, sequencer.write, drain.final)),
            norm.signed_raw.eq(Mux(sequencer.loading, network.signed_input, layer.signed_output)),
            norm.dead_zone.eq(Mux(sequencer.loading, network.norm_dead_zone, layer.norm_dead_zone)),
        ]
        m.d["sync" if self.config.group_distance else "comb"] += dispatch.row_drained.eq(drain.row_drained)
        for index, (group, near) in enumerate(zip(groups, ways or groups, strict=True)):
            m.d.comb += [
                group.layer.eq(layer),
                near.fetch.eq(drain.fetch[index] | sequencer.sweep),
                near.fetch_word.eq(Mux(sequencer.sweep, sequencer.sweep_word, drain.fetch_word)),
                drain.rows_done[index].eq(near.rows_done),
                drain.accumulators[index].eq(near.accumulators),
            ]

    def _count(
        self,
        m: Module,
        counters: Counters,
        registers: Registers,
        sequencer: Sequencer,
        quantizer: Quantizer,
        dispatch: Dispatch,
        groups: list[Group] | list[Distance],
    ) -> None:
        """The counters of PROFILE, over one inference."""
        # What reaches no output does not count: the layer may end before the scan gets there.
        saturated = Mux(quantizer.o.payload.tag.active, quantizer.saturated, 0)
        increments = {
            "cycles": sequencer.counting,
            "events": dispatch.events,
            "entries": reduce(add, (group.entry for group in groups)),
            "fifo_stalls": dispatch.fifo_stall,
            "ring_stalls": dispatch.ring_stall,
            "drain_stalls": reduce(add, (group.stolen for group in groups)),
            "saturations": saturated,
        }
        m.d.comb += [
            *(counters.increments[index].eq(increments[field.name]) for index, field in enumerate(PROFILE.fields)),
            counters.clear.eq(sequencer.begin),
            counters.turn.eq(registers.counter_turn | sequencer.counter_turn),
            registers.counter_index.eq(counters.index),
            *(part.counter.eq(counters.total) for part in (registers, sequencer)),
            registers.busy.eq(sequencer.busy),
            registers.layers_done.eq(sequencer.layers_done),
            registers.saturated.eq(saturated.any()),
        ]
