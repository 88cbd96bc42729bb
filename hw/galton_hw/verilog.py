"""Verilog of a core, byte for byte the same for the same configuration, and a description of its ports."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from amaranth.back import verilog
from amaranth.lib import wiring

from galton.config import Config
from galton.format import FORMAT_VERSION, REGISTERS
from galton_hw.core import Core

MODULE = "galton_core"

LINT_SWITCHES = (
    "-Wall",
    "-Wno-CASEINCOMPLETE",  # a case that names some values is an if for them; yosys writes no default branch
    "-Wno-DECLFILENAME",  # one file holds every module
    "-Wno-PROCASSINIT",  # registers have initial values and are assigned: that is how FPGAs start without a reset
    "-Wno-UNUSEDSIGNAL",  # records bring fields, and shared operators bits, that not every reader looks at
    "-Wno-WIDTH",  # operands are extended, and results cut, by Verilog's own rules, which yosys relies on
)
"""Switches under which Verilator's --lint-only has nothing to say about a core, and why those warnings are off."""


def convert(component: wiring.Component, name: str) -> str:
    """Verilog of any component, without source locations, so that the text depends on the circuit alone."""
    # A stray yosys on the path would be picked up silently, and other versions write other text.
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    return str(verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True))


def ports(component: wiring.Component) -> list[dict[str, Any]]:
    """Name, direction and width of every port, clock and reset first."""
    found = [{"name": name, "direction": "input", "width": 1} for name in ("clk", "rst")]
    for path, member, value in component.signature.flatten(component):
        direction = "input" if member.flow is wiring.In else "output"
        found.append({"name": "__".join(map(str, path)), "direction": direction, "width": len(value)})
    return found


def generate(config: Config, tech: str = "generic") -> tuple[str, dict[str, Any]]:
    """The Verilog text of `Core(config, tech)`, module MODULE, and its ports and parameters (JSON values)."""
    core = Core(config, tech)
    description = {
        "module": MODULE,
        "technology": tech,
        "format_version": FORMAT_VERSION,
        "digest": f"{config.digest:08x}",
        "configuration": asdict(config),
        "ports": ports(core),
        "registers": REGISTERS,
    }
    return convert(core, MODULE), description
