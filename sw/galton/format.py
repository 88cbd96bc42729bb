"""Every record that software and hardware exchange, bit by bit.

This is the only file with a width or a bit position. The packer writes these records, the golden model reads them back,
and `galton_hw.layout` turns them into Amaranth layouts. It imports nothing but the standard library.

A *program* is a stream of 32-bit words at address 0 of the data memory:

    NETWORK, then for each layer: LAYER, one ROW per input row plus one that ends the layer, one CHANNEL per stored output channel

Tensors live above the program, one byte per raw activation, four to a word, little end first, in (row, column, channel) order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

FORMAT_VERSION = 3
"""Raised whenever a record, a section or the meaning of either changes."""

WORD_BITS = 32
BYTE_BITS = 8
WORD_BYTES = WORD_BITS // BYTE_BITS

FRACTION_BITS = 16
"""F of the streaming quantizer: bits of the residue."""
STEP_BITS = 16
"""Bits of the streaming quantizer's step m."""
MULTIPLIER_BITS = 16
"""Bits of the unsigned rescaling multiplier of a channel."""
TOTAL_BITS = 32
"""Bits of the signed total acc * multiplier + bias."""
NORM_BITS = 24
"""Bits of a tensor's L1 norm and of a number of samples."""
SHIFTS = (12, 16, 20, 24)
"""The shifts that bring a total back to a raw activation; records hold the index."""

MAXIMUM_KERNEL = 16
MAXIMUM_WINDOW = 64
"""Largest kernel of an elementwise layer."""
MAXIMUM_STRIDE = 4
MAXIMUM_POOL = 16


@dataclass(frozen=True)
class Field:
    """One integer in a record: `bits` wide, two's complement where `signed`."""

    name: str
    bits: int
    doc: str
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


class Record:
    """A named sequence of fields, packed low bits first into 32-bit words; no field crosses a word.

    Raises ValueError from `pack` for a missing or unknown field and for a value outside its field's range.
    """

    def __init__(self, name: str, fields: Sequence[Field]) -> None:
        self.name = name
        self.fields = tuple(fields)
        self.places: dict[str, tuple[int, int]] = {}
        word, bit = 0, 0
        for field in self.fields:
            if bit + field.bits > WORD_BITS:
                word, bit = word + 1, 0
            self.places[field.name] = (word, bit)
            bit += field.bits
        self.words = word + 1

    def pack(self, values: Mapping[str, int]) -> list[int]:
        """The record's words."""
        names = {field.name for field in self.fields}
        if names != set(values):
            raise ValueError(f"{self.name}: missing {sorted(names - set(values))}, unknown {sorted(set(values) - names)}")
        words = [0] * self.words
        for field in self.fields:
            value, (low, high) = int(values[field.name]), field.range
            if not low <= value <= high:
                raise ValueError(f"{self.name}.{field.name} is {value}, outside {low}..{high}")
            word, bit = self.places[field.name]
            words[word] |= (value & ((1 << field.bits) - 1)) << bit
        return words

    def unpack(self, words: Sequence[int]) -> dict[str, int]:
        """The fields of `words[:self.words]`."""
        if len(words) < self.words:
            raise ValueError(f"{self.name} needs {self.words} words, not {len(words)}")
        values = {}
        for field in self.fields:
            word, bit = self.places[field.name]
            value = (int(words[word]) >> bit) & ((1 << field.bits) - 1)
            if field.signed and value >> (field.bits - 1):
                value -= 1 << field.bits
            values[field.name] = value
        return values

    def field(self, name: str) -> Field:
        """The field of that name; KeyError where there is none."""
        return {field.name: field for field in self.fields}[name]

    def in_word(self, word: int) -> Iterator[tuple[Field, int]]:
        """The fields of one word, each with its lowest bit."""
        for field in self.fields:
            if self.places[field.name][0] == word:
                yield field, self.places[field.name][1]


NETWORK = Record(
    "NETWORK",
    [
        Field("input_base", 20, "word address of the input tensor"),
        Field("norm_dead_zone", 8, "dead zone under which an input activation does not count in the norm"),
        Field("signed_input", 1, "input activations are two's complement"),
        Field("output_base", 20, "word address of the output tensor"),
        Field("input_words", 20, "words of the input tensor"),
        Field("output_words", 20, "words of the output tensor"),
        Field("profile_base", 20, "word address of the first PROFILE record; 0 writes none"),
    ],
)

