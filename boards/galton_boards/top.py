"""What is on a board's chip: the linked core, and around it the board's clock, reset and pins."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.hdl import ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from galton_boards import pll
from galton_boards.boards import Board
from galton_boards.device import family
from galton_hw.link.core import LinkedCore

ICE40_PLL_PADS = {"SG48"}
"""Packages whose clock pin is the PLL's own: there its pad takes the clock, elsewhere a pin and the fabric bring it."""


def linked_core(board: Board, tech: str = "generic") -> LinkedCore:
    """The part of a board's top that no vendor makes: a core behind rx, tx and the flash, as simulated and as built.

    tech: as in Core.
    """
    shown = {"divider": board.divider, "board": board.number, "clock": board.clock}
    return LinkedCore(board.config, tech, boot=board.flash.offset, **shown)


def platform(board: Board) -> Any:
    """The board's platform from amaranth-boards, with a serial line of its own where the board has none."""
    module, _, name = board.platform.partition(":")
    made = getattr(importlib.import_module(module if "." in module else f"amaranth_boards.{module}"), name)()
    if not board.link.resource:
        pins = (Subsignal("rx", Pins(board.link.rx, dir="i")), Subsignal("tx", Pins(board.link.tx, dir="o")))
        made.add_resources([Resource("link", 0, *pins, Attrs(**board.link.attributes))])
    return made


def ports(platform: Any, names: Iterable[str]) -> dict[str, Any]:
    """The ports of resources by name: "led_g", "led:1" for number 1, "rgb_led:g" for a part."""
    requested: dict[tuple[str, int], Any] = {}
    found = {}
    for resource in names:
        name, _, part = resource.partition(":")
        key = (name, int(part) if part.isdecimal() else 0)
        if key not in requested:
            requested[key] = platform.request(*key, dir="-")
        found[resource] = getattr(requested[key], part) if part and not part.isdecimal() else requested[key]
    return found


class Clock(Elaboratable):
    """Domain `sync` from the board's oscillator by a PLL, in reset until the PLL has locked; Gowin's have the oscillator itself.

    iCE40's block RAMs read as zeros for 3 us after configuration; locking takes longer.
    """

    def __init__(self, frequency: float) -> None:
        self.frequency = frequency

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        source = platform.request(platform.default_clk, dir="-")
        chips = family(platform)
        if chips == "gowin":
            m.submodules.buffer = buffer = io.Buffer("i", source)
            m.d.comb += ClockSignal("sync").eq(buffer.i)
            return m
        way = pll.settings(chips, platform.default_clk_frequency, self.frequency)
        clock, locked = Signal(name="clock"), Signal(name="locked")
        if chips == "ice40":
            pad = platform.package in ICE40_PLL_PADS
            if pad:
                reference = {"io_PACKAGEPIN": source.io}
            else:
                m.submodules.buffer = buffer = io.Buffer("i", source)
                reference = {"i_REFERENCECLK": buffer.i}
            m.submodules.pll = Instance(
                "SB_PLL40_PAD" if pad else "SB_PLL40_CORE",
                p_FEEDBACK_PATH="SIMPLE",
                p_DIVR=Const(way.reference - 1, 4),
                p_DIVF=Const(way.feedback - 1, 7),
                p_DIVQ=Const(way.output.bit_length() - 1, 3),
                p_FILTER_RANGE=Const(pll.ice40_filter(way.detector), 3),
                i_RESETB=Const(1),
                i_BYPASS=Const(0),
                o_PLLOUTGLOBAL=clock,
                o_LOCK=locked,
                **reference,
            )
        else:
            m.submodules.buffer = buffer = io.Buffer("i", source)
            parameters, attributes = pll.ecp5_cell(way)
            m.submodules.pll = Instance(
                "EHXPLLL",
                **{f"p_{name}": value for name, value in parameters.items()},
                **{f"a_{name}": value for name, value in attributes.items()},
                **{f"i_{name}": Const(value) for name, value in pll.ECP5_INPUTS.items()},
                i_CLKI=buffer.i,
                i_CLKFB=clock,
                o_CLKOP=clock,
                o_LOCK=locked,
            )
        platform.add_clock_constraint(clock, way.frequency)
        m.d.comb += ClockSignal("sync").eq(clock)
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        return m


class Top(Elaboratable):
    """A board's whole design, for its platform.

    The LED `ready` is on once the chip is configured, `error` after a request with an error, and after a failed boot.
    """

    def __init__(self, board: Board, tech: str) -> None:
        self.board, self.tech = board, tech

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self.board
        m.domains += ClockDomain("sync")
        m.submodules.clock = Clock(board.clock)
        m.submodules.linked = linked = linked_core(board, self.tech)
        uart = platform.request(board.link.resource or "link", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [linked.rx.eq(rx.i), tx.o.eq(linked.tx)]
        self._flash(m, platform, linked.flash)
        shown = {"ready": Const(1), "error": linked.error | linked.boot_failed}
        values = {resource: shown[led] for led, resource in board.leds.items()} | dict.fromkeys(board.high, Const(1))
        for name, port in ports(platform, values).items():
            m.submodules[f"pin_{name.replace(':', '_')}"] = pin = io.Buffer("o", port)
            m.d.comb += pin.o.eq(values[name])
        return m

    def _flash(self, m: Module, platform: Any, flash: Any) -> None:
        """The flash's pins; on ECP5 its clock is a pin of the configuration logic, behind a cell of its own."""
        pins = platform.request(self.board.flash.resource, 0, dir="-")
        driven = {"cs": flash.cs, "copi": flash.copi, "wp": Const(0), "hold": Const(0)}
        if family(platform) == "ecp5":
            m.submodules.flash_clk = Instance("USRMCLK", i_USRMCLKI=flash.clk, i_USRMCLKTS=Const(0))
        else:
            driven["clk"] = flash.clk
        for name, value in driven.items():
            if hasattr(pins, name):
                m.submodules[f"flash_{name}"] = pin = io.Buffer("o", getattr(pins, name))
                m.d.comb += pin.o.eq(value)
        m.submodules.flash_cipo = cipo = io.Buffer("i", pins.cipo)
        m.d.comb += flash.cipo.eq(cipo.i)
