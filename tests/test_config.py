"""Configurations: ranges, derived widths, names."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from galton.config import BOARDS, CONFIGS, Config, named

UP5K = CONFIGS["up5k"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 0}, r"groups must be an integer in 1\.\.8, not 0"),
        ({"lanes": 33}, r"lanes must be an integer in 1\.\.32, not 33"),
        ({"weight_bits": 1}, r"weight_bits must be an integer in 2\.\.8, not 1"),
        ({"planes": 3}, r"planes must be an integer in 1\.\.2, not 3"),
        ({"count_bits": 9}, r"count_bits must be an integer in 1\.\.8, not 9"),
        ({"accumulator_bits": 16}, r"accumulator_bits must be an integer in 17\.\.32, not 16"),
        ({"fifo_depth": 4.0}, r"fifo_depth must be an integer in 4\.\.256, not 4\.0"),
        ({"fifo_depth": 12}, "fifo_depth must be a power of two, not 12"),
        ({"weight_bits": 5}, "weight_bits must be at most 4 with two planes, not 5"),
        ({"scan_width": 2}, r"scan_width must be one of \(1, 4\), not 2"),
        ({"drain_width": 8}, r"drain_width must be one of \(1, 4\), not 8"),
        ({"step_bits": 2}, "step_bits is 2, table_words is 0"),
        ({"step_bits": 2, "table_words": 1}, "table_words must be at least 2 where step_bits is positive, else 0: .* is 1"),
        ({"table_words": 64}, "step_bits is 0, table_words is 64"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(UP5K, **changes)


def test_widths_follow():
    assert (UP5K.sparse, UP5K.entry_bits, UP5K.entry_chunks, UP5K.data_bytes) == (False, 32, 1, 65536)
    assert [replace(UP5K, **wide).data_ports for wide in ({}, {"scan_width": 4}, {"drain_width": 4})] == [1, 2, 2]
    assert (UP5K.weight_limit, UP5K.wide_weight_limit, UP5K.count_limit) == (7, 119, 255)
    sparse = Config("sparse", lanes=8, step_bits=3, table_words=64, planes=1, weight_bits=8, count_bits=4)
    assert (sparse.sparse, sparse.entry_bits, sparse.entry_chunks) == (True, 67, 3)
    assert (sparse.weight_limit, sparse.wide_weight_limit, sparse.count_limit) == (127, 127, 15)


def test_the_digest_is_of_everything_but_the_name():
    assert replace(UP5K, name="other").digest == UP5K.digest
    assert UP5K.digest < 1 << 32
    changed = {"weight_bits": 3, "step_bits": 1, "fifo_depth": 32, "planes": 1, "accumulator_bits": 21, "count_bits": 7}
    changed |= {"scan_width": 4, "drain_width": 4}
    for field in fields(Config):
        if field.name in ("name", "step_bits", "table_words"):
            continue
        other = replace(UP5K, **{field.name: changed.get(field.name, getattr(UP5K, field.name) + 1)})
        assert other.digest != UP5K.digest, field.name
    assert replace(UP5K, step_bits=1, table_words=64).digest != replace(UP5K, step_bits=2, table_words=64).digest


def test_names_and_boards():
    assert named("up5k") is UP5K
    for board, name in BOARDS.items():
        assert named(board) is CONFIGS[name]
    with pytest.raises(ValueError, match=r"There is no configuration 'zx81'; the known ones are tiny, hx8k, up5k, .*icebreaker"):
        named("zx81")
