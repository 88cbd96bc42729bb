"""Where what took long to make is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path

from galton.errors import GaltonError


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/galton``, by default ``~/.cache/galton``. Raises GaltonError for a user without a home."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise GaltonError("There is no home folder to keep results in: name a place for them in XDG_CACHE_HOME") from error
    return Path(root).absolute() / "galton"
