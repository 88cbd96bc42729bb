"""Synthesis, place and route of a core behind few pins: how large, how fast.

    python -m galton_boards.synth --config up5k
    python -m galton_boards.synth --all --output build/synth.json

Caveat on iCE40: nextpnr takes 0.1 ns for the clock-to-output time of SPRAMs and DSPs. DSP operands and products are registered in
the core; where SPRAMs are used, `corrected_mhz` adds what is missing (SPRAM_DELAY) to the critical path, and limits hold for it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from galton.config import CONFIGS, named
from galton.errors import GaltonError, MissingTool
from galton_boards.wrapper import FewPins
from galton_sim import yosys
from galton_sim.yosys import SynthesisError

SPRAM_DELAY = 1.3e-3
"""Microseconds by which nextpnr-ice40 underrates the clock-to-output time of a single-port RAM."""


@dataclass(frozen=True)
class Device:
    """A chip: how to synthesize for it and how to place and route on it.

    tech: what the core instantiates. synthesis: the yosys pass. router: nextpnr's name. arguments: of the router.
    cells: resource names of the router's report. clock: MHz that the router aims at.
    """

    tech: str
    synthesis: str
    router: str
    arguments: tuple[str, ...]
    cells: dict[str, str]
    clock: float


DEVICES = {
    "up5k": Device(
        tech="ice40",
        synthesis="synth_ice40 -abc9 -dff -device u -top top",
        router="nextpnr-ice40",
        arguments=("--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
        cells={"logic": "ICESTORM_LC", "ram": "ICESTORM_RAM", "dsp": "ICESTORM_DSP", "spram": "ICESTORM_SPRAM"},
        clock=24.0,
    ),
    "ecp5-25": Device(
        tech="generic",
        synthesis="synth_ecp5 -top top",
        router="nextpnr-ecp5",
        arguments=("--25k", "--package", "CABGA381", "--lpf-allow-unconstrained"),
        cells={"logic": "TRELLIS_COMB", "ram": "DP16KD", "dsp": "MULT18X18D", "registers": "TRELLIS_FF"},
        clock=60.0,
    ),
    "ecp5-85": Device(
        tech="generic",
        synthesis="synth_ecp5 -top top",
        router="nextpnr-ecp5",
        arguments=("--85k", "--package", "CABGA381", "--lpf-allow-unconstrained"),
        cells={"logic": "TRELLIS_COMB", "ram": "DP16KD", "dsp": "MULT18X18D", "registers": "TRELLIS_FF"},
        clock=60.0,
    ),
}
"""By configuration name."""
DEVICES["ecp5-25-ternary"] = DEVICES["ecp5-25"]


@dataclass(frozen=True)
class Report:
    """What became of a design. used, available: cells by kind. fmax: MHz by clock after routing; corrected_mhz: see above."""

    name: str
    device: str
    used: dict[str, int]
    available: dict[str, int]
    fmax: dict[str, float]
    corrected_mhz: float
    synthesis_seconds: float
    routing_seconds: float

    @property
    def over(self) -> list[str]:
        """Kinds of which the chip has too few."""
        return [kind for kind, count in self.used.items() if count > self.available[kind]]


def synthesize(component: Any, device: Device, folder: Path) -> None:
    """Leave ``top.json``, the mapped netlist of a component, in `folder`."""
    text = rtlil.convert(FewPins(component), name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\ntee -o stat.txt stat\n", folder)


def _nextpnr(device: Device, folder: Path, *options: str) -> str:
    """Run the router on ``top.json``; what it logs, also left there as route.log. Raises MissingTool, SynthesisError."""
    module = "yowasp_" + device.router.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        raise MissingTool(f"{device.router} is not installed; install it with: pip install yowasp-{device.router}")
    program = f"import sys; from {module} import *; sys.exit(run_{device.router.replace('-', '_')}(sys.argv[1:]))"
    shape = ["--json", "top.json", "--freq", str(device.clock), "--log", "route.log", "-q"]
    command = [sys.executable, "-c", program, *device.arguments, *shape, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise SynthesisError(f"{device.router} failed:\n" + "\n".join(lines[-15:]))
    return (folder / "route.log").read_text()


def route(device: Device, folder: Path, *, seed: int = 1) -> dict[str, Any]:
    """Place and route ``top.json``; nextpnr's own report. Raises MissingTool; SynthesisError where it does not fit."""
    _nextpnr(device, folder, "--report", "report.json", "--seed", str(seed), "--timing-allow-fail")
    return json.loads((folder / "report.json").read_text())


