"""The memories of a core, as the bus sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from galton.config import CONFIGS, Config
from galton.errors import LinkError
from galton.format import MEMORY_DATA, MEMORY_TABLE, MEMORY_WEIGHTS, WORD_BITS


@dataclass(frozen=True)
class Place:
    """A memory: `select` as in format.POSITION, `size` in addresses, the bits of each bus word at an address."""

    name: str
    select: int
    size: int
    widths: tuple[int, ...] = (WORD_BITS,)


def places(config: Config) -> Iterator[Place]:
    """All memories of a core."""
    widths = (WORD_BITS,) * (config.entry_chunks - 1) + (config.entry_bits % WORD_BITS or WORD_BITS,)
    yield Place("data memory", MEMORY_DATA, config.data_words)
    for group in range(config.groups):
        yield Place(f"weights of group {group}", MEMORY_WEIGHTS + group, config.weight_words, widths)
        if config.sparse:
            yield Place(f"table of group {group}", MEMORY_TABLE + group, config.table_words)


def config_of(digest: int) -> Config | None:
    """The named configuration with this digest."""
    return next((config for config in CONFIGS.values() if config.digest == digest), None)


def expect_inside(config: Config, select: int, address: int, count: int, chunks: int) -> None:
    """Raise LinkError unless `count` words from `address` on, `chunks` to an address, are all in memory `select`.

    The core does not look: addresses go round at a power of two, and what is between that and the end of a memory is nowhere.
    """
    place = {place.select: place for place in places(config)}.get(select)
    if place is None:
        raise LinkError(f"A core of configuration {config.name} has no memory {select}")
    end = address + -(-count // chunks)
    if chunks != len(place.widths) or address < 0 or end > place.size:
        raise LinkError(
            f"The {place.name} of configuration {config.name} has {place.size:,} addresses of {len(place.widths)} words; "
            f"{count:,} words from address {address:,} on, {chunks} to an address, are not all there"
        )
