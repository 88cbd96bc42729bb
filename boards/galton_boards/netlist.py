"""The core as gates: a post-synthesis netlist with the vendor cells' models, for the same simulations as the source."""

from __future__ import annotations

import tempfile
from pathlib import Path

from galton.config import Config
from galton_boards.device import DEVICES, Device
from galton_hw import verilog
from galton_sim import yosys

CELLS = "ice40/cells_sim.v"


def netlist(config: Config, device: Device = DEVICES["up5k"]) -> str:
    """Verilog of an iCE40 core after synthesis, cell models in front, module `galton_core` with the core's own ports.

    Raises MissingTool, SynthesisError.
    """
    text, description = verilog.generate(config, device.tech)
    top = description["module"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "core.v").write_text(text)
        synthesis = device.synthesis.replace("-top top", f"-top {top}")
        yosys.run(f"read_verilog core.v\n{synthesis}\nwrite_verilog -noattr gates.v\n", Path(folder))
        gates = (Path(folder) / "gates.v").read_text()
    models = (yosys.share() / CELLS).read_text()
    return f"`define NO_ICE40_DEFAULT_ASSIGNMENTS 1\n{models}\n{gates}"
