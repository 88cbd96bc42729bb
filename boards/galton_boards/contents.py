"""Initial contents of a core's memories, replaced in a routed design.

Before routing, every block RAM that holds weights or the data memory gets a pattern of its own instead of zeros. The pattern is
found again in the router's text, whatever site the block went to, and gives way to what yosys makes of the same memory with the
wanted words: no layout of bits is known here, but for how the router writes a block's parameters.
Single-port RAMs of the UP5K have no initial contents.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring

from galton.config import Config
from galton.errors import GaltonError
from galton.format import MEMORY_DATA, MEMORY_WEIGHTS, WORD_BITS
from galton.image import Image
from galton.words import memories
from galton_boards import boards
from galton_boards.boards import Board
from galton_boards.device import Device
from galton_hw.memory import DualPortMemory, OnePortMemory
from galton_sim import yosys
from galton_sim.yosys import SynthesisError

Parameters = dict[str, str]
"""Of a block's cell in yosys' JSON: those that are contents, as binary digits, high bit first."""


@dataclass(frozen=True)
class Blocks:
    """A family's block RAMs.

    cell: its type; parameters: the names of those that are contents; bits: of each; word, used: of every `word` bits the low
    `used` ones exist. section: matches a block's contents in the routed text, lines in group 1. shown: a parameter's value there.
    """

    cell: str
    parameters: tuple[str, ...]
    bits: int
    word: int
    used: int
    section: re.Pattern[str]
    shown: Callable[[str], str]


def _ecp5(value: str) -> str:
    """Of each twenty bits the low eighteen, as two hexadecimal numbers of nine; eight numbers to a line."""
    pairs = [int(value[end - 20 : end], 2) for end in range(len(value), 0, -20)]
    words = [f"{pair >> place & 0x1FF:03x}" for pair in pairs for place in (0, 9)]
    return "".join(" ".join(words[at : at + 8]) + "\n" for at in range(0, len(words), 8))


def _ice40(value: str) -> str:
    """One hexadecimal number to a line."""
    return f"{int(value, 2):0{len(value) // 4}x}\n"


FAMILIES = {
    "nextpnr-ecp5": Blocks(
        "DP16KD",
        tuple(f"INITVAL_{index:02X}" for index in range(64)),
        320,
        20,
        18,
        re.compile(r"(?<=^\.bram_init )\d+\n((?:[0-9a-f ]+\n)+)", re.MULTILINE),
        _ecp5,
    ),
    "nextpnr-ice40": Blocks(
        "SB_RAM40_4K",
        tuple(f"INIT_{index:X}" for index in range(16)),
        256,
        256,
        256,
        re.compile(r"(?<=^\.ram_data )\d+ \d+\n((?:[0-9a-f]+\n)+)", re.MULTILINE),
        _ice40,
    ),
}
"""By router."""


def found(netlist: Mapping[str, Any], blocks: Blocks, roots: Iterable[str]) -> dict[str, Parameters]:
    """The cells of block RAMs in yosys' JSON whose names begin with one of `roots`, by name."""
    cells = netlist["modules"]["top"]["cells"]
    begins = tuple(f"{root}." for root in roots)
    return {name: cell["parameters"] for name, cell in cells.items() if cell["type"] == blocks.cell and name.startswith(begins)}


def pattern(name: str, blocks: Blocks) -> Parameters:
    """Contents that no other block has."""
    random = Random(name)
    unused = "0" * (blocks.word - blocks.used)
    words = blocks.bits // blocks.word
    return {
        parameter: "".join(unused + f"{random.getrandbits(blocks.used):0{blocks.used}b}" for _ in range(words))
        for parameter in blocks.parameters
    }


def marked(file: Path, device: Device, roots: Iterable[str]) -> set[str]:
    """The names of the blocks that `mark` marks in a file."""
    blocks = FAMILIES.get(device.router)
    return set(found(json.loads(file.read_text()), blocks, roots)) if blocks else set()


def mark(file: Path, device: Device, roots: Iterable[str]) -> None:
    """Give blocks of memories at `roots` their patterns in yosys' JSON file, where the family's can be found again."""
    blocks = FAMILIES.get(device.router)
    if blocks is None:
        return
    netlist = json.loads(file.read_text())
    cells = found(netlist, blocks, roots)
    for name, parameters in cells.items():
        parameters.update(pattern(name, blocks))
    if cells:
        file.write_text(json.dumps(netlist))


