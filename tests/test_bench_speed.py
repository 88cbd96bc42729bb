"""Speeds of the quantizers: what is measured, what is said where there is nothing to measure."""

from __future__ import annotations

import json

import pytest
import torch
from networks import random_network
from torch import nn

from galton.bench import speed, subjects
from galton.cli import main as program
from galton.config import CONFIGS


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


def test_compiler_and_golden_model(monkeypatch, tmp_path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 300))
    inputs = torch.rand(20, 1, 8, 8)
    subject = subjects.Subject("small", network.eval(), inputs, inputs, torch.zeros(20))
    monkeypatch.setattr(subjects, "available", lambda data: [speed.GOLDEN])
    monkeypatch.setattr(subjects, "load", lambda name, data: subject)
    monkeypatch.setattr(speed, "GOLDEN_INPUTS", 3)
    monkeypatch.setattr(speed, "CONFIGS", {name: CONFIGS[name] for name in ("up5k", "ecp5-85")})
    row = speed.compiling(speed.GOLDEN, tmp_path)
    assert list(row.numbers) == ["processor seconds, up5k, does not fit", "processor seconds, ecp5-85"]
    monkeypatch.setattr(speed, "quantized", lambda name, data: random_network(1, CONFIGS["up5k"]))
    assert speed.golden_model(tmp_path).numbers["inputs"] == 3
    monkeypatch.setattr(subjects, "available", lambda data: [])
    assert speed.golden_model(tmp_path).skipped
    assert speed.compiling("vww", tmp_path).skipped


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
