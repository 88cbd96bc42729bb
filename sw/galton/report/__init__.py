"""A self-contained HTML page about a network on the accelerator."""

from galton.report.facts import Facts, LayerFacts, MemoryFacts, Point
from galton.report.page import render

__all__ = ["Facts", "LayerFacts", "MemoryFacts", "Point", "render"]
