"""Records: what is packed comes back, and nothing else is packed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galton import format as records
from galton.format import Field, Record

EVERY = [value for value in vars(records).values() if isinstance(value, Record)]


@pytest.mark.parametrize("record", EVERY, ids=lambda record: record.name)
@given(data=st.data())
def test_packed_records_come_back(record, data):
    values = {field.name: data.draw(st.integers(*field.range), label=field.name) for field in record.fields}
    words = record.pack(values)
    assert len(words) == record.words
    assert all(0 <= word < 1 << 32 for word in words)
    assert record.unpack(words) == values
    assert record.unpack([*words, 7]) == values


@pytest.mark.parametrize("record", EVERY, ids=lambda record: record.name)
def test_fields_neither_overlap_nor_cross_words(record):
    taken = set()
    for field in record.fields:
        word, bit = record.places[field.name]
        assert bit + field.bits <= 32
        bits = {(word, bit + index) for index in range(field.bits)}
        assert not bits & taken
        taken |= bits
    assert {word for word, _ in taken} == set(range(record.words))
    assert sum(len(list(record.in_word(word))) for word in range(record.words)) == len(record.fields)
    assert len(record.places) == len(record.fields)


def test_the_lowest_bits_come_first():
    record = Record("EXAMPLE", [Field("a", 4, ""), Field("b", 8, "", signed=True), Field("c", 24, "")])
    assert record.words == 2
    assert record.pack({"a": 5, "b": -1, "c": 3}) == [0xFF5, 3]
    assert [(field.name, bit) for field, bit in record.in_word(0)] == [("a", 0), ("b", 4)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 1}, r"EXAMPLE: missing \['b'\], unknown \[\]"),
        ({"a": 1, "b": 0, "c": 0}, r"EXAMPLE: missing \[\], unknown \['c'\]"),
        ({"a": 16, "b": 0}, r"EXAMPLE\.a is 16, outside 0\.\.15"),
        ({"a": -1, "b": 0}, r"EXAMPLE\.a is -1, outside 0\.\.15"),
        ({"a": 0, "b": 8}, r"EXAMPLE\.b is 8, outside -8\.\.7"),
    ],
)
def test_what_does_not_fit_a_record(values, message):
    record = Record("EXAMPLE", [Field("a", 4, ""), Field("b", 4, "", signed=True)])
    with pytest.raises(ValueError, match=message):
        record.pack(values)


def test_too_few_words():
    with pytest.raises(ValueError, match="NETWORK needs"):
        records.NETWORK.unpack([0])


def test_registers_have_addresses_of_their_own():
    assert len(set(records.REGISTERS.values())) == len(records.REGISTERS)
    assert all(field.name in records.REGISTERS for field in records.PROFILE.fields)
