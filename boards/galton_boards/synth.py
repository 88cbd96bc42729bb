"""Synthesis, place and route of a core behind few pins: how large, how fast.

python -m galton_boards.synth --config up5k
python -m galton_boards.synth --all --output build/synth.json
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from galton.config import CONFIGS, named
from galton.errors import GaltonError
from galton_boards.command import answered, positive
from galton_boards.device import DEVICES, Device, Routing, nextpnr, routing
from galton_boards.limits import broken
from galton_boards.wrapper import FewPins
from galton_sim import yosys


@dataclass(frozen=True)
class Report(Routing):
    """What became of the design `name` on the chip of configuration `device`, and how long that took."""

    name: str
    device: str
    synthesis_seconds: float
    routing_seconds: float


def synthesize(component: Any, device: Device, folder: Path) -> None:
    """Leave ``top.json``, the mapped netlist of a component, in `folder`."""
    text = rtlil.convert(FewPins(component), name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\ntee -o stat.txt stat\n", folder)


def packed(component: Any, device: Device, folder: Path) -> dict[str, int]:
    """Cells by kind of a component by itself, packed but not placed, without pins. Raises MissingTool, SynthesisError."""
    text = rtlil.convert(component, name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\n", folder)
    found = re.findall(r"(\w+): +(\d+)/ *\d+ +\d+%", nextpnr(device, folder, "--pack-only"))
    counts = {cell: int(count) for cell, count in found}
    return {kind: counts[cell] for kind, cell in device.cells.items()}


def measure(component: Any, name: str, device: str, *, folder: Path | None = None, seed: int | None = None) -> Report:
    """Synthesize, place and route any component for the device of a configuration; the files stay in `folder` if given.

    seed: of the placer, the device's unless given.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return measure(component, name, device, folder=Path(temporary), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    chip = DEVICES[device]
    start = time.perf_counter()
    synthesize(component, chip, folder)
    middle = time.perf_counter()
    nextpnr(chip, folder, "--report", "report.json", "--seed", str(seed or chip.seed), "--timing-allow-fail")
    end = time.perf_counter()
    seconds = {"synthesis_seconds": round(middle - start, 1), "routing_seconds": round(end - middle, 1)}
    return Report(**vars(routing(chip, folder)), name=name, device=device, **seconds)


def core(name: str) -> tuple[Any, str]:
    """The core of a named configuration in its device's technology, and the device."""
    from galton_hw.core import Core

    config = named(name)
    if config.name not in DEVICES:
        raise GaltonError(f"There is no device for configuration {name!r}; the known ones are {', '.join(DEVICES)}")
    return Core(config, tech=DEVICES[config.name].tech), config.name


def violations(report: Report) -> list[str]:
    """Each limit that a report breaks, in words."""
    return broken(report.name, report.used, report.corrected)


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
        rows.append((report.name, *cells, f"{clocks} MHz", f"{report.corrected:.1f} MHz", *times))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 done, 1 a limit is broken, 2 misuse."""
    parser = argparse.ArgumentParser(prog="python -m galton_boards.synth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", action="append", choices=sorted(set(CONFIGS) & set(DEVICES)), help="may be given repeatedly")
    parser.add_argument("--all", action="store_true", help="every configuration that has a device")
    parser.add_argument("--seed", type=positive, help="of the placer, instead of the one that the device is measured with")
    parser.add_argument("--output", type=Path, help="write the reports as JSON to this file")
    parser.add_argument("--keep", type=Path, help="leave netlists, logs and nextpnr's reports in this folder")
    options = parser.parse_args(arguments)
    names = list(DEVICES) if options.all else options.config
    if not names:
        parser.error("give --config or --all")
    return answered(lambda: measured(names, options))


def measured(names: Sequence[str], options: argparse.Namespace) -> int:
    """Measure, print and write reports; 1 where a limit is broken. Raises MissingTool, SynthesisError, OSError."""
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.touch()
    reports = []
    for name in names:
        component, device = core(name)
        reports.append(measure(component, name, device, folder=options.keep and options.keep / name, seed=options.seed))
    print(table(reports))
    if options.output:
        options.output.write_text(json.dumps([asdict(report) for report in reports], indent=2) + "\n")
    broken = [line for report in reports for line in violations(report)]
    print("\n".join(broken) if broken else "within the limits of limits.toml")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
