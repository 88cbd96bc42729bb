"""What the HTML pages share: style, and bars of cycles by layer. Equal values give equal text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import BaseLoader, ChoiceLoader, Environment, FunctionLoader, StrictUndefined, Template

from galton.roofline import CAUSES, PARTS, LayerCycles, totals

COLOURS = {
    "entries": "#0f766e",
    "scan": "#6366f1",
    "drain": "#a16207",
    "drain_stalls": "#fbbf24",
    "fifo_stalls": "#a5b4fc",
    "ring_stalls": "#f0abfc",
    "gaps": "#f87171",
    "setup": "#94a3b8",
}
"""Of each cause of cycles."""


def template(package: str, name: str = "page.html") -> Template:
    """A page's template in a package of its own, which may import those that are here."""
    loader: BaseLoader = ChoiceLoader([FunctionLoader(lambda wanted: text(package, wanted)), FunctionLoader(shared)])
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, loader=loader)
    environment.filters |= {"thousands": "{:,.0f}".format, "percent": lambda share, digits=1: f"{100 * share:.{digits}f} %"}
    environment.globals |= {"causes": CAUSES, "parts": PARTS, "colours": COLOURS, "all_cycles": totals, "scale": scale}
    return environment.get_template(name)


def text(package: str, name: str) -> str | None:
    """The text of a package's template; None where there is none."""
    file = files(package).joinpath(name)
    return file.read_text() if file.is_file() else None


def shared(name: str) -> str | None:
    """The text of a template that is here."""
    return text("galton.pages", name)


def scale(layers: Sequence[LayerCycles]) -> float:
    """The most that any layer's bar or demand takes."""
    return max([1.0, *(max(layer.cycles, *layer.demands.values()) for layer in layers)])
