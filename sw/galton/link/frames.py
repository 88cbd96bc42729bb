"""Requests and answers as bytes: COBS frames around 32-bit words and CRCs (format.REQUEST, format.ANSWER)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from galton.errors import MissingTool
from galton.format import ANSWER, REQUEST, WORD_BYTES

END = b"\0"
"""Begins a request, ends an answer."""
GROUP_BYTES = WORD_BYTES + 1
"""Bytes on the line for each word of an answer."""
MOST = REQUEST.field("count").range[1]
"""Words of a request."""


@cache
def codec() -> Any:
    """The module `cobs.cobs`. Raises MissingTool where it is not installed."""
    try:
        from cobs import cobs
    except ImportError as error:
        raise MissingTool("The package cobs is not installed; install it with: pip install cobs") from error
    return cobs


@dataclass(frozen=True)
class Answer:
    """The words read, and the fields of format.ANSWER."""

    words: tuple[int, ...]
    fields: dict[str, int]


@dataclass(frozen=True)
class Request:
    """Write `words` to a register, or read `count` of them where `words` is None; fields as in format.REQUEST."""

    register: int
    count: int = 1
    words: Sequence[int] | None = None
    moving: bool = False
    select: int = 0
    address: int = 0

    def pack(self, sequence: int) -> bytes:
        """The bytes to send. ValueError for values outside their fields."""
        count = self.count if self.words is None else len(self.words)
        if not count:
            raise ValueError("A request is for one word or more")
        values = {
            "register": self.register,
            "moving": int(self.moving),
            "write": int(self.words is not None),
            "sequence": sequence,
            "count": count,
            "select": self.select,
            "address": self.address,
        }
        body = packed(REQUEST.pack(values))
        check = zlib.crc32(body)
        body += packed([check])
        if self.words is not None:
            data = packed(self.words)
            body += data + packed([zlib.crc32(data, check)])
        return END + bytes(codec().encode(body))

    @property
    def answer_bytes(self) -> int:
        """Bytes of the answer."""
        return GROUP_BYTES * (2 + (self.count if self.words is None else 0)) + 1

    def fits(self, answer: Answer) -> bool:
        """Whether the answer has as many words as one to this request."""
        reads = self.words is None and not answer.fields["corrupt"]
        return len(answer.words) == (self.count if reads else 0)


def packed(words: Sequence[int]) -> bytes:
    """Words, little end first."""
    return struct.pack(f"<{len(words)}I", *words)


def parse(frame: bytes) -> Answer | None:
    """The answer in the bytes before a zero; None where they are not one, whole and unharmed."""
    try:
        body = bytes(codec().decode(frame)) + END
    except codec().DecodeError:
        return None
    if len(body) < 2 * GROUP_BYTES or len(body) % GROUP_BYTES or any(body[WORD_BYTES::GROUP_BYTES]):
        return None
    words = [struct.unpack_from("<I", body, place)[0] for place in range(0, len(body), GROUP_BYTES)]
    if words.pop() != zlib.crc32(packed(words)):
        return None
    fields = ANSWER.unpack([words.pop()])
    return None if fields["zero"] else Answer(tuple(words), fields)
