"""Image files: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EVERY, random_network

from galton import format as records
from galton.compiler import compile
from galton.compiler.pack import entry_words
from galton.config import Config
from galton.decode import decode_entries
from galton.errors import ImageError
from galton.format import FORMAT_VERSION, HEADER_BYTES, SECTION_BYTES, Record
from galton.image import Image

SMALL = {"layers": 2, "size": 4, "channels": 5, "kernel": 3}
RECORDS = [value for value in vars(records).values() if isinstance(value, Record)]


def small(name: str = "tiny") -> Image:
    """An image of a few hundred to a few thousand bytes."""
    return compile(random_network(3, EVERY[name], **SMALL), EVERY[name]).image


def forge(data: bytes, change: Callable[[bytearray], None], *, table: bool = False) -> bytes:
    """The bytes with a change and with checks of the header, and of the table, to match."""
    forged = bytearray(data)
    change(forged)
    if table:
        end = HEADER_BYTES + SECTION_BYTES * int.from_bytes(forged[10:12], "little")
        forged[end : end + 4] = zlib.crc32(forged[HEADER_BYTES:end]).to_bytes(4, "little")
    forged[28:32] = zlib.crc32(forged[:28]).to_bytes(4, "little")
    return bytes(forged)


def with_meta(image: Image, change: Callable[[bytes], bytes]) -> bytes:
    """The image's bytes with META changed and every size, offset and check to match."""
    data = image.to_bytes()
    count = int.from_bytes(data[10:12], "little")
    rows = [struct.unpack_from("<HHQII", data, HEADER_BYTES + SECTION_BYTES * index) for index in range(count)]
    bodies = [data[offset : offset + size] for _, _, offset, size, _ in rows]
    bodies[0] = change(bodies[0])
    offset, table = HEADER_BYTES + SECTION_BYTES * count + 4, b""
    for (kind, index, *_), body in zip(rows, bodies, strict=True):
        table += struct.pack("<HHQII", kind, index, offset, len(body), zlib.crc32(body))
        offset += len(body)
    head = data[:16] + struct.pack("<QI", offset, 0)
    return b"".join([head, struct.pack("<I", zlib.crc32(head)), table, struct.pack("<I", zlib.crc32(table)), *bodies])


@pytest.mark.parametrize("name", EVERY)
def test_round_trip(name: str, tmp_path: Path) -> None:
    image = small(name)
    data = image.to_bytes()
    again = Image.from_bytes(data, EVERY[name])
    assert again.to_bytes() == data
    assert (again.config, again.meta) == (image.config, image.meta)
    assert (again.program == image.program).all()
    assert again.weights == image.weights
    assert all((a == b).all() for a, b in zip(again.table, image.table, strict=True))
    image.save(tmp_path / "x.galton")
    assert (tmp_path / "x.galton").read_bytes() == data
    assert Image.load(tmp_path / "x.galton").to_bytes() == data


def test_equal_networks_give_equal_bytes() -> None:
    assert small().to_bytes() == small().to_bytes()


def test_truncated_at_every_length() -> None:
    data = small().to_bytes()
    for length in range(len(data)):
        with pytest.raises(ImageError, match="truncated"):
            Image.from_bytes(data[:length])


def test_every_bit_of_the_header_flipped() -> None:
    data = small().to_bytes()
    for bit in range(HEADER_BYTES * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError, match="not a Galton image" if bit < 64 else "header is corrupted"):
            Image.from_bytes(bytes(flipped))


