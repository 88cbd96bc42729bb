"""What a sweep over K needs to know: offsets of the samples, and the layers that are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from galton.bench import subjects

KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def drawn(offsets: Sequence[float], seeds: Sequence[int]) -> list[float]:
    """The offsets, and one drawn from [0, 1) by each seed; 0.5 where there are neither."""
    found = [*offsets, *(float(np.random.default_rng(seed).random()) for seed in seeds)]
    return found or [0.5]


def left_alone(network: str, data: Path, which: str | None, k: float) -> dict[str, Any]:
    """Settings for galton.quantize that give the first, the last or both layers K = `k` for weights."""
    if which is None:
        return {}
    names = [name for name, module in subjects.load(network, data).network.named_modules() if isinstance(module, KINDS)]
    chosen = {"first": names[:1], "last": names[-1:], "both": [names[0], names[-1]]}[which]
    return {"layers": {name: {"k_weights": k} for name in chosen}}
