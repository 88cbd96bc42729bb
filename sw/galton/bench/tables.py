"""Tidy tables of the bench: one line for each cell, and one for each layer of each cell."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from galton.bench.scoring import Row

COLUMNS = (
    "network", "method", "setting", "metric", "unit", "tested", "folds", "float_score", "score", "difference", "standard_error",
    "output_error",
    "weight_bits", "weight_bits_signed", "activation_bits", "activation_bits_signed", "nonzero_weights", "nonzero_activations",
    "weight_samples", "activation_samples", "multiplies", "effective", "clipped", "image_bytes", "golden_tested", "golden_agrees",
    "golden_score", "golden_torch_score",
    "seconds", "target", "calibration",
)  # fmt: skip
OPTIONS = ("k_weights", "k_activations", "xi", "order", "norm", "activations", "dynamic", "dead_zone", "correct", "weight_limit")
"""Settings as `quantize` used them, defaults included."""
LAST = ("failure", "image_failure", "warnings")


def write(rows: Sequence[Row], folder: Path) -> tuple[Path, Path]:
    """results.csv and layers.csv in `folder`; scores are in `unit`, shares are of 1, bits are means over layers."""
    results, layers = folder / "results.csv", folder / "layers.csv"
    lines = [{**row, **{name: row.get("options", {}).get(name) for name in OPTIONS}, **said(row)} for row in rows]
    write_csv(results, [*COLUMNS, *OPTIONS, *LAST], lines)
    each = [
        {**{name: row[name] for name in ("network", "method", "setting")}, "layer": layer["name"], **layer}
        for row in rows
        for layer in row.get("layers", [])
    ]
    known = dict.fromkeys(name for layer in each for name in layer if name != "name")
    write_csv(layers, list(known) or ["network"], each)
    return results, layers


def said(row: Row) -> Row:
    """What the quantizer warned of, in one text."""
    return {"warnings": " | ".join(row.get("warnings", []))}


def write_csv(path: Path, columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> None:
    """One line for each mapping; what it has no value for stays empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)


def front(points: Iterable[tuple[float, float]]) -> list[int]:
    """The places of the points that no other beats: cheaper at no less score, or better at no more cost; by rising cost.

    points: (cost, score) pairs.
    """
    found: list[int] = []
    best = float("-inf")
    for place, (_, score) in sorted(enumerate(points), key=lambda item: (item[1][0], -item[1][1])):
        if score > best:
            found.append(place)
            best = score
    return found


def shortened(rows: Sequence[Row]) -> list[Row]:
    """The rows with settings that all of them share left out of `setting`, and numbers to four digits: for tables and plots."""
    every = [row.get("settings", {}) for row in rows]
    shared = (
        {name for name in every[0] if all(name in other and other[name] == every[0][name] for other in every)} if every else set()
    )
    if len(rows) == 1:
        shared = set()
    return [
        {**row, "setting": words({name: own[name] for name in own if name not in shared})}
        for row, own in zip(rows, every, strict=True)
    ]


def words(settings: Mapping[str, Any]) -> str:
    """Settings in words."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in settings.items()}
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "default"