LAYER = Record(
    "LAYER",
    [
        # The scan.
        Field("input_base", 20, "word address of the input tensor"),
        Field("last", 1, "no layer follows"),
        Field("bypass", 1, "counts are the raw magnitudes"),
        Field("carry", 1, "the residue is carried from activation to activation (Monte Carlo); else rounding"),
        Field("dynamic", 1, "the step is samples / norm of this very input"),
        Field("signed_input", 1, "input activations are two's complement"),
        Field("stride_x", 2, "horizontal stride less one"),
        Field("input_channels", 16, "stored channels of the input less one"),
        Field("input_columns", 10, "columns of the input less one"),
        Field("step", STEP_BITS, "m of a static quantizer"),
        Field("residue", FRACTION_BITS, "r_0"),
        Field("samples", NORM_BITS, "N of a dynamic quantizer"),
        Field("dead_zone", 8, "magnitudes below count as zero"),
        Field("norm_shift", 4, "right shift that brings a dynamic norm to 16 bits"),
        Field("multiplier_shift", 2, "index into SHIFTS of multiplier * norm"),
        Field("advance", 4, "bit x mod stride: the accumulator column advances after this column"),
        Field("short", 4, "bit x mod stride: columns of this phase have one kernel column less"),
        Field("input_rows", 9, "rows of the input"),
        Field(
            "channel_stride_long", 20, "from an input channel's (elementwise: vector's) weights to the next one's, in long rows"
        ),
        Field("entries_long", 12, "entries of a dense segment"),
        Field("channel_stride_short", 20, "the same in rows with one kernel row less (short rows)"),
        Field("entries_short", 12, "entries of a dense segment in short phases"),
        Field("pitch", 12, "from one segment's weights (or table word) to the next kernel row's"),
        Field("two_planes", 1, "two entries a vector: low plane, then high plane"),
        Field("elementwise", 1, "output channel k sees input channel k only; an event carries a count for each lane"),
        Field("accumulator_start", 13, "accumulator column, in words, of column 0's first tap"),
        Field("accumulator_skip", 13, "words from a long phase's first tap to a short phase's, and from column to column"),
        Field("row_words", 13, "accumulator words of an output row, borders included"),
        Field("ring_words", 14, "accumulator words of the ring"),
        Field("ring_rows", 5, "output rows in the ring"),
        # The drain.
        Field("output_base", 20, "word address of the output tensor"),
        Field("output_rows", 9, "rows to drain"),
        Field("signed_output", 1, "output activations are two's complement"),
        Field("residual", 1, "add the tensor at residual_base, of the output's shape"),
        Field("left_words", 13, "accumulator words left of the map, cleared and dropped"),
        Field("right_words", 13, "accumulator words right of the map, cleared and dropped"),
        Field("vectors", 8, "accumulator words of a pixel and group less one"),
        Field("output_columns", 10, "columns of the map less one, before pooling"),
        Field("group_channels", 11, "stored output channels of each group"),
        Field("shift", 2, "index into SHIFTS"),
        Field("low", 9, "smallest raw output", signed=True),
        Field("high", 10, "largest raw output", signed=True),
        Field("norm_dead_zone", 8, "dead zone under which an output does not count in the norm"),
        Field("pool_x", 4, "width of the max-pool window less one"),
        Field("pooled", 1, "there is a max-pool"),
        Field("pool_y", 4, "height of the max-pool window less one"),
        Field("output_channels", 16, "stored output channels: CHANNEL records that follow"),
        Field("residual_base", 20, "word address of the residual tensor"),
        Field("signed_residual", 1, "its activations are two's complement"),
        Field("residual_multiplier", MULTIPLIER_BITS, "M_r"),
        # Groups of their own kernel columns, where there are several groups.
        Field(
            "fewer",
            32,
            "bit 4 group + x mod stride: the group has one kernel column less than the phase; with none left it gets no event",
        ),
        Field("late", 32, "bit 4 group + x mod stride: the group's first tap is accumulator_skip words further"),
    ],
)

# The first segment goes to the first output row that is not done, the others to the rows behind it. So output rows are claimed in
# order, too: as many as are done, and one for each segment.
ROW = Record(
    "ROW",
    [
        Field("weight_base", 20, "weight (or table) address of the row's first channel and first segment"),
        Field("segments", 5, "kernel rows that reach the output"),
        Field("short", 1, "this row has one kernel row less: channel_stride_short"),
        Field("done", 5, "output rows complete once all before this row is accumulated; 1 at most before the last segments"),
    ],
)

CHANNEL = Record(
    "CHANNEL",
    [
        Field("bias", TOTAL_BITS, "bias at the total's scale, rounding constant included", signed=True),
        Field("multiplier", MULTIPLIER_BITS, "rescaling multiplier"),
    ],
)

TABLE = Record(
    "TABLE",
    [
        Field("start", 20, "weight address of a segment's first entry; 0 where it has none"),
        Field("entries", 12, "entries of the segment"),
    ],
)
"""A word of the segment table, in configurations with an address step."""

# Counters run through an inference; a layer's own share is the difference to the record before.
PROFILE = Record(
    "PROFILE",
    [
        Field(
            "cycles", 32, "cycles from the fetch of the first layer's record to the end of this layer, PROFILE writes left out"
        ),
        Field("events", 32, "non-zero counts sent to the groups"),
        Field("entries", 32, "entries walked, summed over groups"),
        Field("fifo_stalls", 32, "scan cycles lost to a full event FIFO"),
        Field("ring_stalls", 32, "scan cycles lost to a full accumulator ring"),
        Field("drain_stalls", 32, "walker cycles given to the drain, summed over groups"),
        Field("saturations", 32, "counts on their way to any output that were cut to the count width"),
    ],
)

