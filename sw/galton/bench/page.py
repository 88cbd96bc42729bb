"""The bench's rows as one HTML file that needs nothing else: plots that can be zoomed, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from galton.bench import figures
from galton.bench.equal_work import CHAMPION, contests
from galton.bench.scores import shown
from galton.bench.scoring import Row
from galton.bench.sweeps import case
from galton.bench.tables import front, shortened

Section = tuple[str, str, list[tuple[str, Any]]]
"""Heading, explanation, and figures with the lines above them."""

SCORES = {"score": "quantized", "float_score": "float"}
SHARES = {"nonzero_weights": "weights used", "nonzero_activations": "activations used", "effective": "effective work"}
BITS = {
    "weight_bits": "weights",
    "weight_bits_signed": "weights, with sign",
    "activation_bits": "activations",
    "activation_bits_signed": "activations, with sign",
}


def bench(rows: Sequence[Row], title: str, champion: str = CHAMPION) -> str:
    """A page about methods: fronts, the champion against the others, errors of layers, histograms of each method's best cell."""
    rows = shortened(rows)
    found = contests(rows, champion)
    sections = [section for own in by_network(rows) for section in comparison(own, found, champion)]
    return render(rows, title, sections, found, champion)


def sweep(rows: Sequence[Row], title: str) -> str:
    """A page about K: for what is sampled, accuracy, shares and bits against it, and histograms of the largest."""
    numbered = [{**row, "k": float(row["settings"]["k_weights"])} for row in shortened(rows)]
    cases = [(own, chosen) for own in by_network(numbered) for chosen in dict.fromkeys(map(case, own))]
    parts = [[row for row in own if case(row) == chosen] for own, chosen in cases]
    return render(numbered, title, [section for part in parts for section in curves(part)])


def by_network(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each network that has some, without those that failed."""
    good = [row for row in rows if "failure" not in row]
    return [[row for row in good if row["network"] == name] for name in dict.fromkeys(row["network"] for row in good)]


def capital(text: str) -> str:
    """The text with a capital first."""
    return text[:1].upper() + text[1:]


def comparison(rows: Sequence[Row], found: Sequence[Row], champion: str) -> list[Section]:
    """The sections about one network in a comparison of methods; found: the contests."""
    name, best, metric = rows[0]["network"], figures.best_of_methods(rows), capital(rows[0]["metric"])
    pictures = [(f"{metric} against effective work", figures.pareto(rows, "effective", "effective work, share of dense"))]
    if any(row.get("image_bytes") is not None for row in rows):
        pictures.append((f"{metric} against image bytes", figures.pareto(rows, "image_bytes", "image bytes")))
    compared = [one for one in found if one["network"] == rows[0]["network"] and one["points"]]
    if compared:
        pictures.append(
            (
                f"{champion} at the work of each other method's front",
                figures.at_equal_work(compared, champion, figures.colours(rows)),
            )
        )
    explained = "Bars are the standard error of the paired difference from float. A click on a name hides it."
    return [
        (name, explained, pictures),
        (
            f"{name}: errors by layer",
            "On the calibration data, ‖quantized - float‖ / ‖float‖.",
            [("", figures.layer_errors(rows))],
        ),
        (
            f"{name}: histograms",
            "The best setting of each method.",
            histograms([row for row in rows if row["key"] in best]),
        ),
    ]


def curves(rows: Sequence[Row]) -> list[Section]:
    """The sections about one network in a sweep."""
    metric = capital(rows[0]["metric"])
    (what, alone), last = case(rows[0]), max(rows, key=lambda row: row["k"])
    name = f"{rows[0]['network']}, {what} sampled" + (f", {alone} left alone" if alone else "")
    pictures = [
        (f"{metric} against K", figures.against_k(rows, SCORES, figures.title(rows))),
        ("Weights and activations used", figures.against_k(rows, SHARES, "share")),
        ("Bits, mean over layers", figures.against_k(rows, BITS, "bits")),
        (f"{metric} against effective work", figures.pareto(rows, "effective", "effective work, share of dense")),
    ]
    explained = "Several offsets give a mean, and bars of the standard deviation of one."
    return [(name, explained, pictures), (f"{name}: histograms", "At the largest K.", histograms([last]))]


def histograms(rows: Sequence[Row]) -> list[tuple[str, Any]]:
    """Weights and activations of each row."""
    return [
        (f"{row['method']}, {row['setting']}: {what}", figures.histogram(row, what))
        for row in rows
        for what in ("weights", "activations")
        if row["histograms"][what]
    ]


def render(
    rows: Sequence[Row], title: str, sections: Sequence[Section], found: Sequence[Row] = (), champion: str = CHAMPION
) -> str:
    """The page; equal rows give equal text."""
    drawn, number = [], 0
    for heading, text, pictures in sections:
        each = []
        for above, figure in pictures:
            number += 1
            html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{number}", config={"displaylogo": False})
            each.append((above, Markup(html)))
        drawn.append((heading, text, each))
    best = {own[place]["key"] for own in by_network(rows) for place in front([(row["effective"], row["score"]) for row in own])}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string(files("galton.bench").joinpath("page.html").read_text())
    return template.render(
        title=title,
        version=version("galton"),
        script=Markup(get_plotlyjs()),
        sections=drawn,
        rows=[row for own in by_network(rows) for row in own],
        failures=[row for row in rows if "failure" in row],
        best=best,
        contests=found,
        champion=champion,
        shown=shown,
    )
