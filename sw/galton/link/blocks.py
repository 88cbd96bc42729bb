"""Memories in requests of a bearable length."""

from __future__ import annotations

from collections.abc import Iterator

from galton.format import REGISTERS
from galton.link.frames import Request
from galton.words import Memory

BLOCK = 4096
"""Words to a request that reads or writes a memory."""


def write_requests(load: Memory) -> Iterator[Request]:
    """Requests that write `load`."""
    for place, part in blocks(len(load.words), load.chunks):
        values = [int(word) for word in load.words[place : place + part]]
        yield Request(REGISTERS["memory_data"], words=values, select=load.select, address=load.address + place // load.chunks)


def read_requests(select: int, address: int, count: int, chunks: int = 1) -> Iterator[Request]:
    """Requests that read `count` words of memory `select` from `address` on; `chunks` words are one address."""
    for place, part in blocks(count, chunks):
        yield Request(REGISTERS["memory_data"], part, select=select, address=address + place // chunks)


def blocks(count: int, chunks: int) -> list[tuple[int, int]]:
    """(first word, words) of each request, whole addresses to each."""
    size = BLOCK - BLOCK % chunks
    return [(place, min(size, count - place)) for place in range(0, count, size)]
