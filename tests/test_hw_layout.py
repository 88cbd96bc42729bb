"""Records of format.py as layouts and registers: every field arrives, as narrow as the configuration allows."""

from random import Random

import circuits
import pytest

from galton import format as records
from galton.config import CONFIGS
from galton_hw.layout import RecordRegisters, field_bits, layout, limits, start_bits

RECORDS = [records.NETWORK, records.LAYER, records.ROW, records.CHANNEL, records.TABLE, records.PROFILE, records.STATUS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_layouts_have_the_fields(record):
    fields = layout(record)
    assert [name for name, _ in fields] == [field.name for field in record.fields]
    for field in record.fields:
        shape = fields[field.name].shape
        assert (shape.width, shape.signed) == (field.bits, field.signed)
        assert field_bits(record, field.name) == field.bits


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_limits_name_fields_and_only_narrow(config):
    known = {field.name for record in RECORDS for field in record.fields}
    assert set(limits(config)) <= known
    for record in RECORDS:
        for field in record.fields:
            shape = layout(record, config)[field.name].shape
            assert shape.width == min(field.bits, limits(config).get(field.name, field.bits))
            assert shape.signed == field.signed


def test_starts_hold_addresses_and_markers():
    for config in CONFIGS.values():
        memory = config.table_words if config.sparse else config.weight_words
        assert 1 << start_bits(config) >= memory
        assert start_bits(config) >= field_bits(records.ROW, "done") + field_bits(records.ROW, "segments")


@pytest.mark.parametrize("record", [records.NETWORK, records.LAYER, records.CHANNEL], ids=lambda record: record.name)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("together", [1, 2])
def test_registers_take_a_record_some_words_at_a_time(record, seed, together):
    rng, config = Random(seed), CONFIGS["tiny"]
    values = {}
    for field in record.fields:
        shape = layout(record, config)[field.name].shape
        low, high = (-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed else (0, (1 << shape.width) - 1)
        values[field.name] = rng.choice([low, high, rng.randint(low, high)])
    words = [*record.pack(values), rng.getrandbits(32)]
    parts = list(enumerate(words[place : place + together] for place in range(0, record.words, together)))
    order = rng.sample(parts, len(parts))
    stimuli = [{"write": 1, "index": index, "words": part} for index, part in order]
    # What is not written does not count; what was stands one cycle later.
    stimuli.append({"index": 0, "words": [rng.getrandbits(32)] * together})
    stimuli.append({})
    seen = circuits.run(RecordRegisters(record, config, together), stimuli, ["fields"], idle={"write": 0})
    assert seen[-2]["fields"] == seen[-1]["fields"] == values
    last = range(order[-1][0] * together, (order[-1][0] + 1) * together)
    late = [field.name for word in last for field, _ in record.in_word(word) if values[field.name]]
    assert all(seen[-3]["fields"][name] == 0 for name in late)
