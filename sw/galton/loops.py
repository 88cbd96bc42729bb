"""How loops over arrays are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

compiled: Callable[..., Any] = numba.njit(cache=True)
released: Callable[..., Any] = numba.njit(cache=True, nogil=True)
"""Compiled, and other threads may run meanwhile."""
