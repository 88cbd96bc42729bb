"""Speeds of the quantizers: what is measured, what is said where there is nothing to measure."""

from __future__ import annotations

import json

import pytest
from torch import nn

from galton.bench import speed, subjects
from galton.cli import main as program


def test_memory_is_told_for_each_size(monkeypatch) -> None:
    monkeypatch.setattr(speed, "SIZES", (1 << 14, 1 << 15))
    row = speed.memory()
    assert list(row.numbers) == ["bytes a weight at 16,384", "bytes a weight at 32,768"]
    assert all(8 < value < 200 for value in row.numbers.values())
    monkeypatch.setattr(speed, "SPREAD", 0.5)
    assert speed.memory().broken[0].startswith("not linear: ")


def test_plain_sampling_of_a_network(monkeypatch, tmp_path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    monkeypatch.setattr(subjects, "available", lambda data: [speed.LITE])
    monkeypatch.setattr(subjects, "network", lambda name, data: network)
    row = speed.plain(tmp_path)
    assert row.numbers["weights"] == 8 * 27 + 32
    assert row.broken == []


def test_limits_are_said() -> None:
    assert speed.late(1.234, 1) == ["1.23 s is more than 1"]
    assert speed.late(1.0, 1) == []


@pytest.mark.parametrize("kind", ["json", "text"])
def test_networks_that_are_not_there_are_skipped_with_a_reason(capsys, tmp_path, monkeypatch, kind) -> None:
    monkeypatch.setattr(speed, "SIZES", (1 << 14, 1 << 15))
    monkeypatch.setattr(speed, "SPREAD", 2.0)
    options = ["--json"] if kind == "json" else []
    assert program.run(["bench", "hardware", "--only", "quantizers", "--data", str(tmp_path), *options]) == 0
    printed = capsys.readouterr().out
    if kind == "json":
        rows = json.loads(printed)
        assert [bool(row["skipped"]) for row in rows] == [True] * 3 + [False]
    else:
        assert f"skipped: there is no network 'vggsmall' in the data folder {tmp_path}" in " ".join(printed.split())


def test_targets_without_networks(capsys, tmp_path) -> None:
    assert program.run(["bench", "targets", "--only", "kws", "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "There is no goal with 'kws' in its name, or no network for it in" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