def packed(component: Any, device: Device, folder: Path) -> dict[str, int]:
    """Cells by kind of a component by itself, packed but not placed, without pins. Raises MissingTool, SynthesisError."""
    text = rtlil.convert(component, name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\n", folder)
    found = re.findall(r"(\w+): +(\d+)/ *\d+ +\d+%", _nextpnr(device, folder, "--pack-only"))
    counts = {cell: int(count) for cell, count in found}
    return {kind: counts[cell] for kind, cell in device.cells.items()}


def measure(component: Any, name: str, device: str, *, folder: Path | None = None, seed: int = 1) -> Report:
    """Synthesize, place and route any component for the device of a configuration; the files stay in `folder` if given."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return measure(component, name, device, folder=Path(temporary), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    chip = DEVICES[device]
    start = time.perf_counter()
    synthesize(component, chip, folder)
    middle = time.perf_counter()
    report = route(chip, folder, seed=seed)
    end = time.perf_counter()
    cells = {kind: report["utilization"][cell] for kind, cell in chip.cells.items()}
    fmax = {clock.removeprefix("$glbnet$").split("$")[0]: entry["achieved"] for clock, entry in report["fmax"].items()}
    slowest = min(fmax.values())
    uses_spram = cells.get("spram", {"used": 0})["used"] > 0
    return Report(
        name=name,
        device=device,
        used={kind: cell["used"] for kind, cell in cells.items()},
        available={kind: cell["available"] for kind, cell in cells.items()},
        fmax={clock: round(value, 2) for clock, value in fmax.items()},
        corrected_mhz=round(1 / (1 / slowest + SPRAM_DELAY) if uses_spram else slowest, 2),
        synthesis_seconds=round(middle - start, 1),
        routing_seconds=round(end - middle, 1),
    )


def core(name: str) -> tuple[Any, str]:
    """The core of a named configuration in its device's technology, and the device."""
    from galton_hw.core import Core

    config = named(name)
    if config.name not in DEVICES:
        raise GaltonError(f"There is no device for configuration {name!r}; the known ones are {', '.join(DEVICES)}")
    return Core(config, tech=DEVICES[config.name].tech), config.name


def limits(name: str) -> dict[str, float]:
    """The committed ceilings (cells by kind) and floor (corrected_mhz) of a configuration."""
    return tomllib.loads(files("galton_boards").joinpath("limits.toml").read_text())[name]


def violations(report: Report) -> list[str]:
    """Each limit that a report breaks, in words."""
    broken = []
    for kind, limit in limits(report.name).items():
        if kind == "corrected_mhz":
            if report.corrected_mhz < limit:
                broken.append(f"{report.name}: {report.corrected_mhz} MHz is below {limit}")
        elif report.used[kind] > limit:
            broken.append(f"{report.name}: {report.used[kind]} {kind} is above {limit}")
    return broken


def table(reports: Sequence[Report]) -> str:
    """Reports as text, a row each."""
    rows = [("configuration", "logic", "RAM", "SPRAM", "DSP", "Fmax", "corrected", "synthesis", "routing")]
    for report in reports:
        cells = [
            f"{report.used[kind]} of {report.available[kind]}" if kind in report.used else "-"
            for kind in ("logic", "ram", "spram", "dsp")
        ]
        clocks = ", ".join(f"{value:.1f}" for value in report.fmax.values())
        times = [f"{report.synthesis_seconds:.0f} s", f"{report.routing_seconds:.0f} s"]
        rows.append((report.name, *cells, f"{clocks} MHz", f"{report.corrected_mhz:.1f} MHz", *times))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 done, 1 a limit is broken, 2 misuse."""
    parser = argparse.ArgumentParser(prog="python -m galton_boards.synth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", action="append", choices=sorted(set(CONFIGS) & set(DEVICES)), help="may be given repeatedly")
    parser.add_argument("--all", action="store_true", help="every configuration that has a device")
    parser.add_argument("--seed", type=int, default=1, help="of the placer")
    parser.add_argument("--output", type=Path, help="write the reports as JSON to this file")
    parser.add_argument("--keep", type=Path, help="leave netlists, logs and nextpnr's reports in this folder")
    options = parser.parse_args(arguments)
    names = list(DEVICES) if options.all else options.config
    if not names:
        parser.error("give --config or --all")
    reports = []
    for name in names:
        component, device = core(name)
        reports.append(measure(component, name, device, folder=options.keep and options.keep / name, seed=options.seed))
    print(table(reports))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps([asdict(report) for report in reports], indent=2) + "\n")
    broken = [line for report in reports for line in violations(report)]
    print("\n".join(broken) if broken else "within the limits of limits.toml")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