# The register bus. Addresses count 32-bit registers.
REGISTERS = {
    "identity": 0,
    "digest": 1,
    "status": 2,
    "control": 3,
    "memory_position": 4,
    "memory_data": 5,
    **{field.name: 8 + index for index, field in enumerate(PROFILE.fields)},
}
WRITABLE = ("control", "memory_position", "memory_data")
"""Registers that a write changes."""
IDENTITY = int.from_bytes(b"GALT", "little")
STATUS = Record(
    "STATUS",
    [
        Field("busy", 1, "an inference is under way"),
        Field("saturated", 1, "sticky since the last enable: a count was cut to the count width"),
        Field("layer", 14, "layers finished in this inference"),
    ],
)
CONTROL = Record("CONTROL", [Field("enable", 1, "inferences run; while 0 the memories can be reached over the bus")])
POSITION = Record(
    "POSITION",
    [
        Field("select", 8, "a memory: MEMORY_DATA, MEMORY_WEIGHTS or MEMORY_TABLE"),
        Field("address", 24, "of the next word or entry that memory_data reads or writes"),
    ],
)
MEMORY_DATA = 0
"""POSITION.select: the data memory."""
MEMORY_WEIGHTS = 1
"""POSITION.select: the weights of group g are MEMORY_WEIGHTS + g."""
MEMORY_TABLE = 64
"""POSITION.select: the segment table of group g is MEMORY_TABLE + g."""

# The host link, docs/link.md. Frames are COBS; a CRC is zlib's CRC-32.
LINK_VERSION = 1
"""Raised whenever a message of the link changes."""
CRC_POLYNOMIAL = 0xEDB88320
REQUEST = Record(
    "REQUEST",
    [
        Field("register", 6, "number in the register bus, or in the link's own registers"),
        Field("moving", 1, "each word is read from the register after the last; writes stay"),
        Field("write", 1, "words follow and are written; else words are read"),
        Field("sequence", 8, "any number; the answer has the same"),
        Field("count", 16, "words"),
        *POSITION.fields,
    ],
)
"""How a request begins; its CRC follows. A write goes on with `count` words and the CRC of REQUEST and all words."""
ANSWER = Record(
    "ANSWER",
    [
        Field("corrupt", 1, "a CRC of the request is wrong: of REQUEST, and nothing was done; or of the words that were written"),
        Field("refused", 1, "the core did not take a word of `input`"),
        Field("enabled", 1, "control.enable as the link last wrote it"),
        Field("boot_failed", 1, "the image in the flash could not be loaded"),
        Field("zero", 4, "zeros"),
        Field("sequence", 8, "the request's"),
        Field("remaining", 16, "words of the request neither read nor written"),
    ],
)
"""How an answer ends, after the words read; their and its CRC follows."""
CLOCK_UNIT = 10_000
"""Hz of a unit in BOARD.clock."""
BOARD = Record(
    "BOARD",
    [
        Field("version", 8, "LINK_VERSION"),
        Field("board", 8, "kind of the board"),
        Field("clock", 16, f"of the core, in units of {CLOCK_UNIT // 1000} kHz"),
    ],
)
LINK_REGISTERS = {"input": 32, "board": 33}
"""Registers of the link itself: `input` takes words of input tensors; `board` shows BOARD."""

BOOT_ERASED = (1 << WORD_BITS) - 1
"""The first word of a flash that nothing was written to."""


def boot_word(digest: int) -> int:
    """The first word of an image in a board's flash: it names this version of the link and the configuration of the core."""
    return zlib.crc32(b"".join(word.to_bytes(WORD_BYTES, "little") for word in (IDENTITY, LINK_VERSION, digest)))


# A system's bus (galton_hw.bus). Byte addresses are four times a register's number.
BUS_REGISTERS = {"input": LINK_REGISTERS["input"], "output": 34, "queue": 35}
"""Registers of the Wishbone wrapper: `input` takes words of inputs, `output` gives words of outputs, `queue` shows QUEUE."""
QUEUE = Record(
    "QUEUE",
    [
        Field("space", 12, "words that `input` takes now"),
        Field("waiting", 12, "words that `output` gives now"),
        Field("last", 1, "the next word of `output` is its tensor's last"),
    ],
)

# The image file.
MAGIC = b"GALTON\r\n"
HEADER_BYTES = 32
"""magic 8, version u16, sections u16, digest u32, total bytes u64, zero u32, CRC-32 of the 28 bytes before."""
SECTION_BYTES = 20
"""kind u16, index u16, offset u64, bytes u32, CRC-32 u32; the table has its own CRC-32 after the last row."""
SECTION_META = 1
SECTION_PROGRAM = 2
SECTION_WEIGHTS = 3
SECTION_TABLE = 4
