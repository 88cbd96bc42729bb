"""The memory image: everything a core is loaded with, and what a host needs to use it.

A file is a header, a table of sections with a CRC-32 each, and the sections without gaps: META, PROGRAM, WEIGHTS of each group,
and TABLE of each group where the configuration has one (`format.MAGIC` and below). Equal images give equal bytes, and only bytes
that an image gives are read back. Loading executes nothing and allocates no more than a small multiple of the file's length.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton.config import Config
from galton.errors import ImageError
from galton.format import (
    FORMAT_VERSION,
    HEADER_BYTES,
    MAGIC,
    SECTION_BYTES,
    SECTION_META,
    SECTION_PROGRAM,
    SECTION_TABLE,
    SECTION_WEIGHTS,
    WORD_BITS,
    WORD_BYTES,
)

Words = NDArray[np.uint32]

HEADER = struct.Struct("<8sHHIQI")
SECTION = struct.Struct("<HHQII")
CHECK = struct.Struct("<I")
assert HEADER.size + CHECK.size == HEADER_BYTES and SECTION.size == SECTION_BYTES

NAMES = {SECTION_META: "META", SECTION_PROGRAM: "PROGRAM", SECTION_WEIGHTS: "WEIGHTS", SECTION_TABLE: "TABLE"}


@dataclass(frozen=True)
class Image:
    """What the core's memories hold before the first inference.

    Parameters
    ----------
    config: the configuration that the image is for.
    meta: JSON values: `network` (its name), `input` {shape, scale, low, high}, `output` {shape, scale, low, high, order},
        `layers` [{name, input_shape, output_shape, stored_channels, pixels, certificate}], `labels`. `order` is the stored
        place of each real output channel, `pixels` how many of the output are walked as one (compiler.pixels).
    program: 32-bit words from address 0 of the data memory.
    chunks: for each group, entries as (entries, config.entry_chunks) words, low word first.
    table: for each group, format.TABLE words; empty arrays where the configuration is dense.

    Raises ImageError where the arrays do not have the configuration's shape or do not fit its memories.
    """

    config: Config
    meta: dict[str, Any]
    program: Words
    chunks: tuple[Words, ...]
    table: tuple[Words, ...]

    def __post_init__(self) -> None:
        config = self.config
        if len(self.chunks) != config.groups or len(self.table) != config.groups:
            raise ImageError(
                f"The image has weights for {len(self.chunks)} groups; configuration {config.name} has {config.groups}"
            )
        sizes = [("program", len(self.program), config.data_words)]
        for group, (chunks, table) in enumerate(zip(self.chunks, self.table, strict=True)):
            if chunks.ndim != 2 or chunks.shape[1] != config.entry_chunks:
                raise ImageError(f"Group {group}: an entry has {config.entry_chunks} words, the image holds {chunks.shape}")
            sizes += [(f"weights of group {group}", len(chunks), config.weight_words)]
            sizes += [(f"table of group {group}", len(table), config.table_words)]
        for name, size, available in sizes:
            if size > available:
                raise ImageError(
                    f"The {name} has {size} words; configuration {config.name} has {available}. Compile for a larger one"
                )

    @property
    def weights(self) -> tuple[list[int], ...]:
        """For each group, its entries as integers of config.entry_bits."""
        return tuple([_integer(row) for row in chunks.tolist()] for chunks in self.chunks)

    def to_bytes(self) -> bytes:
        """The file."""
        bodies = [_words(chunks) for chunks in self.chunks]
        sections = [(SECTION_META, 0, _meta(self)), (SECTION_PROGRAM, 0, _words(self.program))]
        sections += [(SECTION_WEIGHTS, group, body) for group, body in enumerate(bodies)]
        if self.config.sparse:
            sections += [(SECTION_TABLE, group, _words(table)) for group, table in enumerate(self.table)]
        offset = HEADER_BYTES + SECTION_BYTES * len(sections) + CHECK.size
        rows = b""
        for kind, index, body in sections:
            rows += SECTION.pack(kind, index, offset, len(body), zlib.crc32(body))
            offset += len(body)
        head = HEADER.pack(MAGIC, FORMAT_VERSION, len(sections), self.config.digest, offset, 0)
        return b"".join([_checked(head), _checked(rows), *(body for _, _, body in sections)])

    @staticmethod
    def from_bytes(data: bytes, config: Config | None = None) -> Image:
        """The image in a file's bytes, for `config` where one is given.

        Raises ImageError, saying what is wrong and where, for anything but the bytes that `to_bytes` gives.
        """
        sections = dict(_sections(data, config))
        meta = _parse_meta(sections.pop((SECTION_META, 0), b""), HEADER.unpack_from(data)[3])
        own = meta.pop("config")
        groups = range(own.groups)
        expected = [(SECTION_PROGRAM, 0), *((SECTION_WEIGHTS, group) for group in groups)]
        expected += [(SECTION_TABLE, group) for group in groups if own.sparse]
        if list(sections) != expected:
            raise ImageError(
                f"The image has sections {_listed(sections)}; its configuration {own.name} needs {_listed(expected)}"
            )
        words = {}
        for key, body in sections.items():
            unit = WORD_BYTES * (own.entry_chunks if key[0] == SECTION_WEIGHTS else 1)
            if len(body) % unit:
                raise ImageError(
                    f"Section {_listed([key])} has {len(body)} bytes, which are no whole number of {unit}-byte entries"
                )
            words[key] = np.frombuffer(body, "<u4").astype(np.uint32)
        chunks = tuple(words[SECTION_WEIGHTS, group].reshape(-1, own.entry_chunks) for group in groups)
        nothing = np.zeros(0, np.uint32)
        table = tuple(words.get((SECTION_TABLE, group), nothing) for group in groups)
        image = Image(own, meta, words[SECTION_PROGRAM, 0], chunks, table)
        if not _canonical(image, data):
            raise ImageError(
                "The image is not in canonical form: no compiler of this version wrote it. Compile the network again"
            )
        return image

    def save(self, path: Path | str) -> None:
        """Write the file."""
        Path(path).write_bytes(self.to_bytes())

    @staticmethod
    def load(path: Path | str, config: Config | None = None) -> Image:
        """The image in a file.

        Raises ImageError as `from_bytes` does, with the file's name in front; OSError where there is none.
        """
        try:
            return Image.from_bytes(Path(path).read_bytes(), config)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error


def _sections(data: bytes, config: Config | None) -> Iterator[tuple[tuple[int, int], bytes]]:
    """((kind, index), body) of each section of a file whose header, table and checks hold."""
    again = "Copy or compile it again"
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise ImageError(f"This is not a Galton image: it begins with {data[: len(MAGIC)]!r}, not {MAGIC!r}")
    if len(data) < HEADER_BYTES:
        raise ImageError(f"The image is truncated: {len(data)} bytes, where the header alone has {HEADER_BYTES}. {again}")
    _, version, count, digest, total, zero = HEADER.unpack_from(data)
    if CHECK.unpack_from(data, HEADER.size)[0] != zlib.crc32(data[: HEADER.size]):
        raise ImageError(f"The image's header is corrupted: its CRC-32 does not match. {again}")
    if version != FORMAT_VERSION:
        raise ImageError(
            f"The image has format version {version}, this program reads {FORMAT_VERSION}: compile the network again"
        )
    if zero:
        raise ImageError(f"The image's header has {zero} in a reserved place that must be zero. Compile the network again")
    if config is not None and digest != config.digest:
        raise ImageError(
            f"The image is for a configuration with digest {digest:08x}, but {config.name} has {config.digest:08x}: "
            f"compile the network for {config.name}"
        )
    if len(data) < total:
        raise ImageError(f"The image is truncated: {len(data)} of {total} bytes. {again}")
    if len(data) > total:
        raise ImageError(f"The image has {len(data) - total} bytes after its end at {total}. {again}")
    body = HEADER_BYTES + count * SECTION_BYTES + CHECK.size
    if total < body:
        raise ImageError(f"The image ends at byte {total} within its table of {count} sections. Compile the network again")
    rows = data[HEADER_BYTES : body - CHECK.size]
    if CHECK.unpack_from(data, body - CHECK.size)[0] != zlib.crc32(rows):
        raise ImageError(f"The image's table of sections is corrupted: its CRC-32 does not match. {again}")
    seen = set()
    for kind, index, offset, size, check in SECTION.iter_unpack(rows):
        where = _listed([(kind, index)])
        if (kind, index) in seen or offset != body or body + size > total:
            raise ImageError(f"Section {where} is out of place: {size} bytes at {offset}, expected once and at {body}")
        seen.add((kind, index))
        content = data[offset : offset + size]
        if zlib.crc32(content) != check:
            raise ImageError(f"Section {where} at byte {offset} is corrupted: its CRC-32 does not match. {again}")
        body += size
        yield (kind, index), content
    if body != total:
        raise ImageError(f"The sections end at byte {body}, the image at {total}. Compile the network again")


def _meta(image: Image) -> bytes:
    """META: canonical JSON with the configuration's parameters added."""
    values = {**image.meta, "config": asdict(image.config)}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _canonical(image: Image, data: bytes) -> bool:
    """Whether the image gives these very bytes; one that holds what JSON cannot say gives none."""
    try:
        return image.to_bytes() == data
    except (ValueError, RecursionError):
        return False


