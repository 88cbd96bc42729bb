"""A board's bitstream: synthesis, place and route over seeds, packing; each step's result is kept, by what it depends on.

A folder of the cache, named by the board and the digest of what goes in, holds `netlist`, and for each seed `seed-N`: the routed
design, the router's report, bitstreams with zeros or a network in their memories, and their build records.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from galton.errors import MissingTool
from galton.image import Image
from galton_boards import contents
from galton_boards.boards import Board
from galton_boards.device import Device, Routing, call, nextpnr, of_platform, routing
from galton_sim import verilator, yosys
from galton_sim.yosys import SynthesisError

KEPT = 60
"""Designs that stay in the cache."""
FORM = 2
"""Raised when what is kept in the cache changes."""
CORE = "linked.core"
"""Where the top has the core."""
TOOLS = ("amaranth", "amaranth-boards", "pyosys")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """A build record.

    digest: of the configuration; key: of everything that goes in. clock: MHz that the PLL makes. fmax: corrected MHz by seed;
    seed: the fastest, of which the other figures are. used, available: cells by kind. seconds: by step, when it was done.
    bitstream: file name; bytes and sha256 of it. tools: versions.
    """

    board: str
    number: int
    configuration: str
    digest: str
    key: str
    clock: float
    fmax: dict[int, float]
    seed: int
    used: dict[str, int]
    available: dict[str, int]
    seconds: dict[str, float]
    bitstream: str
    bytes: int
    sha256: str
    tools: dict[str, str]

    @property
    def met(self) -> bool:
        """Whether timing analysis allows the board's clock."""
        return self.fmax[self.seed] >= self.clock


