"""A board at the other end of a line: identify, load, run, look."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galton import decode
from galton.errors import LinkError, NoAnswer, WrongBoard
from galton.format import (
    BOARD,
    CLOCK_UNIT,
    CONTROL,
    IDENTITY,
    LINK_REGISTERS,
    LINK_VERSION,
    MEMORY_DATA,
    PROFILE,
    REGISTERS,
    STATUS,
)
from galton.image import Image
from galton.link.blocks import read_requests, write_requests
from galton.link.exchange import ATTEMPTS, Exchange
from galton.link.frames import Request
from galton.link.line import Line
from galton.link.places import config_of, expect_inside
from galton.words import Memory, check_inputs, input_words, memories, profiles, real_outputs

LIMIT = 60.0
"""Seconds that an inference may take."""
Words = Sequence[int] | NDArray[np.uint32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Identity:
    """What a board says: its kind, the digest of the core's configuration, its clock in Hz, whether booting from flash failed."""

    board: int
    digest: int
    clock: float
    boot_failed: bool


@dataclass
class Results:
    """outputs: raw (n, rows, columns, channels) in real channel order. profiles[n][layer]: fields of format.PROFILE, each layer's
    own share; none where the image keeps none. counters[n]: the same of all layers together. statuses[n]: fields of
    format.STATUS."""

    outputs: NDArray[np.int64]
    profiles: list[list[dict[str, int]]]
    counters: list[dict[str, int]]
    statuses: list[dict[str, int]]


