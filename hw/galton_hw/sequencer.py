"""The sequencer: takes an input, runs the layers of the program, gives the output, and starts over."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from galton.config import Config
from galton.format import LAYER, NETWORK, PROFILE, STATUS, WORD_BITS, WORD_BYTES
from galton_hw.counting import down, up
from galton_hw.layout import RecordRegisters, field_bits, field_in_word, layout
from galton_hw.rescale import Rescale


class Sequencer(wiring.Component):
    """States: clear the accumulators once after enabling; then for every inference: read NETWORK and load the input; for every
    layer read LAYER, the ROWs and CHANNELs, run, write PROFILE; read NETWORK again and give the output. Where the memory has two
    ports, LAYER comes two words at a time, and CHANNELs while the layer runs: the drain leaves its port until then.

    Cycles of a layer (galton.cycles.setup and what follows) are those from the first read of LAYER to the last of the run;
    PROFILE writes are not counted.

    Members
    -------
    i, o: words of the input and output tensors.
    input_last, output_last: the word that `i` takes, or `o` offers, is its tensor's last.
    address, write, write_data, read_data: data memory, owned while `owns_memory`; a word comes a cycle after its address.
    second_address, second_data: where the memory has two ports, of the other one, which is the scan's while `running`.
    sweep, sweep_word: clear this accumulator word.
    running: the engine is out of reset; finished: its layer is done.
    layer_write: words of LAYER from number data_ports * load_index on have come, one from each port. table_write: so has ROW
        number load_index.
    load: CHANNELs are read; with load_bias or load_multiplier `read_data` is that word of number load_index.
    divide: start the step divider. norm_clear, norm_take: of the tensor that was written last.
    counter, counter_turn: a total of the counters, and go to the next one. counting: this cycle counts.
    begin: a new inference's first layer begins.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        address_bits = ceil_log2(config.data_words)
        super().__init__(
            {
                "i": In(stream.Signature(WORD_BITS)),
                "o": Out(stream.Signature(WORD_BITS)),
                "input_last": Out(1),
                "output_last": Out(1),
                "network": Out(layout(NETWORK, config)),
                "layer": Out(layout(LAYER, config)),
                "owns_memory": Out(1),
                "address": Out(address_bits),
                **({"second_address": Out(address_bits), "second_data": In(WORD_BITS)} if config.data_ports == 2 else {}),
                "write": Out(1),
                "write_data": Out(WORD_BITS),
                "read_data": In(WORD_BITS),
                "sweep": Out(1),
                "sweep_word": Out(ceil_log2(config.accumulator_words)),
                "running": Out(1),
                "finished": In(1),
                "layer_write": Out(1),
                "table_write": Out(1),
                "load": Out(1),
                "load_bias": Out(1),
                "load_multiplier": Out(1),
                "load_index": Out(max(ceil_log2(config.rows), ceil_log2(config.channels))),
                "divide": Out(1),
                "divided": In(1),
                "loading": Out(1),
                "norm_clear": Out(1),
                "norm_take": Out(1),
                "counter": In(WORD_BITS),
                "counter_turn": Out(1),
                "counting": Out(1),
                "begin": Out(1),
                "busy": Out(1),
                "layers_done": Out(field_bits(STATUS, "layer")),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, pairs = self.config, self.config.data_ports == 2
        m.submodules.network = network = RecordRegisters(NETWORK, config)
        m.submodules.layer = layer = RecordRegisters(LAYER, config, config.data_ports)
        m.d.comb += [self.network.eq(network.fields), self.layer.eq(layer.fields)]

        # One counter walks whatever the state walks; `pointer` follows the program, the input or the output; `words` are left.
        pointer, words = Signal(len(self.address)), Signal(len(network.fields.input_words))
        profile = Signal(len(self.address))
        index = Signal(max(len(self.load_index), len(self.sweep_word), bits_for(PROFILE.words)))
        part, giving = Signal(), Signal()
        layers_done = Signal(len(self.layers_done))
        m.d.comb += self.layers_done.eq(layers_done)

        # A word that was asked for in one cycle is here in the next.
        fetching, both = Signal(), Signal()
        arrived, arrived_index, arrived_part = Signal(), Signal.like(index, reset_less=True), Signal(reset_less=True)
        m.d.sync += [arrived.eq(fetching), arrived_index.eq(index), arrived_part.eq(part)]
        m.d.comb += [
            network.index.eq(arrived_index),
            network.words[0].eq(self.read_data),
            layer.index.eq(arrived_index),
            layer.words[0].eq(self.read_data),
            self.layer_write.eq(layer.write),
            self.load_index.eq(arrived_index),
        ]

        # NETWORK is read once for the input and once for the output.
        header, step, step_words, step_profile = Signal(), Signal(), Signal(), Signal()

        def arrives(name: str) -> Value:
            return header & arrived & (arrived_index == NETWORK.places[name][0])

        def arriving(name: str) -> Value:
            return field_in_word(NETWORK, name, self.read_data, config)

        place, take_place = Signal.like(pointer), Signal()
        count, take_count = Signal.like(words), Signal()
        take_profile = Signal()
        m.d.comb += [
            place.eq(Mux(giving, arriving("output_base"), arriving("input_base"))),
            take_place.eq(Mux(giving, arrives("output_base"), arrives("input_base"))),
            count.eq(Mux(giving, arriving("output_words"), arriving("input_words"))),
            take_count.eq(Mux(giving, arrives("output_words"), arrives("input_words"))),
            take_profile.eq(arrives("profile_base")),
        ]
        with m.If(take_place | step | (fetching & ~header)):
            m.d.sync += pointer.eq(Mux(take_place, place, up(pointer, take_place)))
        if pairs:
            m.d.comb += [self.second_address.eq(pointer + 1), layer.words[1].eq(self.second_data)]
            with m.If(both & fetching):
                m.d.sync += pointer.eq(pointer + 2)
        with m.If(take_count | step_words):
            m.d.sync += words.eq(Mux(take_count, count, down(words, take_count)))
        with m.If(take_profile | step_profile):
            m.d.sync += profile.eq(Mux(take_profile, arriving("profile_base"), up(profile, take_profile)))

        m.d.comb += [
            self.owns_memory.eq(1),
            self.address.eq(pointer),
            self.write_data.eq(Mux(self.loading, self.i.payload, self.counter)),
            self.o.payload.eq(self.read_data),
            self.sweep_word.eq(index),
            self.busy.eq(1),
            self.input_last.eq(words == 1),
            self.output_last.eq(words == 0),
        ]
        wait = Signal(range(WORD_BYTES + 1))
        ended, loaded = Signal(), Signal()
        layer_reads = -(-LAYER.words // config.data_ports)
        after_rows = "RUN" if pairs else "CHANNELS"
        channels_end = Signal()

        def channels() -> None:
            """A word of the CHANNELs a cycle, then the time that the last multiplier takes through the product."""
            ends = index == layer.fields.output_channels
            m.d.comb += [
                self.load.eq(1),
                fetching.eq(~ends),
                self.load_bias.eq(arrived & ~arrived_part),
                self.load_multiplier.eq(arrived & arrived_part),
                channels_end.eq(ends & (wait == Rescale.load_latency)),
            ]
            with m.If(~ends):
                m.d.sync += part.eq(~part)
                with m.If(part):
                    m.d.sync += index.eq(index + 1)
            with m.Else():
                m.d.sync += wait.eq(wait + 1)
                with m.If(channels_end):
                    m.d.sync += wait.eq(0)

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [index.eq(0), part.eq(0), giving.eq(0)]
                m.next = "SWEEP"
            with m.State("SWEEP"):
                m.d.comb += self.sweep.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == config.accumulator_words - 1):
                    m.d.sync += index.eq(0)
                    m.next = "NETWORK"
            with m.State("NETWORK"):
                m.d.comb += [
                    header.eq(1),
                    fetching.eq(index != NETWORK.words),
                    self.address.eq(index),
                    network.write.eq(arrived),
                    self.norm_clear.eq(1),
                    self.busy.eq(giving),
                ]
                m.d.sync += index.eq(index + 1)
                with m.If(index == NETWORK.words):
                    m.d.sync += [index.eq(0), wait.eq(0)]
                    m.next = "LOAD"
                    with m.If(giving):
                        m.next = "ASK"
            with m.State("LOAD"):
                # A word every fifth cycle: the norm takes four to count it. A wide one is given time only after the last word.
                # The first word makes `index` 1.
                m.d.comb += self.loading.eq(1)
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                    with m.If((wait == 1) & (words == 0)):
                        m.d.sync += [index.eq(0), layers_done.eq(0), pointer.eq(NETWORK.words)]
                        m.d.comb += self.begin.eq(1)
                        m.next = "BEGIN"
                with m.Else():
                    m.d.comb += [self.busy.eq(index != 0), self.i.ready.eq(1), self.write.eq(self.i.valid)]
                    with m.If(self.i.valid):
                        pauses = config.drain_width == 1 or words == 1
                        m.d.comb += [step.eq(1), step_words.eq(1)]
                        m.d.sync += [index.eq(1), wait.eq(Mux(pauses, WORD_BYTES, 0))]
            with m.State("BEGIN"):
                m.d.comb += [self.norm_clear.eq(1), self.norm_take.eq(1)]
                m.next = "LAYER"
            with m.State("LAYER"):
                m.d.comb += [
                    fetching.eq(index != layer_reads),
                    both.eq(1 if LAYER.words % config.data_ports == 0 else index != layer_reads - 1),
                    layer.write.eq(arrived),
                ]
                m.d.sync += index.eq(index + 1)
                with m.If(index == layer_reads):
                    m.d.sync += index.eq(0)
                    m.next = "ROWS"
            with m.State("ROWS"):
                # One ROW more than there are rows, and a cycle while the last word arrives.
                m.d.comb += [fetching.eq(~ended), self.table_write.eq(arrived)]
                m.d.sync += [index.eq(index + 1), ended.eq(index == layer.fields.input_rows)]
                with m.If(ended):
                    m.d.sync += index.eq(0)
                    m.next = after_rows
                    with m.If(layer.fields.dynamic):
                        m.d.comb += self.divide.eq(1)
                        m.next = "DIVIDE"
            with m.State("DIVIDE"), m.If(self.divided):
                m.next = after_rows
            if not pairs:
                with m.State("CHANNELS"):
                    channels()
                    with m.If(channels_end):
                        m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [self.running.eq(1), self.owns_memory.eq(0)]
                if pairs:
                    m.d.comb += self.owns_memory.eq(~loaded)
                    with m.If(~loaded):
                        channels()
                    m.d.sync += loaded.eq(loaded | channels_end)
                with m.If(self.finished):
                    m.d.sync += [layers_done.eq(layers_done + 1), index.eq(0), loaded.eq(0)]
                    m.next = "PROFILE"
            with m.State("PROFILE"):
                # Totals have the run's last cycle from the second cycle on.
                enabled = profile != 0
                m.d.comb += [
                    self.address.eq(profile),
                    self.write.eq(index != 0),
                    step_profile.eq(self.write),
                    self.counter_turn.eq(enabled & (index != PROFILE.words)),
                ]
                m.d.sync += index.eq(index + 1)
                with m.If((index == PROFILE.words) | ~enabled):
                    m.d.sync += index.eq(0)
                    m.next = "BEGIN"
                    with m.If(layer.fields.last):
                        m.d.sync += giving.eq(1)
                        m.next = "NETWORK"
            with m.State("ASK"):
                m.d.comb += step_words.eq(1)
                m.next = "GIVE"
            with m.State("GIVE"):
                # The word stands as long as its address does.
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += step.eq(1)
                    m.next = "ASK"
                    with m.If(self.output_last):
                        m.d.sync += giving.eq(0)
                        m.next = "NETWORK"
        states = ("LAYER", "ROWS", "DIVIDE") if pairs else ("LAYER", "ROWS", "DIVIDE", "CHANNELS")
        m.d.comb += self.counting.eq(Cat(self.running, *(fsm.ongoing(state) for state in states)).any())
        return m