@dataclass(frozen=True)
class Design:
    """What the tools are given: RTLIL, pins and clocks, chip; and versions of the tools."""

    board: Board
    device: Device
    rtlil: str
    constraints: str
    tools: dict[str, str]

    @property
    def key(self) -> str:
        """Digest of everything that a routed design depends on, but for the seed."""
        parts = [str(FORM), self.rtlil, self.constraints, repr(self.device), repr(self.tools)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where its results are kept."""
        return verilator.cache_folder() / "boards" / f"{self.board.name}-{self.key}"


def design(board: Board) -> Design:
    """A board's design, ready for synthesis. Raises MissingTool where a tool is not installed."""
    tools = {name: _version(name) for name in TOOLS}
    from galton_boards import top

    platform = top.platform(board)
    device = of_platform(platform)
    router = device.package.replace("_", "-")
    tools[router] = _version(router)
    plan = platform.prepare(top.Top(board, device.tech), "top", emit_src=False)
    return Design(board, device, plan.files["top.il"], plan.files[f"top.{device.family.constraints[1]}"], tools)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise MissingTool(f"{distribution} is not installed; install it with: pip install {distribution}") from None


@contextmanager
def _making(target: Path) -> Iterator[Path | None]:
    """A folder to make `target` in, which appears whole at the end, or None where it is there already; one process at a time."""
    if target.exists():
        yield None
        return
    with verilator.locked(target):
        if target.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as work:
            made = Path(work) / "made"
            made.mkdir()
            yield made
            made.rename(target)


def synthesized(design: Design) -> tuple[Path, float]:
    """The folder with top.json, and the seconds that making it took. Raises MissingTool, SynthesisError."""
    target = design.folder / "netlist"
    design.folder.parent.mkdir(parents=True, exist_ok=True)
    verilator.forget(design.folder.parent, KEPT)
    with _making(target) as folder:
        if folder is not None:
            start = time.perf_counter()
            (folder / "top.il").write_text(design.rtlil)
            (folder / f"top.{design.device.family.constraints[1]}").write_text(design.constraints)
            yosys.run(f"read_rtlil top.il\n{design.device.synthesis} -json top.json\n", folder)
            contents.mark(folder / "top.json", design.device, contents.roots(design.board.config, CORE))
            (folder / "seconds").write_text(f"{time.perf_counter() - start:.1f}")
    os.utime(design.folder)
    return target, float((target / "seconds").read_text())


def routed(design: Design, seed: int) -> tuple[Path, Routing, float]:
    """The folder with the routed design of a seed, the router's report, and the seconds it took. Raises as `synthesized`."""
    netlist, _ = synthesized(design)
    family = design.device.family
    target = design.folder / f"seed-{seed}"
    with _making(target) as folder:
        if folder is not None:
            start = time.perf_counter()
            for name in ("top.json", f"top.{family.constraints[1]}"):
                os.link(netlist / name, folder / name)
            report = ("--report", "report.json", "--seed", str(seed), "--timing-allow-fail")
            nextpnr(design.device, folder, *family.constraints[0], *family.routed[0], *report)
            (folder / "seconds").write_text(f"{time.perf_counter() - start:.1f}")
    return target, routing(design.device, target), float((target / "seconds").read_text())


def packed(design: Design, folder: Path, image: Image | None = None) -> Path:
    """The bitstream of the routed design in `folder`, with an image in its memories, or zeros.

    Raises GaltonError where no bitstream fills the chip's memories; MissingTool, SynthesisError.
    """
    device, family = design.device, design.device.family
    name = "top" if image is None else f"top-{hashlib.sha256(image.to_bytes()).hexdigest()[:16]}"
    target = folder / f"{name}.{family.bitstream}"
    if target.exists():
        return target
    _, suffix = family.routed
    if image is not None:
        contents.check(image, design.board)
    blocks = contents.marked(design.folder / "netlist" / "top.json", device, contents.roots(design.board.config, CORE))
    wanted = contents.zeros(blocks, device)
    if image is not None:
        made = contents.contents(contents.stored(design.board.config, image), device)
        wanted = {f"{CORE}.{place}": values for place, values in made.items()}
        if wanted.keys() != blocks:
            raise SynthesisError("Memories by themselves are not made of the same blocks as in the core")
    with tempfile.TemporaryDirectory(dir=design.folder) as work:
        text = (folder / f"top.{suffix}").read_text()
        (Path(work) / f"top.{suffix}").write_text(contents.replaced(text, device, wanted))
        call(*family.packer, (*device.packing, *family.packing), Path(work))
        (Path(work) / f"top.{family.bitstream}").rename(target)
    return target


def quiet(step: str) -> None:
    """Tell nobody about a step."""


def build(board: Board, seeds: int = 1, progress: Progress = quiet, image: Image | None = None) -> tuple[Build, Path]:
    """The fastest of `seeds` routed designs as a build record, and its bitstream, with an image in its memories if given.

    Seeds begin with the board's. `progress` is told of each step that begins. Raises ValueError for seeds below 1; ImageError for
    an image of another configuration; GaltonError where no bitstream holds one; MissingTool; SynthesisError where the design
    cannot be routed.
    """
    if seeds < 1:
        raise ValueError(f"There must be a seed at least, not {seeds}")
    if image is not None:
        contents.check(image, board)
    progress("Verilog of the board")
    made = design(board)
    progress("synthesis")
    _, synthesis_seconds = synthesized(made)
    seconds = {"synthesis": synthesis_seconds}
    found = {}
    for seed in range(board.seed, board.seed + seeds):
        progress(f"place and route, seed {seed}")
        found[seed] = routed(made, seed)
        seconds[f"seed {seed}"] = found[seed][2]
    progress("bitstream")
    best = max(found, key=lambda seed: found[seed][1].corrected)
    folder, report, _ = found[best]
    bitstream = packed(made, folder, image)
    content = bitstream.read_bytes()
    record = Build(
        board=board.name,
        number=board.number,
        configuration=board.configuration,
        digest=f"{board.config.digest:08x}",
        key=made.key,
        clock=board.clock / 1e6,
        fmax={seed: entry[1].corrected for seed, entry in found.items()},
        seed=best,
        used=report.used,
        available=report.available,
        seconds=seconds,
        bitstream=bitstream.name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tools=made.tools,
    )
    bitstream.with_suffix(".record.json").write_text(json.dumps(asdict(record), indent=2) + "\n")
    return record, bitstream
