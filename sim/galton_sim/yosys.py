"""Yosys, native, out of the `pyosys` wheel: each run in a process of its own, in a folder of its own, with relative paths."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from galton.errors import GaltonError, MissingTool

PROGRAM = "from pyosys import libyosys as y; y.run_pass('script run.ys', y.Design())"


class SynthesisError(GaltonError):
    """Yosys or nextpnr refused a design."""


def package() -> Path:
    """The folder of the `pyosys` package. Raises MissingTool where it is not installed."""
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise MissingTool("pyosys is not installed; install it with: pip install pyosys")
    return Path(spec.origin).parent


def share() -> Path:
    """Yosys' own library: simulation models of cells, technology maps."""
    return package() / "share"


def run(script: str, folder: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a Yosys script in `folder`; its output is also left there as run.log.

    Raises MissingTool without pyosys; SynthesisError with the end of the output where the script fails and `check` is set.
    """
    package()
    (folder / "run.ys").write_text(script)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True)
    (folder / "run.log").write_text(done.stdout + done.stderr)
    if check and done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise SynthesisError("Yosys failed:\n" + "\n".join(lines[-15:]))
    return done
