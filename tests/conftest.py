"""Fixtures that several files of tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from link_model import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A pseudo-terminal with the model of a board behind it."""
    found = Terminal()
    yield found
    found.close()
