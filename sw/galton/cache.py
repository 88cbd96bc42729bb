"""Where what took long to make is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/galton``, by default ``~/.cache/galton``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galton"
