"""A core at the end of a serial line: composition only."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import BOARD, LINK_VERSION, WORD_BITS
from galton_hw.core import Core
from galton_hw.link.uart import Receiver, Transmitter
from galton_hw.link.unit import Link
from galton_hw.registers import BusSignature


class SerialLink(wiring.Component):
    """A link unit and its serial line.

    Parameters: `divider`, clock cycles of a bit (uart.Receiver); `board`, a number for the kind of board, and `clock` of the core
    in Hz, only shown to the host.
    Members: `rx`, `tx`, serial lines, 1 at rest; the others as in Link.
    """

    def __init__(self, divider: int, board: int = 0, clock: float = 0) -> None:
        self.divider = divider
        self.board = BOARD.pack({"version": LINK_VERSION, "board": board, "clock": round(clock / 10e3)})[0]
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "bus": Out(BusSignature()),
                "words": Out(stream.Signature(WORD_BITS)),
                "boot_failed": In(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = Link(self.board)
        m.submodules.receiver = receiver = Receiver(self.divider)
        m.submodules.transmitter = transmitter = Transmitter(self.divider)
        wiring.connect(m, receiver.o, unit.i)
        wiring.connect(m, unit.o, transmitter.i)
        wiring.connect(m, unit.bus, wiring.flipped(self.bus))
        wiring.connect(m, unit.words, wiring.flipped(self.words))
        m.d.comb += [
            receiver.line.eq(self.rx),
            self.tx.eq(transmitter.line),
            unit.boot_failed.eq(self.boot_failed),
            self.error.eq(unit.error),
        ]
        return m


class LinkedCore(wiring.Component):
    """A core that a host reaches over two wires; its outputs are read from its data memory, their stream is let go.

    Parameters: `config`, `tech` as in Core; `divider`, `board`, `clock` as in SerialLink. Members as in SerialLink.
    """

    def __init__(self, config: Config, tech: str = "generic", *, divider: int, board: int = 0, clock: float = 0) -> None:
        self.config, self.tech = config, tech
        self.link = SerialLink(divider, board, clock)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "boot_failed": In(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = Core(self.config, self.tech)
        m.submodules.link = link = self.link
        wiring.connect(m, link.bus, core.bus)
        wiring.connect(m, link.words, core.i)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            core.o.ready.eq(1),
            link.boot_failed.eq(self.boot_failed),
            self.error.eq(link.error),
        ]
        return m