class Board:
    """Requests, repeated until they are answered.

    What is written to memories and control may be written again, so a request whose answer is lost is repeated. Words of an input
    may not: after any trouble the core is disabled, forgets what it had, and the inference begins anew.

    Parameters: `line`; `attempts` at each request or inference; `patience` in seconds, by default the line's.
    Every method raises NoAnswer where the board is silent, LinkError where the line disturbs all attempts, PortError where the
    line is gone.
    """

    def __init__(self, line: Line, *, attempts: int = ATTEMPTS, patience: float | None = None) -> None:
        self.name, self.attempts = line.name, attempts
        self.exchange = Exchange(line, attempts, patience)
        self.identity: Identity | None = None
        self.image: Image | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the line back. The board keeps what it has."""
        self.exchange.line.close()

    def identify(self, number: int | None = None) -> Identity:
        """What is there. Raises WrongBoard for anything but a board of this version of the link, of kind `number` if given."""
        about = self.exchange.ask(Request(LINK_REGISTERS["board"]))
        board = BOARD.unpack(about.words)
        if board["version"] != LINK_VERSION:
            raise WrongBoard(
                f"The board at {self.name} speaks version {board['version']} of the link, this program {LINK_VERSION}: "
                "build and flash its bitstream again"
            )
        core, digest = self.exchange.ask(Request(REGISTERS["identity"], 2, moving=True)).words
        if core != IDENTITY:
            raise WrongBoard(f"The core at {self.name} says {core:#010x}, not {IDENTITY:#010x}: it is no Galton core")
        if number not in (None, board["board"]):
            raise WrongBoard(f"The board at {self.name} is of kind {board['board']}, not {number}: is it the right port?")
        failed = bool(about.fields["boot_failed"])
        self.identity = Identity(board["board"], digest, float(board["clock"] * CLOCK_UNIT), failed)
        return self.identity

    def reset(self) -> None:
        """Make the core forget everything but its memories, and stop it."""
        self.exchange.ask(Request(REGISTERS["control"], words=[0]), enabled=0)

    def status(self) -> dict[str, int]:
        """STATUS."""
        return STATUS.unpack(self.exchange.ask(Request(REGISTERS["status"])).words)

    def counters(self) -> dict[str, int]:
        """The counters of the last inference (format.PROFILE), of all its layers together; while one runs, they mean nothing."""
        names = [field.name for field in PROFILE.fields]
        words = self.exchange.ask(Request(REGISTERS[names[0]], len(names), moving=True)).words
        return dict(zip(names, words, strict=True))

    def write(self, select: int, address: int, words: Words, *, chunks: int = 1, progress: Progress | None = None) -> None:
        """Write words into memory `select` (format.MEMORY_*) from `address` on; `chunks` words are one address. Stops the core.

        `progress` is called with (words written, words). Raises LinkError where the core, if its configuration has a name, has no
        such place.
        """
        self._expect_inside(select, address, len(words), chunks)
        self.reset()
        done = 0
        for request in write_requests(Memory(select, address, words, chunks)):
            self.exchange.ask(request, enabled=0)
            done += len(request.words or ())
            if progress is not None:
                progress(done, len(words))

    def read(self, select: int, address: int, count: int, *, chunks: int = 1) -> list[int]:
        """`count` words of memory `select` from `address` on; `chunks` words are one address. Stops the core.

        Raises LinkError as `write` does.
        """
        self._expect_inside(select, address, count, chunks)
        self.reset()
        found: list[int] = []
        for request in read_requests(select, address, count, chunks):
            found += self.exchange.ask(request, enabled=0).words
        return found

    def load(self, image: Image, *, progress: Progress | None = None) -> None:
        """Write an image's memories. Raises WrongBoard, before anything is written, where the core is of another configuration.

        `progress` is called with (words written, words).
        """
        self._expect(image)
        self.image = None
        loads = memories(image)
        total, before = sum(len(load.words) for load in loads), 0
        for load in loads:

            def report(done: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, total)

            self.write(load.select, load.address, load.words, chunks=load.chunks, progress=report)
            before += len(load.words)
        self.image = image

    def attach(self, image: Image) -> None:
        """Go on with an image that the board has, from its flash or from whoever loaded it; programs are compared, weights not.

        Raises WrongBoard as `load` does, LinkError where the board has another program. Stops the core.
        """
        self._expect(image)
        if self.read(MEMORY_DATA, 0, len(image.program)) != image.program.tolist():
            raise LinkError(f"The board at {self.name} does not hold {image.meta['network']}: load it")
        self.image = image

    def _expect_inside(self, select: int, address: int, count: int, chunks: int) -> None:
        """expect_inside, where it is known what is there."""
        config = config_of(self.identity.digest) if self.identity else None
        if config is not None:
            expect_inside(config, select, address, count, chunks)

    def _expect(self, image: Image) -> None:
        """Raise WrongBoard where the core is of another configuration than the image."""
        identity = self.identity or self.identify()
        if identity.digest != image.config.digest:
            raise WrongBoard(
                f"The board at {self.name} has configuration digest {identity.digest:08x}, the image is for "
                f"{image.config.name} ({image.config.digest:08x}): compile the network for this board's configuration"
            )

    def run(self, raw: NDArray[Any], *, limit: float = LIMIT, progress: Progress | None = None) -> Results:
        """Run raw inputs (n, rows, columns, channels) through the image that was loaded.

        limit: seconds that an inference may take. progress: called with (inferences done, inferences).
        Raises LinkError where no image was loaded; CalibrationError for inputs of the wrong shape or range.
        """
        if self.image is None:
            raise LinkError(f"Nothing was loaded onto the board at {self.name} yet: call load(image) before run")
        image = self.image
        check_inputs(image, raw)
        header, layers = decode.header(image), len(image.meta["layers"])
        results = Results(np.zeros(0, np.int64), [], [], [])
        outputs = np.zeros((len(raw), header["output_words"]), np.uint32)
        for index, words in enumerate(input_words(raw)):
            results.statuses.append(self._infer(words.tolist(), layers, limit))
            results.counters.append(self.counters())
            outputs[index] = self.read(MEMORY_DATA, header["output_base"], header["output_words"])
            records = layers * PROFILE.words if header["profile_base"] else 0
            results.profiles.append(profiles(self.read(MEMORY_DATA, header["profile_base"], records)))
            if progress is not None:
                progress(index + 1, len(raw))
        results.outputs = real_outputs(image, outputs)
        return results

    def execute(self, image: Image, raw: NDArray[Any]) -> NDArray[np.int64]:
        """Raw outputs for raw inputs, of an image that is loaded first where it is not the last one loaded.

        Of the kind that CompiledNetwork.run takes: ``compiled.run(images, execute=board.execute)`` gives real outputs for real
        inputs. Raises what `load` and `run` do.
        """
        if self.image is not image:
            self.load(image)
        return self.run(raw).outputs

    def _infer(self, words: list[int], layers: int, limit: float) -> dict[str, int]:
        """One inference, from the start; STATUS at its end, with the core still enabled."""
        enable = CONTROL.pack({"enable": 1})
        for _ in range(self.attempts):
            self.reset()
            self.exchange.ask(Request(REGISTERS["control"], words=enable), enabled=1)
            answer = self.exchange.once(Request(LINK_REGISTERS["input"], words=words))
            if answer is not None and not any(answer.fields[name] for name in ("corrupt", "refused", "remaining")):
                return self._finish(layers, limit)
            self.exchange.troubles += 1
        raise LinkError(f"The board at {self.name} did not take an input of {len(words)} words in {self.attempts} attempts")

    def _finish(self, layers: int, limit: float) -> dict[str, int]:
        """STATUS when all layers are done."""
        start = time.monotonic()
        while True:
            status = self.status()
            if status["layer"] == layers and not status["busy"]:
                return status
            if time.monotonic() - start > limit:
                raise NoAnswer(f"The inference did not end within {limit:g} s; {status['layer']} of {layers} layers are done")
