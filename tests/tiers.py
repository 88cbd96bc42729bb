"""Which of many cases the fast tier runs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import Any

import pytest


def spread(step: int, *axes: Collection[Any]) -> list[Any]:
    """Every combination of the axes' values, for parametrize: each `step`th in the fast tier, the others in tier `cosim`.

    The fast ones have every value of every axis, or the step is refused.
    """
    combinations = list(product(*axes))
    places = list(product(*(range(len(axis)) for axis in axes)))[::step]
    assert all(len(set(axis)) == len(values) for axis, values in zip(zip(*places, strict=True), axes, strict=True)), step
    return [
        pytest.param(*values, id="-".join(map(str, values)), marks=pytest.mark.cosim if index % step else ())
        for index, values in enumerate(combinations)
    ]