def replaced(text: str, device: Device, contents: Mapping[str, Parameters]) -> str:
    """The routed text with each marked block's pattern replaced by its contents.

    Raises SynthesisError where a pattern is not there exactly once.
    """
    if not contents:
        return text
    blocks = FAMILIES[device.router]

    def shown(parameters: Parameters) -> str:
        return "".join(blocks.shown(parameters[name]) for name in blocks.parameters)

    wanted = {_key(shown(pattern(name, blocks))): shown(values) for name, values in contents.items()}
    done = 0

    def put(match: re.Match[str]) -> str:
        nonlocal done
        new = wanted.get(_key(match[1]))
        done += new is not None
        return match[0] if new is None else match[0][: match.start(1) - match.start()] + new

    result = blocks.section.sub(put, text)
    if done != len(contents):
        raise SynthesisError(f"{done} of {len(contents)} memory blocks were found in the routed design")
    return result


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stored(config: Config, image: Image | None) -> dict[str, wiring.Component]:
    """The memories that a bitstream can fill, by their place in the core, with the words of an image (None for zeros)."""
    words: dict[str, Sequence[int]] = {}
    for load in memories(image) if image else ():
        if load.select == MEMORY_DATA:
            words["memory"] = [int(word) for word in load.words]
        elif load.select < MEMORY_WEIGHTS + config.groups:
            chunks = [int(word) for word in load.words]
            entries = zip(*(chunks[part :: load.chunks] for part in range(load.chunks)), strict=True)
            words[f"group_{load.select - MEMORY_WEIGHTS}.weights"] = [
                sum(chunk << WORD_BITS * part for part, chunk in enumerate(entry)) for entry in entries
            ]
    data = words.get("memory", ())
    found: dict[str, wiring.Component] = {
        "memory": OnePortMemory(config.data_words, WORD_BITS, init=data)
        if config.data_ports == 1
        else DualPortMemory(config.data_words, WORD_BITS, init=data)
    }
    for group in range(config.groups):
        place = f"group_{group}.weights"
        found[place] = OnePortMemory(config.weight_words, config.entry_bits, init=words.get(place, ()))
    return found


class Apart(wiring.Component):
    """Memories by themselves, each with all its ports outside, in submodules of a path's names."""

    def __init__(self, parts: Mapping[str, wiring.Component]) -> None:
        self.parts = parts
        super().__init__({path.replace(".", "_"): wiring.Out(part.signature) for path, part in parts.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for path, part in self.parts.items():
            inside = m
            *outer, last = path.split(".")
            for name in outer:
                inside.submodules[name] = inner = Module()
                inside = inner
            inside.submodules[last] = part
            wiring.connect(m, wiring.flipped(getattr(self, path.replace(".", "_"))), part)
        return m


def roots(config: Config, core: str) -> list[str]:
    """The names of the memories that a bitstream can fill, in a design that has the core at `core`."""
    return [f"{core}.memory", *(f"{core}.group_{group}.weights" for group in range(config.groups))]


def contents(parts: Mapping[str, wiring.Component], device: Device) -> dict[str, Parameters]:
    """What yosys makes of memories by themselves: contents of each block by its name. Raises MissingTool, SynthesisError."""
    blocks = FAMILIES[device.router]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "top.il").write_text(rtlil.convert(Apart(parts), name="top", emit_src=False))
        yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\n", folder)
        netlist = json.loads((folder / "top.json").read_text())
    cells = found(netlist, blocks, parts)
    return {name: {key: cell[key].replace("x", "0") for key in blocks.parameters} for name, cell in cells.items()}


def zeros(names: Iterable[str], device: Device) -> dict[str, Parameters]:
    """Contents of blocks that are to be zero."""
    blocks = FAMILIES.get(device.router)
    if blocks is None:
        return {}
    return {name: dict.fromkeys(blocks.parameters, "0" * blocks.bits) for name in names}


def check(image: Image, board: Board) -> None:
    """Raise ImageError for an image of another configuration than the board's, GaltonError where no bitstream can hold it."""
    boards.check(image, board)
    if board.configuration == "up5k":
        raise GaltonError(
            f"{board.name} keeps weights and tensors in the UP5K's single-port RAMs, which no bitstream fills: write the network "
            f"into the flash instead, with `galton flash {board.name} --network FILE`"
        )
    if board.experimental:
        way = f"`galton flash {board.name} --network FILE`" if board.programmer.image else "`galton load`"
        raise GaltonError(f"No bitstream fills the memories of {board.name}: use {way}")
