"""Interactive plots of the bench's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from galton.bench.cells import LARGEST_BIN
from galton.bench.scores import shown
from galton.bench.scoring import Row
from galton.bench.tables import front

COLOURS = ("#0f766e", "#b45309", "#1d4ed8", "#be123c", "#6d28d9", "#4d7c0f", "#0e7490", "#a21caf", "#57534e", "#ca8a04")
HEIGHT = 440
SHADES = 6
"""Layers of a histogram that are shown from the start."""

Figure = Any


def colours(rows: Sequence[Row]) -> dict[str, str]:
    """A colour for each method."""
    methods = dict.fromkeys(row["method"] for row in rows)
    return {method: COLOURS[index % len(COLOURS)] for index, method in enumerate(methods)}


def empty(across: str, up: str) -> Figure:
    """A figure with named axes."""
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=HEIGHT,
        margin={"l": 64, "r": 16, "t": 24, "b": 56},
        font={"family": 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', "size": 13},
        xaxis={"title": across, "zeroline": False, "rangemode": "nonnegative"},
        yaxis={"title": up, "zeroline": False},
    )
    return figure


def labelled(text: str) -> Row:
    """A label of a level line, where cheap networks, which are worse, leave room."""
    return {"annotation_text": text, "annotation_position": "top left"}


def title(rows: Sequence[Row]) -> str:
    """What scores are called on an axis."""
    return f"{rows[0]['metric']}, {rows[0]['unit']}"


def pareto(rows: Sequence[Row], cost: str, name: str) -> Figure:
    """Score against a column of costs; bars are the paired standard error, the line joins what nothing beats."""
    figure = empty(name, title(rows))
    palette, unit = colours(rows), rows[0]["unit"]
    form = ".2f" if unit == "%" else ".4f"
    known = [row for row in rows if row.get(cost) is not None]
    for method in dict.fromkeys(row["method"] for row in known):
        own = [row for row in known if row["method"] == method]
        figure.add_scatter(
            x=[row[cost] for row in own],
            y=[row["score"] for row in own],
            error_y={"array": [row["standard_error"] for row in own], "thickness": 1, "width": 2},
            mode="markers",
            name=method,
            marker={"size": 9, "color": palette[method]},
            text=[row["setting"] for row in own],
            customdata=[[row["difference"], row["standard_error"], row["seconds"]] for row in own],
            hovertemplate=f"%{{text}}<br>{name} %{{x:.4~g}}<br>%{{y:{form}}} "
            f"(%{{customdata[0]:+{form}}} ± %{{customdata[1]:{form}}})"
            "<br>%{customdata[2]:.1f} s",
        )
    best = [known[place] for place in front([(row[cost], row["score"]) for row in known])]
    figure.add_scatter(
        x=[row[cost] for row in best],
        y=[row["score"] for row in best],
        mode="lines",
        name="Pareto front",
        line={"color": "#1f2933", "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    if known:
        value = known[0]["float_score"]
        figure.add_hline(y=value, line={"color": "#5b6773", "width": 1}, **labelled(f"float {shown(value, unit)}"))
    return figure


def layer_errors(rows: Sequence[Row]) -> Figure:
    """Error of each layer's outputs on the calibration data, one line for each cell; of each method the best is shown."""
    figure = empty("layer", "relative error of the outputs")
    palette, best = colours(rows), best_of_methods(rows)
    for row in rows:
        figure.add_scatter(
            x=[layer["name"] for layer in row["layers"]],
            y=[layer["error"] for layer in row["layers"]],
            mode="lines+markers",
            name=f"{row['method']}, {row['setting']}",
            line={"color": palette[row["method"]], "width": 1.5},
            visible=True if row["key"] in best else "legendonly",
        )
    return figure


def best_of_methods(rows: Sequence[Row]) -> set[str]:
    """The keys of the best cell of each method."""
    best: dict[str, Row] = {}
    for row in rows:
        if row["method"] not in best or row["score"] > best[row["method"]]["score"]:
            best[row["method"]] = row
    return {row["key"] for row in best.values()}


def histogram(row: Row, what: str) -> Figure:
    """Shares of the magnitudes of a cell's weights or activations in each layer."""
    figure = empty("magnitude", f"share of {what}")
    for index, (name, counts) in enumerate(row["histograms"][what].items()):
        total = max(sum(counts), 1)
        figure.add_bar(
            x=[f"{place}+" if place == LARGEST_BIN else str(place) for place in range(len(counts))],
            y=[count / total for count in counts],
            name=name,
            marker={"color": COLOURS[index % len(COLOURS)]},
            visible=True if index < SHADES else "legendonly",
        )
    figure.update_layout(barmode="group", xaxis={"type": "category"}, height=HEIGHT - 100)
    return figure


def against_k(rows: Sequence[Row], columns: dict[str, str], name: str) -> Figure:
    """Columns against K, one line for each; several offsets give a mean, and bars of one standard deviation of a single one."""
    figure = empty("K, samples per weight and activation", name)
    for index, (column, label) in enumerate(columns.items()):
        groups: dict[float, list[float]] = {}
        for row in rows:
            if row.get(column) is not None:
                groups.setdefault(row["k"], []).append(row[column])
        ladder = sorted(groups)
        means = [sum(groups[k]) / len(groups[k]) for k in ladder]
        spread = [
            (sum((value - mean) ** 2 for value in groups[k]) / max(len(groups[k]) - 1, 1)) ** 0.5
            for k, mean in zip(ladder, means, strict=True)
        ]
        figure.add_scatter(
            x=ladder,
            y=means,
            error_y={"array": spread, "thickness": 1, "width": 2, "visible": any(spread)},
            mode="lines+markers",
            name=label,
            line={"color": COLOURS[index % len(COLOURS)]},
        )
    return figure


def at_equal_work(contests: Sequence[Row], champion: str, palette: Mapping[str, str]) -> Figure:
    """The champion less each other method on one network, at the points of the other's front; colours by method."""
    unit = contests[0]["unit"]
    figure = empty("effective work, share of dense", f"{champion} less the other, {unit}")
    form = ".2f" if unit == "%" else ".4f"
    for found in contests:
        points = found["points"]
        figure.add_scatter(
            x=[point["work"] for point in points],
            y=[point["difference"] for point in points],
            error_y={"array": [point["error"] for point in points], "thickness": 1, "width": 2},
            mode="lines+markers",
            name=found["peer"],
            line={"color": palette[found["peer"]], "width": 1},
            marker={"size": 8},
            text=[point["setting"] for point in points],
            customdata=[point["error"] for point in points],
            hovertemplate=f"%{{text}}<br>work %{{x:.3f}}<br>%{{y:+{form}}} ± %{{customdata:{form}}}",
        )
    figure.add_hline(y=0, line={"color": "#5b6773", "width": 1}, **labelled("equal"))
    return figure
