"""The bridge from records of `galton.format` to Amaranth: the only place where the two meet."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from galton.config import Config
from galton.format import MAXIMUM_STRIDE, ROW, WORD_BITS, Record


def field_bits(record: Record, name: str) -> int:
    """Width of one field of a record."""
    return record.field(name).bits


def sign_magnitude(bits: int) -> data.StructLayout:
    """A signed number as a magnitude of `bits` bits and a sign."""
    return data.StructLayout({"magnitude": bits, "negative": 1})


MARKER_BITS = field_bits(ROW, "done") + field_bits(ROW, "segments")


def start_bits(config: Config) -> int:
    """Bits of an event's start: a weight address, or a table address where the weights are sparse; a marker's fields fit too."""
    return max(ceil_log2(config.table_words if config.sparse else config.weight_words), MARKER_BITS)


def limits(config: Config) -> dict[str, int]:
    """The widths that a configuration's memories leave of the fields; records on the way to it never exceed them."""
    data_address, data_size = ceil_log2(config.data_words), bits_for(config.data_words)
    word, size = ceil_log2(config.accumulator_words), bits_for(config.accumulator_words)
    start, channels = start_bits(config), bits_for(config.channels)
    return {
        **dict.fromkeys(("input_base", "output_base", "residual_base", "profile_base"), data_address),
        **dict.fromkeys(("input_words", "output_words"), data_size),
        **dict.fromkeys(("weight_base", "channel_stride_long", "channel_stride_short"), start),
        **dict.fromkeys(("accumulator_start", "accumulator_skip", "left_words", "right_words"), word),
        **dict.fromkeys(("row_words", "ring_words"), size),
        # A segment fits into an accumulator row, twice that with two planes.
        **dict.fromkeys(("pitch", "entries_long", "entries_short"), size + 1),
        **dict.fromkeys(("vectors", "group_channels", "output_channels"), channels),
        # A single group has none of its own; Verilog has no empty fields.
        **dict.fromkeys(("fewer", "late"), MAXIMUM_STRIDE * config.groups if config.groups > 1 else 1),
        "input_channels": bits_for(config.data_bytes),
        "input_rows": bits_for(config.rows),
    }


def layout(record: Record, config: Config | None = None) -> data.StructLayout:
    """The fields of a record, without the gaps that packing into words leaves, as narrow as the configuration allows."""
    widths = limits(config) if config else {}
    shapes = {}
    for field in record.fields:
        bits = min(field.bits, widths.get(field.name, field.bits))
        shapes[field.name] = signed(bits) if field.signed else unsigned(bits)
    return data.StructLayout(shapes)


def assign(record: Record, word: int, value: Signal, fields: data.View) -> list[Any]:
    """Statements that set the fields that lie in word number `word` from its 32-bit `value`."""
    return [fields[field.name].eq(value[bit : bit + len(fields[field.name])]) for field, bit in record.in_word(word)]


def field_in_word(record: Record, name: str, word: Value, config: Config | None = None) -> Value:
    """A field in the 32-bit word that it lies in, as narrow as in `layout`."""
    bit = record.places[name][1]
    return word[bit : bit + Shape.cast(layout(record, config)[name].shape).width]


class RecordRegisters(wiring.Component):
    """Registers that hold one record and are written some words at a time.

    Parameters: `record`, `config`, `together` words. Members: `write` for one cycle with `words` number index * together and the
    following ones; `fields` one cycle later. Never reset.
    """

    def __init__(self, record: Record, config: Config, together: int = 1) -> None:
        self.record, self.config, self.together = record, config, together
        super().__init__(
            {
                "write": In(1),
                "index": In(range(max(-(-record.words // together), 2))),
                "words": In(data.ArrayLayout(WORD_BITS, together)),
                "fields": Out(layout(record, config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(layout(self.record, self.config), reset_less=True)
        m.d.comb += self.fields.eq(held)
        with m.If(self.write), m.Switch(self.index):
            for index in range(len(range(0, self.record.words, self.together))):
                with m.Case(index):
                    for place, word in enumerate(self.words):
                        m.d.sync += assign(self.record, index * self.together + place, word, held)
        return m
