"""Pins of Sipeed's Tang Nano 20K, which amaranth-boards does not have: those that apicula's examples and litex-boards use."""

from __future__ import annotations

from typing import ClassVar

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import GowinPlatform
from amaranth_boards.resources import LEDResources, SPIFlashResources, UARTResource

LEVEL = {"IO_TYPE": "LVCMOS33"}


class TangNano20kPlatform(GowinPlatform):
    """GW2AR-18C in QFN88, 27 MHz, serial line over the board's USB adapter."""

    part = "GW2AR-LV18QN88C8/I7"
    family = "GW2AR-18C"
    default_clk = "clk27"
    resources: ClassVar = [
        Resource("clk27", 0, Pins("4", dir="i"), Clock(27e6), Attrs(**LEVEL)),
        *LEDResources(pins="15 16 17 18 19 20", invert=True, attrs=Attrs(**LEVEL)),
        UARTResource(0, rx="70", tx="69", attrs=Attrs(PULL_MODE="UP", **LEVEL)),
        *SPIFlashResources(0, cs_n="60", clk="59", copi="61", cipo="62", attrs=Attrs(**LEVEL)),
    ]
    connectors: ClassVar = []
