"""A core at the end of a serial line: composition only."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import BOARD, CLOCK_UNIT, LINK_VERSION, WORD_BITS, boot_word
from galton_hw.core import Core
from galton_hw.link.boot import Boot, FlashSignature
from galton_hw.link.uart import Receiver, Transmitter
from galton_hw.link.unit import Link
from galton_hw.registers import BusSignature


class SerialLink(wiring.Component):
    """A link unit and its serial line.

    Parameters: `divider`, clock cycles of a bit (uart.Receiver); `board`, a number for the kind of board, and `clock` of the core
    in Hz, only shown to the host; `boot`, address in the flash and first word of an image to load at power-up (boot.Boot),
    or None.
    Members: `rx`, `tx`, serial lines, 1 at rest; `flash`, where there is a `boot`; `boot_failed`: the flash holds an image, but
    not a good one for this core; `bus`, `words`, `error` as in Link.
    """

    def __init__(self, divider: int, board: int = 0, clock: float = 0, boot: tuple[int, int] | None = None) -> None:
        self.divider = divider
        self.board = BOARD.pack({"version": LINK_VERSION, "board": board, "clock": round(clock / CLOCK_UNIT)})[0]
        self.boot = None if boot is None else Boot(*boot)
        super().__init__(
            {
                **pins(self.boot is not None),
                "bus": Out(BusSignature()),
                "words": Out(stream.Signature(WORD_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = Link(self.board)
        m.submodules.receiver = receiver = Receiver(self.divider)
        m.submodules.transmitter = transmitter = Transmitter(self.divider)
        wiring.connect(m, unit.bus, wiring.flipped(self.bus))
        wiring.connect(m, unit.words, wiring.flipped(self.words))
        m.d.comb += [
            unit.i.payload.eq(receiver.o.payload),
            transmitter.i.payload.eq(unit.o.payload),
            self.tx.eq(transmitter.line),
            self.error.eq(unit.error),
        ]
        if self.boot is None:
            m.d.comb += [
                receiver.line.eq(self.rx),
                unit.i.valid.eq(receiver.o.valid),
                receiver.o.ready.eq(unit.i.ready),
                transmitter.i.valid.eq(unit.o.valid),
                unit.o.ready.eq(transmitter.i.ready),
            ]
        else:
            self._load(m, self.boot, unit, receiver, transmitter)
        return m

    def _load(self, m: Module, boot: Boot, unit: Link, receiver: Receiver, transmitter: Transmitter) -> None:
        """While it boots, the flash is at the receiver's line, and no answer leaves."""
        m.submodules.boot = boot
        asks = boot.active & ~boot.reading
        m.d.comb += [
            receiver.line.eq(Mux(boot.active, self.flash.cipo, self.rx)),
            receiver.clocked.eq(boot.active),
            receiver.fast.eq(boot.active & boot.reading),
            unit.i.valid.eq(receiver.o.valid & ~asks),
            receiver.o.ready.eq(unit.i.ready | asks),
            transmitter.i.valid.eq(unit.o.valid & ~boot.active),
            unit.o.ready.eq(transmitter.i.ready | boot.active),
            boot.bit.eq(receiver.bit),
            boot.next.eq(receiver.next),
            boot.byte.eq(receiver.o.valid),
            boot.wrong.eq(unit.error | unit.astray),
            boot.enabled.eq(unit.enabled),
            unit.forget.eq(boot.active & boot.wrong),
            unit.boot_failed.eq(boot.failed),
            self.boot_failed.eq(boot.failed),
            self.flash.cs.eq(boot.cs),
            self.flash.clk.eq(receiver.clock),
            self.flash.copi.eq(boot.copi),
        ]


def pins(flash: bool) -> dict[str, wiring.Member]:
    """What SerialLink and LinkedCore have around them."""
    found = {"rx": In(1, init=1), "tx": Out(1, init=1), "boot_failed": Out(1), "error": Out(1)}
    return found | ({"flash": Out(FlashSignature())} if flash else {})


class LinkedCore(wiring.Component):
    """A core that a host reaches over two wires; its outputs are read from its data memory, their stream is let go.

    Parameters: `config`, `tech` as in Core; `divider`, `board`, `clock` as in SerialLink; `boot`, address in the flash of an
    image to load at power-up, or None for a core without a flash. Members as in SerialLink.
    """

    def __init__(
        self, config: Config, tech: str = "generic", *, divider: int, board: int = 0, clock: float = 0, boot: int | None = None
    ) -> None:
        self.config, self.tech, self.clock = config, tech, clock
        self.link = SerialLink(divider, board, clock, None if boot is None else (boot, boot_word(config.digest)))
        super().__init__(pins(boot is not None))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = Core(self.config, self.tech)
        m.submodules.link = link = self.link
        wiring.connect(m, link.bus, core.bus)
        wiring.connect(m, link.words, core.i)
        if link.boot is not None:
            wiring.connect(m, link.flash, wiring.flipped(self.flash))
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            core.o.ready.eq(1),
            self.boot_failed.eq(link.boot_failed),
            self.error.eq(link.error),
        ]
        return m
