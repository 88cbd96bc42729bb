"""A core at the end of a serial line: composition only."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from galton.config import Config
from galton.format import BOARD, LINK_VERSION
from galton_hw.core import Core
from galton_hw.link.uart import Receiver, Transmitter
from galton_hw.link.unit import Link


class LinkedCore(wiring.Component):
    """A core that a host reaches over two wires; its outputs are read from its data memory, their stream is let go.

    Parameters: `config`, `tech` as in Core; `divider`, clock cycles of a bit; `board`, a number for the kind of board;
    `clock` of the core in Hz, only shown to the host.
    Members: `rx`, `tx`, serial lines, 1 at rest; `boot_failed`, to show; `error` as in Link.
    """

    def __init__(self, config: Config, tech: str = "generic", *, divider: int, board: int = 0, clock: float = 0) -> None:
        self.config, self.tech, self.divider = config, tech, divider
        values = {"version": LINK_VERSION, "board": board, "clock": round(clock / 10e3)}
        self.board = BOARD.pack(values)[0]
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "boot_failed": In(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = Core(self.config, self.tech)
        m.submodules.link = link = Link(self.board)
        m.submodules.receiver = receiver = Receiver(self.divider)
        m.submodules.transmitter = transmitter = Transmitter(self.divider)
        wiring.connect(m, receiver.o, link.i)
        wiring.connect(m, link.o, transmitter.i)
        wiring.connect(m, link.bus, core.bus)
        wiring.connect(m, link.words, core.i)
        m.d.comb += [
            receiver.line.eq(self.rx),
            self.tx.eq(transmitter.line),
            core.o.ready.eq(1),
            link.boot_failed.eq(self.boot_failed),
            self.error.eq(link.error),
        ]
        return m
