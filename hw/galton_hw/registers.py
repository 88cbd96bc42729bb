"""The register bus: identity, status, control, counters, and a window into every memory."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from galton.config import Config
from galton.format import (
    CONTROL,
    IDENTITY,
    MEMORY_TABLE,
    MEMORY_WEIGHTS,
    POSITION,
    PROFILE,
    REGISTERS,
    STATUS,
    WORD_BITS,
)
from galton_hw.layout import field_bits, layout

SELECT_BITS = field_bits(POSITION, "select")


class BusSignature(wiring.Signature):
    """A request is held with `valid` until the cycle with `ready`; `read_data` counts in that cycle.

    `address` numbers 32-bit registers (format.REGISTERS).
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": Out(1),
                "write": Out(1),
                "address": Out(8),
                "write_data": Out(WORD_BITS),
                "ready": In(1),
                "read_data": In(WORD_BITS),
            }
        )


class HostMemorySignature(wiring.Signature):
    """The host's way to all memories: `select` as in format.MEMORY_*; a word read comes `memory_latency` cycles after its
    address: memories of groups at a distance have registers on the way."""

    def __init__(self, config: Config) -> None:
        self.memory_latency = 1 + 2 * config.group_distance
        depth = max(config.data_words, config.weight_words, config.table_words)
        width = WORD_BITS * config.entry_chunks
        super().__init__(
            {
                "select": Out(SELECT_BITS),
                "address": Out(ceil_log2(depth)),
                "write": Out(1),
                "write_data": Out(width),
                "read_data": In(width),
            }
        )


class Registers(wiring.Component):
    """Answers the register bus in 2 cycles, a read of a memory in 1 + `memory_latency`; between inferences a counter in its turn.

    The memory window works while `control.enable` is 0; otherwise writes to it do nothing and reads mean nothing. An entry wider
    than 32 bits takes several accesses, low word first; the address moves on after the last.

    Counters read as anything while an inference runs.

    Members: `bus`; `memory`; `enable`; `busy`, `layers_done` to show; `saturated` sets the sticky flag that enabling clears;
    `counter` is counter number `counter_index`; a cycle with `counter_turn` shows the next one, as Counters.turn does.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        memory = HostMemorySignature(config)
        self.memory_latency = memory.memory_latency
        super().__init__(
            {
                "bus": In(BusSignature()),
                "memory": Out(memory),
                "enable": Out(1),
                "busy": In(1),
                "layers_done": In(field_bits(STATUS, "layer")),
                "saturated": In(1),
                "counter_index": In(ceil_log2(PROFILE.words)),
                "counter": In(WORD_BITS),
                "counter_turn": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bus, memory = self.config, self.bus, self.memory
        enable, sticky = Signal(), Signal()
        status, control = Signal(layout(STATUS)), Signal(layout(CONTROL))
        m.d.comb += [
            self.enable.eq(enable),
            status.busy.eq(self.busy),
            status.saturated.eq(sticky),
            status.layer.eq(self.layers_done),
            control.enable.eq(enable),
        ]
        with m.If(self.saturated):
            m.d.sync += sticky.eq(1)

        select = Signal(SELECT_BITS)
        address, position = Signal.like(memory.address), Signal(layout(POSITION))
        chunks = config.entry_chunks
        chunk = Signal(range(max(chunks, 2)))
        is_window, is_weights, last_chunk, move_on = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            is_window.eq((bus.address == REGISTERS["memory_data"]) & ~enable),
            is_weights.eq((select >= MEMORY_WEIGHTS) & (select < MEMORY_TABLE)),
            last_chunk.eq(~is_weights | (chunk == chunks - 1)),
            memory.select.eq(select),
            memory.address.eq(address),
            position.select.eq(select),
            position.address.eq(address),
        ]
        with m.If(move_on):
            m.d.sync += chunk.eq(chunk + 1)
            with m.If(last_chunk):
                m.d.sync += [chunk.eq(0), address.eq(address + 1)]
        # The low words of a wide entry wait for the last one.
        waiting = [Signal(WORD_BITS, name=f"waiting_{index}", reset_less=True) for index in range(chunks - 1)]
        m.d.comb += memory.write_data.eq(
            Mux(is_weights, Cat(*waiting, bus.write_data), bus.write_data) if waiting else bus.write_data
        )

        is_counter = Signal()
        sources = {
            "identity": Const(IDENTITY, WORD_BITS),
            "digest": Const(config.digest, WORD_BITS),
            "status": status.as_value(),
            "control": control.as_value(),
            "memory_position": position.as_value(),
            "memory_data": Array(memory.read_data.word_select(index, WORD_BITS) for index in range(chunks))[chunk],
        }
        with m.Switch(bus.address):
            for name, source in sources.items():
                with m.Case(REGISTERS[name]):
                    m.d.comb += bus.read_data.eq(source)
            with m.Default():
                m.d.comb += bus.read_data.eq(self.counter)
        first = REGISTERS[PROFILE.fields[0].name]
        m.d.comb += is_counter.eq((bus.address >= first) & (bus.address < first + PROFILE.words))

        with m.FSM():
            with m.State("IDLE"), m.If(bus.valid):
                m.next = "ANSWER"
                with m.If(bus.write), m.Switch(bus.address):
                    with m.Case(REGISTERS["control"]):
                        wanted = data.View(layout(CONTROL), bus.write_data[: len(control.as_value())])
                        m.d.sync += enable.eq(wanted.enable)
                        with m.If(wanted.enable & ~enable):
                            m.d.sync += sticky.eq(0)
                    with m.Case(REGISTERS["memory_position"]):
                        there = data.View(layout(POSITION), bus.write_data)
                        m.d.sync += [select.eq(there.select), address.eq(there.address), chunk.eq(0)]
                    with m.Case(REGISTERS["memory_data"]), m.If(is_window):
                        m.d.comb += [memory.write.eq(last_chunk), move_on.eq(1)]
                        for index, low in enumerate(waiting):
                            with m.If(chunk == index):
                                m.d.sync += low.eq(bus.write_data)
            with m.State("ANSWER"):
                here = Const(1)
                if self.memory_latency > 1:
                    waited = Signal(range(self.memory_latency))
                    here = ~is_window | bus.write | (waited == self.memory_latency - 1)
                    m.d.sync += waited.eq(Mux(bus.ready, 0, waited + 1))
                m.d.comb += [
                    self.counter_turn.eq(is_counter & ~bus.write & ~self.busy & (self.counter_index != (bus.address - first))),
                    bus.ready.eq(here & ~self.counter_turn),
                    move_on.eq(is_window & ~bus.write & bus.ready),
                ]
                with m.If(bus.ready):
                    m.next = "IDLE"
        return m
