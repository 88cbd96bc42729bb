"""A sweep over K: what is sampled, which layers are left alone, and the table of the paper (arXiv 1905.12253, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import nn

from galton.bench import subjects
from galton.bench.scoring import Row
from galton.config import LARGEST_WEIGHT

KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)
WHAT = ("both", "weights", "activations")
ALONE = ("none", "first", "last", "both")
FINE = {"method": "nearest", "weight_limit": LARGEST_WEIGHT}
"""Weights as good as float: rounded to 8 bits by channel."""
UNTOUCHED = {"graph": "float", "accelerator": "bypass"}
"""Activations that are not sampled, by engine: as they are, or raw bytes."""
HEAD = "| network | sampled | left alone | K | difference from float | bits w, with sign | bits a | used w | used a | effective |"
MEASURES = ("weight_bits", "weight_bits_signed", "activation_bits", "nonzero_weights", "nonzero_activations", "effective")


def names(network: str, data: Path, which: str) -> list[str]:
    """The first, the last or both layers with weights of a network of the bench; no layer for "none"."""
    if which == "none":
        return []
    found = [name for name, module in subjects.load(network, data).network.named_modules() if isinstance(module, KINDS)]
    return {"first": found[:1], "last": found[-1:], "both": [found[0], found[-1]]}[which]


def settings(k: float, what: str, alone: str, layers: Sequence[str], engine: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for galton.quantize at K = `k` that sample `what` and leave `alone` alone, which are `layers`.

    On the graph engine those stay float, inputs and all. On the accelerator they have raw bytes for inputs and FINE weights.
    """
    chosen: dict[str, Any] = {"k_weights": k, "k_activations": k, "engine": engine, "dead_zone": 0.0, **fixed}
    chosen |= {"activations": "monte_carlo", "skip_first_activation": False, "skip_last_activation": False}
    if what == "weights":
        chosen |= {"activations": UNTOUCHED[engine], "dynamic": False}
    replaced = {"*": FINE} if what == "activations" else {}
    if engine == "graph":
        return chosen | {"skip": list(layers), "layers": replaced}
    chosen |= {f"skip_{place}_activation": alone in (place, "both") for place in ("first", "last")}
    return chosen | {"layers": {**replaced, **dict.fromkeys(layers, FINE)}}


def case(row: Row) -> tuple[str, str]:
    """What a row of a sweep samples, and the layers that it leaves alone."""
    chosen = row["settings"]
    replaced = chosen.get("layers", {})
    what = "weights" if chosen.get("activations") in UNTOUCHED.values() else "activations" if "*" in replaced else "both"
    return what, ", ".join([*chosen.get("skip", ()), *(name for name in replaced if name != "*")])


def write(rows: Sequence[Row], folder: Path) -> Path:
    """paper.md in `folder`: a line for each network, case and K, means over the offsets.

    The error is that of the inputs, paired; where there are several offsets, their standard deviation stands behind it.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if "failure" not in row:
            groups.setdefault((row["network"], *case(row), row["settings"]["k_weights"]), []).append(row)
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]
    for (network, what, alone, k), own in sorted(groups.items()):
        differences = [row["difference"] for row in own]
        said = f"{fmean(differences):+.2f} ± {fmean(row['standard_error'] for row in own):.2f}"
        said += f" (offsets {stdev(differences):.2f})" if len(own) > 1 else ""
        bits, signed, activation_bits, *shares = (fmean(row[name] for row in own) for name in MEASURES)
        numbers = [f"{bits:.2f}, {signed:.2f}", f"{activation_bits:.2f}", *(f"{share:.1%}" for share in shares)]
        lines.append("| " + " | ".join([network, what, alone or "-", f"{k:g}", said, *numbers]) + " |")
    file = folder / "paper.md"
    file.write_text("\n".join(lines) + "\n")
    return file