def test_every_byte_after_the_header_flipped() -> None:
    data = small().to_bytes()
    for place in range(HEADER_BYTES, len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(ImageError, match="CRC-32 does not match"):
            Image.from_bytes(bytes(flipped))


def test_bytes_after_the_end() -> None:
    with pytest.raises(ImageError, match="1 bytes after its end"):
        Image.from_bytes(small().to_bytes() + b"\0")


def put(place: int, layout: str, value: int) -> Callable[[bytearray], None]:
    """A change of one number."""
    return lambda data: struct.pack_into("<" + layout, data, place, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(8, "H", FORMAT_VERSION + 1), f"format version {FORMAT_VERSION + 1}, this program reads {FORMAT_VERSION}"),
        (put(24, "I", 1), "reserved"),
        (put(10, "H", 65535), "within its table"),
        (put(10, "H", 0), r"table of sections is corrupted"),
        (put(16, "Q", 1 << 60), "truncated"),
        (put(16, "Q", 40), "after its end"),
    ],
)
def test_headers_with_a_correct_check_but_wrong_content(change: Callable[[bytearray], None], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Image.from_bytes(forge(small().to_bytes(), change))


@pytest.mark.parametrize("place", [0, 2, 4, 12])
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("value", [0xFFFF, 9])
def test_tables_with_a_correct_check_but_wrong_content(place: int, row: int, value: int) -> None:
    data = small().to_bytes()
    change = put(HEADER_BYTES + SECTION_BYTES * row + place, "H", value)
    with pytest.raises(ImageError):
        Image.from_bytes(forge(data, change, table=True))


def test_another_configuration_is_refused() -> None:
    data = small("tiny").to_bytes()
    with pytest.raises(ImageError, match="compile the network for up5k"):
        Image.from_bytes(data, EVERY["up5k"])
    with pytest.raises(ImageError, match="parameters in META give"):
        Image.from_bytes(forge(data, put(12, "I", EVERY["up5k"].digest)))


def test_the_name_of_the_configuration_does_not_matter() -> None:
    image = small("tiny")
    renamed = replace(EVERY["tiny"], name="renamed")
    assert Image.from_bytes(image.to_bytes(), renamed).config.name == "tiny"


def edited(**changes: object) -> Callable[[bytes], bytes]:
    """A change of META's entries; None removes one."""

    def change(body: bytes) -> bytes:
        values = {key: value for key, value in {**json.loads(body), **changes}.items() if value is not None}
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"",
        lambda body: b"[" * 100_000,
        lambda body: b"\xff" + body,
        lambda body: body.replace(b":", b": ", 1),
        lambda body: body.replace(b'"high":', b'"high":1e400,"was":', 1),
        edited(config=None),
        edited(config={"name": "x", "unknown": 1}),
        edited(config={"name": "x", "lanes": 10**9}),
        edited(output={"shape": [1, 1, 2], "order": [0, 0], "scale": 1.0, "low": 0, "high": 1}),
        edited(output={"shape": [1, 1, 1], "order": [0], "scale": "1", "low": 0, "high": 1}),
        edited(input={"shape": [1, 1], "scale": 1.0, "low": 0, "high": 1}),
        edited(input=None),
        edited(layers=[]),
        edited(layers=[{"name": 1}]),
        edited(labels=float("nan")),
    ],
)
def test_meta_that_does_not_describe_an_image(change: Callable[[bytes], bytes]) -> None:
    image = small()
    assert Image.from_bytes(with_meta(image, lambda body: body)).to_bytes() == image.to_bytes()
    with pytest.raises(ImageError, match=r"META|canonical"):
        Image.from_bytes(with_meta(image, change))


def test_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.galton").write_bytes(b"GALTON")
    with pytest.raises(ImageError, match=r"broken.galton: The image is truncated: 6 bytes"):
        Image.load(tmp_path / "broken.galton")


def test_arrays_that_do_not_fit_the_configuration() -> None:
    image = small("tiny")
    config = image.config
    with pytest.raises(ImageError, match="weights for 2 groups"):
        replace(image, chunks=image.chunks * 2)
    with pytest.raises(ImageError, match="an entry has 1 words"):
        replace(image, chunks=(np.zeros((4, 2), np.uint32),))
    with pytest.raises(ImageError, match=f"table of group 0 has {config.table_words + 1} words"):
        replace(image, table=(np.zeros(config.table_words + 1, np.uint32),))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_records_round_trip(record: Record, data: st.DataObject) -> None:
    values = {field.name: data.draw(st.integers(*field.range), label=field.name) for field in record.fields}
    words = record.pack(values)
    assert len(words) == record.words
    assert all(0 <= word < 1 << 32 for word in words)
    assert record.unpack(words) == values


@given(
    lanes=st.integers(1, 32),
    weight_bits=st.integers(2, 8),
    step_bits=st.integers(0, 8),
    entries=st.integers(0, 5),
    seed=st.integers(0),
)
@settings(max_examples=60, deadline=None)
def test_entries_round_trip(lanes: int, weight_bits: int, step_bits: int, entries: int, seed: int) -> None:
    table_words = 16 if step_bits else 0
    config = Config("x", lanes=lanes, weight_bits=weight_bits, planes=1, step_bits=step_bits, table_words=table_words)
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(1 << (weight_bits - 1)), 1 << (weight_bits - 1), size=(entries, lanes))
    steps = rng.integers(0, 1 << step_bits, size=entries)
    chunks = entry_words(weights, steps, config)
    assert chunks.shape == (entries, config.entry_chunks)
    back, skips = decode_entries(chunks, config)
    assert (back == weights).all()
    assert (skips == steps).all()
    for row, entry in zip(chunks.tolist(), weights, strict=True):
        value = sum(chunk << 32 * index for index, chunk in enumerate(row))
        assert [value >> weight_bits * lane & ((1 << weight_bits) - 1) for lane in range(lanes)] == (
            entry & ((1 << weight_bits) - 1)
        ).tolist()
