"""The sequencer: takes an input, runs the layers of the program, gives the output, and starts over."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import LAYER, NETWORK, NORM_BITS, PROFILE, ROW, WORD_BITS, WORD_BYTES
from galton_hw.layout import RecordRegisters, layout


class Sequencer(wiring.Component):
    """States: clear the accumulators once after enabling; read NETWORK; then for every inference: load the input; for every layer
    read LAYER, the ROWs and CHANNELs, run, write PROFILE; give the output.

    Cycles of a layer (galton.cycles.setup and what follows) are those from the first read of LAYER to the last of the run;
    PROFILE writes are not counted.

    Members
    -------
    i, o: words of the input and output tensors.
    address, write, write_data, read_data: data memory, owned while `owns_memory`; a word comes a cycle after its address.
    sweep, sweep_word: clear this accumulator word.
    running: the engine is out of reset; finished: its layer is done.
    table_*, load_*: rows and channels on their way to the scan and the drain. divide: start the step divider.
    norm_*: of the tensor being loaded; `norm` holds the last finished one's total.
    profile: counter of number `profile_index`, to write. counting: this cycle counts.
    begin: a new inference's first layer begins.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        address_bits = ceil_log2(config.data_words)
        super().__init__(
            {
                "i": In(stream.Signature(WORD_BITS)),
                "o": Out(stream.Signature(WORD_BITS)),
                "network": Out(layout(NETWORK, config)),
                "layer": Out(layout(LAYER, config)),
                "owns_memory": Out(1),
                "address": Out(address_bits),
                "write": Out(1),
                "write_data": Out(WORD_BITS),
                "read_data": In(WORD_BITS),
                "sweep": Out(1),
                "sweep_word": Out(ceil_log2(config.accumulator_words)),
                "running": Out(1),
                "finished": In(1),
                "table_write": Out(ROW.words),
                "load": Out(1),
                "load_bias": Out(1),
                "load_multiplier": Out(1),
                "load_index": Out(max(ceil_log2(config.rows), ceil_log2(config.channels))),
                "divide": Out(1),
                "divided": In(1),
                "loading": Out(1),
                "norm_total": In(NORM_BITS),
                "norm_clear": Out(1),
                "norm": Out(NORM_BITS),
                "profile_index": Out(range(PROFILE.words)),
                "profile": In(WORD_BITS),
                "counting": Out(1),
                "begin": Out(1),
                "busy": Out(1),
                "layers_done": Out(14),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.network = network = RecordRegisters(NETWORK, config)
        m.submodules.layer = layer = RecordRegisters(LAYER, config)
        m.d.comb += [self.network.eq(network.fields), self.layer.eq(layer.fields)]
        norm = Signal(NORM_BITS, reset_less=True)
        m.d.comb += self.norm.eq(norm)

        # One counter walks whatever the state walks; one pointer follows the program.
        pointer, base = Signal(len(self.address)), Signal(len(self.address))
        index = Signal(max(len(self.load_index), len(network.fields.input_words), ceil_log2(config.accumulator_words)))
        part = Signal()
        profile = Signal(len(self.address))
        layers_done = Signal(len(self.layers_done))
        m.d.comb += self.layers_done.eq(layers_done)

        # A word that was asked for in one cycle is here in the next.
        fetching = Signal()
        arrived, arrived_index, arrived_part = Signal(), Signal.like(index, reset_less=True), Signal(reset_less=True)
        m.d.sync += [arrived.eq(fetching), arrived_index.eq(index), arrived_part.eq(part)]
        m.d.comb += [
            network.index.eq(arrived_index),
            network.word.eq(self.read_data),
            layer.index.eq(arrived_index),
            layer.word.eq(self.read_data),
            self.load_index.eq(arrived_index),
        ]
        with m.If(fetching):
            m.d.sync += pointer.eq(pointer + 1)

        m.d.comb += [
            self.owns_memory.eq(1),
            self.address.eq(pointer),
            self.sweep_word.eq(index),
            self.profile_index.eq(index),
            self.busy.eq(1),
        ]
        wait = Signal(range(WORD_BYTES + 1))
        word = Signal(WORD_BITS, reset_less=True)
        m.d.comb += self.o.payload.eq(word)

        def fetch(name: str, words: int, register: RecordRegisters, after: str) -> None:
            """A state that reads a record into its registers."""
            with m.State(name):
                m.d.comb += [fetching.eq(index != words), register.write.eq(arrived)]
                m.d.sync += index.eq(index + 1)
                with m.If(index == words):
                    m.d.sync += index.eq(0)
                    m.next = after

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [index.eq(0), pointer.eq(0), part.eq(0)]
                m.next = "SWEEP"
            with m.State("SWEEP"):
                m.d.comb += self.sweep.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == config.accumulator_words - 1):
                    m.d.sync += index.eq(0)
                    m.next = "NETWORK"
            fetch("NETWORK", NETWORK.words, network, "PREPARE")
            with m.State("PREPARE"):
                m.d.comb += [self.busy.eq(0), self.norm_clear.eq(1)]
                m.d.sync += [base.eq(network.fields.input_base), profile.eq(network.fields.profile_base), index.eq(0), wait.eq(0)]
                m.next = "LOAD"
            with m.State("LOAD"):
                # A word every fifth cycle: the norm takes four to count it. A wide one is given time only after the last word.
                m.d.comb += [self.address.eq(base), self.loading.eq(1), self.write_data.eq(self.i.payload)]
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                    with m.If((wait == 1) & (index == network.fields.input_words)):
                        m.d.sync += [index.eq(0), layers_done.eq(0)]
                        m.d.comb += self.begin.eq(1)
                        m.next = "BEGIN"
                with m.Else():
                    m.d.comb += [self.busy.eq(index != 0), self.i.ready.eq(1), self.write.eq(self.i.valid)]
                    with m.If(self.i.valid):
                        pauses = config.drain_width == 1 or index + 1 == network.fields.input_words
                        m.d.sync += [base.eq(base + 1), index.eq(index + 1), wait.eq(Mux(pauses, WORD_BYTES, 0))]
            with m.State("BEGIN"):
                m.d.comb += self.norm_clear.eq(1)
                m.d.sync += norm.eq(self.norm_total)
                m.next = "LAYER"
            fetch("LAYER", LAYER.words, layer, "ROWS")
            with m.State("ROWS"):
                # One ROW more than there are rows; `index` runs one further while the last word arrives.
                ends = index == layer.fields.input_rows + 1
                m.d.comb += [fetching.eq(~ends), self.table_write.eq(Mux(arrived, 1 << arrived_part, 0))]
                m.d.sync += part.eq(~part)
                with m.If(part):
                    m.d.sync += index.eq(index + 1)
                with m.If(ends):
                    m.d.sync += [index.eq(0), part.eq(0)]
                    m.next = "CHANNELS"
                    with m.If(layer.fields.dynamic):
                        m.d.comb += self.divide.eq(1)
                        m.next = "DIVIDE"
            with m.State("DIVIDE"), m.If(self.divided):
                m.next = "CHANNELS"
            with m.State("CHANNELS"):
                ends = index == layer.fields.output_channels
                m.d.comb += [
                    self.load.eq(1),
                    fetching.eq(~ends),
                    self.load_bias.eq(arrived & ~arrived_part),
                    self.load_multiplier.eq(arrived & arrived_part),
                ]
                with m.If(~ends):
                    m.d.sync += part.eq(~part)
                    with m.If(part):
                        m.d.sync += index.eq(index + 1)
                with m.Else():
                    # The last multiplier is on its way through the product.
                    m.d.sync += wait.eq(wait + 1)
                    with m.If(wait == WORD_BYTES - 1):
                        m.d.sync += [index.eq(0), wait.eq(0)]
                        m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [self.running.eq(1), self.owns_memory.eq(0)]
                with m.If(self.finished):
                    m.d.sync += layers_done.eq(layers_done + 1)
                    m.next = "PROFILE"
            with m.State("PROFILE"):
                # Counters go through the word register: their multiplexer and the memory's are long paths of their own.
                m.d.sync += word.eq(self.profile)
                m.next = "RECORD"
            with m.State("RECORD"):
                # Without a place for profiles these two states take two cycles all the same.
                enabled = network.fields.profile_base != 0
                m.d.comb += [self.address.eq(profile), self.write_data.eq(word), self.write.eq(enabled)]
                m.d.sync += [index.eq(index + 1), profile.eq(profile + 1)]
                m.next = "PROFILE"
                with m.If((index == PROFILE.words - 1) | ~enabled):
                    m.d.sync += index.eq(0)
                    m.next = "BEGIN"
                    with m.If(layer.fields.last):
                        m.d.sync += [base.eq(network.fields.output_base), pointer.eq(NETWORK.words)]
                        m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.address.eq(base)
                m.d.sync += [base.eq(base + 1), index.eq(index + 1)]
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += word.eq(self.read_data)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "ASK"
                    with m.If(index == network.fields.output_words):
                        m.next = "PREPARE"
        m.d.comb += self.counting.eq(
            fsm.ongoing("LAYER") | fsm.ongoing("ROWS") | fsm.ongoing("DIVIDE") | fsm.ongoing("CHANNELS") | self.running
        )
        return m
