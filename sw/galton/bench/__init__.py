"""The bench of quantizers: networks by methods by settings, in parallel, resumable, with a table and a page of plots."""

from galton.bench.cells import Cell
from galton.bench.runner import run

__all__ = ["Cell", "run"]
