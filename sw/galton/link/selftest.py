"""Whether a board does all that it should: what its first owner runs, and what the simulated board passes.

Each check finds out about one thing; none relies on a check that failed before it but the first, who is there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from galton.config import Config
from galton.errors import GaltonError
from galton.format import CONTROL, LINK_REGISTERS, MEMORY_DATA, REGISTERS, WORD_BITS
from galton.link.board import Board
from galton.link.frames import END, Answer, Request, codec, packed, parse
from galton.link.network import built_in, inputs
from galton.link.places import Place, config_of, places

PINGS = 50
BLOCK = 64
"""Words at both ends of a memory that the short test of it writes, beside those at the powers of two."""
MOST_BYTES = 1000
"""After so many bytes without an end there is no answer."""
PLACE = 16
"""Where the checks of errors write, in the data memory."""


@dataclass(frozen=True)
class Check:
    """What was found out: a name, whether it is as it should be, and what was seen."""

    name: str
    passed: bool
    detail: str


class Failed(GaltonError):
    """A board that answers, but not rightly."""


def selftest(board: Board, *, full: bool = False) -> Iterator[Check]:
    """The checks, one after the other; `full`: every word of every memory, three seconds for 16,384 words at 1 Mbaud.

    Overwrites all memories. Raises only what identifying the board raises: without a Galton board there is nothing to check.
    """
    identity = board.identify()
    config = config_of(identity.digest)
    if config is None:
        yield Check("identity", False, f"no configuration of this version has digest {identity.digest:08x}")
        return
    failed = "; the image in its flash was refused" if identity.boot_failed else ""
    yield Check("identity", True, f"{config.name}, {identity.clock / 1e6:g} MHz, kind {identity.board}{failed}")
    checks: dict[str, Callable[[], str]] = {"line": partial(line, board)}
    checks |= {place.name: partial(memory, board, place, full) for place in places(config)}
    checks |= {"errors": partial(errors, board), "refused inputs": partial(refused, board)}
    checks |= {"network": partial(network, board, config), "reset": partial(reset, board)}
    for name, check in checks.items():
        try:
            yield Check(name, True, check())
        except GaltonError as error:
            yield Check(name, False, str(error))


def line(board: Board) -> str:
    """Many short requests, none of which must be repeated."""
    before = board.exchange.troubles
    for _ in range(PINGS):
        board.status()
    expect(board.exchange.troubles == before, f"{board.exchange.troubles - before} of {PINGS} requests had to be repeated")
    return f"{PINGS} requests answered, none repeated"


def memory(board: Board, place: Place, full: bool) -> str:
    """Words that tell their address apart, written all over and then read back, and their complements."""
    size, chunks = place.size, len(place.widths)
    powers = [1 << bit for bit in range(size.bit_length()) if BLOCK <= 1 << bit < size - BLOCK]
    runs = [(0, size)] if full else [(0, BLOCK), *((power, 1) for power in powers), (size - BLOCK, BLOCK)]
    words = 0
    for flip in (0, (1 << WORD_BITS) - 1):
        patterns = {start: pattern(start, count, place.widths, flip) for start, count in runs}
        for start, values in patterns.items():
            board.write(place.select, start, values, chunks=chunks)
        for start, values in patterns.items():
            found = board.read(place.select, start, len(values), chunks=chunks)
            wrong = [index for index, pair in enumerate(zip(found, values, strict=True)) if pair[0] != pair[1]]
            if wrong:
                at, seen, due = start + wrong[0] // chunks, found[wrong[0]], values[wrong[0]]
                raise Failed(f"at address {at} stands {seen:#x}, not {due:#x}; {len(wrong)} words there are wrong")
            words += len(values)
    return f"{words:,} words written and read back"


def pattern(start: int, count: int, widths: tuple[int, ...], flip: int) -> list[int]:
    """A word for each address and chunk, all different as far as their width allows."""
    words = []
    for address in range(start, start + count):
        for chunk, width in enumerate(widths):
            words.append((zlib.crc32(packed([address, chunk])) ^ flip) & ((1 << width) - 1))
    return words


def errors(board: Board) -> str:
    """Requests that are damaged in every part do nothing or are told, and the next one is answered."""
    board.write(MEMORY_DATA, PLACE, [1, 2])
    good = bytes(codec().decode(Request(REGISTERS["memory_data"], words=[3, 4], address=PLACE).pack(0)[1:]))
    header, words = bytearray(good), bytearray(good)
    header[4] ^= 1
    words[-5] ^= 1
    expect(told(board, bytes(header), "corrupt"), "a damaged header was not told")
    expect(board.read(MEMORY_DATA, PLACE, 2) == [1, 2], "a damaged header was carried out")
    expect(told(board, bytes(words), "corrupt"), "damaged words were not told")
    for length in (3, len(good) // 2, len(good) - 1):
        board.write(MEMORY_DATA, PLACE, [1, 2])
        expect(provoke(board, good[:length]) is None, f"a request cut to {length} bytes was answered")
        expect(board.read(MEMORY_DATA, PLACE + 1, 1) in ([2], [4]), "a request that was cut wrote something else")
    return "damaged and cut requests told or passed over, all others answered"


def refused(board: Board) -> str:
    """Words of an input are refused while the core is disabled, and told."""
    board.reset()
    request = Request(LINK_REGISTERS["input"], words=[1])
    expect(told(board, bytes(codec().decode(request.pack(0)[1:])), "refused"), "a disabled core took an input")
    return "told while the core is disabled"


def network(board: Board, config: Config) -> str:
    """The built-in network's outputs are the golden model's, its counters the cycle model's."""
    from galton import cycles, golden

    image = built_in(config)
    raw = inputs()
    board.load(image)
    results = board.run(raw)
    expect(np.array_equal(results.outputs, golden.run(image, raw)), "outputs differ from the golden model's")
    expect(results.profiles == cycles.predict(image, raw), "counters differ from the prediction")
    counted = sum(counters["cycles"] for counters in results.counters)
    return f"{len(raw)} inferences, {results.outputs.size} outputs and all counters as predicted, {counted:,} cycles"


def reset(board: Board) -> str:
    """An enabled core that is reset forgets what it did."""
    board.exchange.ask(Request(REGISTERS["control"], words=CONTROL.pack({"enable": 1})), enabled=1)
    board.reset()
    status = board.status()
    expect(not status["busy"] and not status["layer"], f"after a reset the status is {status}")
    return "the core rests, its memories can be read"


def provoke(board: Board, body: bytes) -> Answer | None:
    """The answer to a frame that a host would not send; None where none comes."""
    line = board.exchange.line
    line.send(END + bytes(codec().encode(body)))
    found = b""
    while END not in found and len(found) < MOST_BYTES and (piece := line.receive(board.exchange.patience)):
        found += piece
    return parse(found.split(END)[0])


def told(board: Board, body: bytes, field: str) -> bool:
    """Whether the answer to such a frame says so."""
    answer = provoke(board, body)
    return answer is not None and bool(answer.fields[field])


def expect(condition: bool, otherwise: str) -> None:
    """Raise Failed unless `condition` holds."""
    if not condition:
        raise Failed(otherwise)
