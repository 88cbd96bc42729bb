"""The clock of a latency: what place and route is known to reach."""

from __future__ import annotations

import json

import click
import pytest

from galton.cli.clocks import ASSUMED, clock, routed
from galton_boards.device import DEVICES
from galton_boards.limits import limits


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_a_clock_is_the_committed_floor(name) -> None:
    hertz, source = clock(name)
    assert hertz == 1e6 * limits(name)["corrected_mhz"]
    assert "limits.toml" in source
    assert routed(name)


def test_a_configuration_without_a_device_has_an_assumed_clock() -> None:
    assert clock("tiny") == (ASSUMED, "an assumed clock")
    assert not routed("tiny")


def test_a_record_of_a_build_counts_more(tmp_path) -> None:
    record = tmp_path / "synth.json"
    record.write_text(json.dumps([{"name": "up5k", "corrected": 23.5, "used": {}}]))
    assert clock("up5k", record) == (23.5e6, "routed, in synth.json")
    assert clock("ecp5-25", record) == clock("ecp5-25")


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "up5k"}]', "7"])
def test_another_file_is_no_record(tmp_path, text) -> None:
    record = tmp_path / "synth.json"
    record.write_text(text)
    with pytest.raises(click.UsageError, match="is no record"):
        clock("up5k", record)
