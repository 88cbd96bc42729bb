"""An image from the SPI flash that the chip was configured from, read at power-up.

After the image's first word (format.boot_word) the flash holds requests to the link, as a host would send them, the last of which
enables the core. Each byte is there low bit first, as on the serial line, for the receiver to take it.
Commands as all serial NOR flashes have them, such as Winbond's W25Q128JV (data sheet, revision H, 8.1.2).
"""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.format import WORD_BITS

RELEASE, READ = 0xAB, 0x03
"""Release power-down; read data."""
COMMAND_BITS, ADDRESS_BITS = 8, 24
BYTE_CYCLES = 86
"""From one byte of an image to the next."""


class FlashSignature(wiring.Signature):
    """A board's SPI flash, from the chip's side: `cs` is 1 while it is selected; mode 0."""

    def __init__(self) -> None:
        super().__init__({"cs": Out(1), "clk": Out(1), "copi": Out(1), "cipo": In(1)})


class Boot(wiring.Component):
    """Wakes the flash, reads from `address` on, and compares the first word.

    An erased flash ends it without a failure; another first word than the right one, or `wrong`, with one; `enabled` is its
    success. The flash has 24 bits' time to wake up.

    Parameters: `address` in the flash, in bytes, below 2^24; `word`, the first one. ValueError for an address out of range.
    Members: `cs`, `copi`, pins of the flash; `next`, a bit is over, `bit`, which it was; `byte`, a byte is over, taken at once
    while not `reading`; `active`, from reset to the end; `reading`, the first word was read; `wrong`, `enabled`, see above;
    `failed`.
    """

    def __init__(self, address: int, word: int) -> None:
        if not 0 <= address < 1 << ADDRESS_BITS:
            raise ValueError(f"An image's address in the flash is below {1 << ADDRESS_BITS:#x}, not {address:#x}")
        self.address, self.word = address, word
        inputs, outputs = ("next", "bit", "byte", "wrong", "enabled"), ("cs", "copi", "reading", "failed")
        super().__init__({**{name: In(1) for name in inputs}, **{name: Out(1) for name in outputs}, "active": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One bit after the other: a word to wake the flash, the command and its address, the first word.
        place = Signal(range(4 * WORD_BITS))
        command = READ << ADDRESS_BITS | self.address
        sent = [RELEASE >> (COMMAND_BITS - 1 - bit) & 1 for bit in range(COMMAND_BITS)] + [0] * (WORD_BITS - COMMAND_BITS)
        sent += [command >> (WORD_BITS - 1 - bit) & 1 for bit in range(WORD_BITS)]
        expected = [self.word >> bit & 1 for bit in range(WORD_BITS)]
        known = Array(Const(bit, 1) for bit in sent + expected)[place]

        active, differs, written = Signal(init=1), Signal(), Signal()
        m.d.comb += [self.copi.eq(known), self.active.eq(active)]
        m.d.sync += self.cs.eq(active & ((place < COMMAND_BITS) | (place >= WORD_BITS)))
        with m.If(self.next & ~self.reading):
            m.d.sync += place.eq(place + 1)
            with m.If(place >= 2 * WORD_BITS):
                m.d.sync += [differs.eq(differs | (self.bit ^ known)), written.eq(written | ~self.bit)]
        with m.If(self.byte & (place >= 3 * WORD_BITS)):
            m.d.sync += self.reading.eq(1)
        with m.If(active & self.reading):
            with m.If(differs | self.wrong):
                m.d.sync += [active.eq(0), self.failed.eq(~differs | written)]
            with m.Elif(self.enabled):
                m.d.sync += active.eq(0)
        return m
