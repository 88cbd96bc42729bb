"""Facts to one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.metadata import version

from markupsafe import Markup

from galton.pages import template
from galton.report import plots
from galton.report.facts import Facts


def render(facts: Facts) -> str:
    """The page: equal facts give equal text."""
    return template("galton.report").render(
        facts=facts,
        version=version("galton"),
        accuracy=Markup(plots.accuracy_against_k(facts.curve, facts.chosen_k)) if facts.curve else None,
        hits=Markup(plots.hits(facts.layers)),
    )
