"""Facts to one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from galton.report import plots
from galton.report.facts import Facts


def render(facts: Facts) -> str:
    """The page: equal facts give equal text."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"thousands": "{:,.0f}".format, "percent": lambda share, digits=1: f"{100 * share:.{digits}f} %"}
    template = environment.from_string(files("galton.report").joinpath("page.html").read_text())
    return template.render(
        facts=facts,
        version=version("galton"),
        accuracy=Markup(plots.accuracy_against_k(facts.curve, facts.chosen_k)) if facts.curve else None,
        cycles=Markup(plots.cycles_by_layer(facts.layers)),
        hits=Markup(plots.hits(facts.layers)),
    )