def _parse_meta(body: bytes, digest: int) -> dict[str, Any]:
    """META's values, `config` as a Config whose digest is the header's."""
    try:
        meta = json.loads(body.decode())
        config = Config(**meta["config"])
        order, shape, layers = meta["output"]["order"], meta["output"]["shape"], meta["layers"]
        numbers = [*meta["input"]["shape"], *shape, *order]
        numbers += [value for side in ("input", "output") for value in (meta[side]["low"], meta[side]["high"])]
        if not all(type(value) is int for value in numbers) or len(meta["input"]["shape"]) != 3 or len(shape) != 3:
            raise ValueError("a shape, a range or the channel order is not made of integers")
        if len(order) != shape[2] or len(set(order)) != len(order) or not layers:
            raise ValueError("the output's channel order does not match its shape, or there are no layers")
        if not all(type(value) in (int, float) for value in (meta["input"]["scale"], meta["output"]["scale"])):
            raise ValueError("a scale is not a number")
        if not all(isinstance(layer["name"], str) for layer in layers):
            raise ValueError("a layer has no name")
        if not all(type(layer["pixels"]) is int and layer["pixels"] > 0 for layer in layers):
            raise ValueError("a layer has no number of pixels")
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise ImageError(f"Section META 0 does not describe an image ({type(error).__name__}: {error}): compile again") from error
    if config.digest != digest:
        raise ImageError(
            f"The header has configuration digest {digest:08x}, the parameters in META give {config.digest:08x}: "
            "compile the network again"
        )
    return {**meta, "config": config}


def _checked(data: bytes) -> bytes:
    """The bytes with their CRC-32 behind them."""
    return data + CHECK.pack(zlib.crc32(data))


def _words(words: Words) -> bytes:
    """Words, little end first."""
    return np.ascontiguousarray(words, "<u4").tobytes()


def _integer(chunks: list[int]) -> int:
    """An entry from its words, low word first."""
    return sum(chunk << (WORD_BITS * place) for place, chunk in enumerate(chunks))


def _listed(keys: Any) -> str:
    """Sections by name, for messages."""
    return ", ".join(f"{NAMES.get(kind, kind)} {index}" for kind, index in keys)
