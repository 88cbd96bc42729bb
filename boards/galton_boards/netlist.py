"""A design as gates: the netlist after synthesis, with models of the vendor's cells, for the same simulations as the source.

    python -m galton_boards.netlist --config ecp5-25 kws.galton inputs.npy --count 2
    python -m galton_boards.netlist --board icebreaker kws.galton inputs.npy

The first runs a core, at its streams; the second what is on a board's chip but for clock and pins, through its serial line.
Outputs must be the golden model's, counters the cycle model's. Cells of iCE40 are modelled by yosys; so are those of ECP5 but for
block RAM and multiplier, which models/ecp5.v describes from Lattice's documents.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from amaranth.lib import wiring
from numpy.typing import NDArray

from galton import cycles, golden
from galton.config import Config, named
from galton.errors import GaltonError, HardwareMismatch
from galton.image import Image
from galton.link import board as link
from galton.words import check_inputs
from galton_boards import boards, top
from galton_boards.command import answered, positive, raw_inputs
from galton_boards.device import DEVICES, Device, of_platform
from galton_hw import verilog
from galton_hw.core import Core
from galton_sim import simulate, yosys
from galton_sim.board import MODULE, SimulatedLine

MODELS = {
    "ice40": ("ice40/cells_sim.v",),
    "ecp5": ("lattice/common_sim.vh", "lattice/ccu2c_sim.vh"),
}
"""Yosys' models, by chip family."""
DEFINES = ("NO_ICE40_DEFAULT_ASSIGNMENTS", "NO_INCLUDES")
"""Macros for yosys' models: ports are not driven twice, and cells that no synthesis gives are left out."""


def family(device: Device) -> str:
    """The chip family of a device, as in MODELS."""
    return device.router.removeprefix("nextpnr-")


def gates(component: wiring.Component, name: str, device: Device) -> str:
    """Verilog of a component after synthesis, module `name` with the component's own ports, the cells' models in front.

    Raises MissingTool, SynthesisError.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "source.v").write_text(verilog.convert(component, name))
        synthesis = device.synthesis.replace("-top top", f"-top {name}")
        yosys.run(f"read_verilog source.v\n{synthesis}\nwrite_verilog -noattr gates.v\n", Path(folder))
        text = (Path(folder) / "gates.v").read_text()
    models = [(yosys.share() / path).read_text() for path in MODELS[family(device)]]
    if family(device) == "ecp5":
        models.append(files("galton_boards").joinpath("models/ecp5.v").read_text())
    return "\n".join([*(f"`define {name} 1" for name in DEFINES), *models, text])


def netlist(config: Config, device: Device | None = None) -> str:
    """`gates` of a core, module `galton_core`, for the device of its configuration unless told."""
    device = device or DEVICES[config.name]
    return gates(Core(config, device.tech), verilog.MODULE, device)


def _expect(config: Config, device: Device, image: Image, raw: NDArray[Any]) -> None:
    """Raise, before anything is synthesized, what `check_core` says of its arguments."""
    if image.config.digest != config.digest:
        raise HardwareMismatch(
            f"The image is for configuration {image.config.name} ({image.config.digest:08x}), not {config.name} "
            f"({config.digest:08x}): compile the network with --target {config.name}"
        )
    check_inputs(image, raw)
    if family(device) not in MODELS:
        raise GaltonError(f"There are no models of {family(device)} cells, only of {' and '.join(MODELS)}: take another board")


def check_core(config: Config, image: Image, raw: NDArray[Any]) -> simulate.Simulation:
    """Run raw inputs on a core's netlist.

    Raises HardwareMismatch where an output or a counter is not what the models say, or the image is for another configuration;
    CalibrationError for inputs of the wrong shape or range; GaltonError where the chip's cells have no models.
    """
    _expect(config, DEVICES[config.name], image, raw)
    return simulate.check(image, raw, text=netlist(config))


def check_board(board: boards.Board, image: Image, raw: NDArray[Any], progress: Callable[[int, int], None] | None = None) -> int:
    """`check_core` for all of a board's chip but clock and pins, through its serial line; the cycles that it took."""
    device = of_platform(top.platform(board))
    _expect(board.config, device, image, raw)
    linked = top.linked_core(board, device.tech)
    line = SimulatedLine(linked, text=gates(linked, MODULE, device))
    with link.Board(line) as host:
        host.identify(board.number)
        host.load(image, progress=progress)
        results = host.run(raw)
    names = [layer["name"] for layer in image.meta["layers"]]
    simulate.expect_outputs(results.outputs, golden.run(image, raw))
    simulate.expect_profiles(results.profiles, cycles.predict(image, raw), names)
    return line.cycles


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 the same bits, 1 others, 2 misuse."""
    parser = argparse.ArgumentParser(prog="python -m galton_boards.netlist", description=(__doc__ or "").splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--config", choices=sorted(DEVICES), help="a core, at its streams")
    which.add_argument("--board", choices=sorted(boards.boards()), help="a board, through its serial line")
    parser.add_argument("image", type=Path, help="what galton compile writes")
    parser.add_argument("inputs", type=Path, help="raw inputs (n, rows, columns, channels), .npy")
    parser.add_argument("--count", type=positive, default=1, help="of the first inputs")
    options = parser.parse_args(arguments)
    return answered(lambda: check(options))


def check(options: argparse.Namespace) -> int:
    """What the command line asks for; 0. Raises what check_core and check_board raise, and for files that cannot be read."""
    start = time.perf_counter()
    image, raw = Image.load(options.image), raw_inputs(options.inputs, options.count)
    if options.config:
        simulation = check_core(named(options.config), image, raw)
        total, speed = simulation.total_cycles, f"{simulation.cycles_per_second:,.0f} cycles/s"
    else:
        total, speed = check_board(boards.find(options.board), image, raw), "serial line"
    print(
        f"{options.config or options.board}: {len(raw)} inputs, outputs and counters of every layer as predicted; "
        f"{total:,} cycles of the netlist ({speed}), {time.perf_counter() - start:.0f} s in all"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
