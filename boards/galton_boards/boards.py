"""Boards as data: a file each in `data`, on top of the pins that amaranth-boards knows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from galton.config import CONFIGS, Config
from galton.errors import ImageError, UnknownName
from galton.image import Image


@dataclass(frozen=True)
class Link:
    """The serial line: a `resource` of the platform, or pins ("io_0:1" is pin 1 of connector io 0) with `attributes`."""

    resource: str = ""
    rx: str = ""
    tx: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flash:
    """The SPI flash that the chip starts from: `resource` of the platform, size in `bytes`, `offset` of the boot image."""

    resource: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Programmer:
    """How openFPGALoader reaches the board: its name there ("" where it has none), the `cable` where none is on the board.

    volatile: whether it can load the chip past the flash; image: whether it can write a boot image.
    """

    board: str = ""
    cable: str = ""
    volatile: bool = False
    image: bool = True


@dataclass(frozen=True)
class Board:
    """A board.

    name: of the file. title: the maker's. number: what the register `board` shows, 1..255.
    platform: "module:Class", of amaranth_boards where the module's name has no dot. configuration: of the core.
    clock: of the core, Hz. baud: of the link.
    link, flash, programmer: see there. leds: resource for `ready` and `error`, where there are any. high: resources held at 1.
    experimental: docs/boards.md says what is not to be trusted. note: what its owner must know before anything else.
    seed: the placer's first, with which routing was seen to meet the clock.
    """

    name: str
    title: str
    number: int
    platform: str
    configuration: str
    clock: float
    baud: int
    link: Link
    flash: Flash
    programmer: Programmer
    leds: dict[str, str]
    high: tuple[str, ...] = ()
    experimental: bool = False
    note: str = ""
    seed: int = 1

    @property
    def config(self) -> Config:
        """The core's configuration."""
        return CONFIGS[self.configuration]

    @property
    def divider(self) -> int:
        """Clock cycles of a bit on the serial line."""
        return round(self.clock / self.baud)


def _board(name: str, values: dict[str, Any]) -> Board:
    parts = {"link": Link, "flash": Flash, "programmer": Programmer}
    built = {key: parts[key](**value) if key in parts else value for key, value in values.items()}
    built["clock"] = values["clock"] * 1e6
    built["high"] = tuple(values.get("high", ()))
    return Board(name=name, **{"leds": {}, **built})


@cache
def boards() -> dict[str, Board]:
    """Every board by name, in the order of their numbers."""
    found = [
        _board(file.name.removesuffix(".toml"), tomllib.loads(file.read_text()))
        for file in files("galton_boards").joinpath("data").iterdir()
        if file.name.endswith(".toml")
    ]
    return {board.name: board for board in sorted(found, key=lambda board: board.number)}


def find(name: str) -> Board:
    """The board called `name`. Raises UnknownName."""
    try:
        return boards()[name]
    except KeyError:
        raise UnknownName(f"There is no board {name!r}; the known ones are {', '.join(boards())}") from None


def numbered(number: int) -> str:
    """The name of the board whose core shows `number`; the number itself where there is none."""
    names = {board.number: board.name for board in boards().values()}
    return names.get(number, f"board number {number}")


def check(image: Image, board: Board) -> None:
    """Raise ImageError for an image of another configuration than the board's."""
    if image.config.digest != board.config.digest:
        raise ImageError(
            f"The image is for configuration {image.config.name}, {board.name} has {board.configuration}: "
            f"compile it again with --target {board.name}"
        )


__all__ = ["Board", "Flash", "Link", "Programmer", "boards", "check", "find", "numbered"]
