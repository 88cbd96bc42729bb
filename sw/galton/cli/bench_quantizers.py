"""`galton bench quantizers`: networks by methods by settings, as a table and a page of plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galton.cli.benching import carry_out, settings, shared_options
from galton.cli.common import command as make_command

EXAMPLE = """
galton bench quantizers
galton bench quantizers --network digits --method mcq --set k_weights=1,2,3 --set dead_zone=0,2 --dask local:2
"""
LADDERS: dict[str, list[dict[str, Any]]] = {
    "mcq": [{"k_weights": k} for k in (1.0, 2.0, 3.0)],
    "gpfq": [{"k_weights": k} for k in (1.0, 2.0, 3.0)],
    "galton": [{"extra": {"price": price}} for price in (0.01, 0.06, 0.15)],
    "": [{"weight_limit": limit} for limit in (3,)],
}
"""Settings of a method besides its own, where none are given: its knob between work and accuracy; "" for methods not here."""


@make_command("quantizers", EXAMPLE)
@click.option("--network", "networks", multiple=True, help="A network; repeat for more. By default all that are here.")
@click.option("--method", "methods", multiple=True, help="A method; repeat for more. By default all.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="Values of a setting of galton.quantize; repeat for all combinations. By default some of the method's knob.",
)
@shared_options("bench-results")
def command(
    networks: tuple[str, ...],
    methods: tuple[str, ...],
    assignments: tuple[str, ...],
    limit: int | None,
    calibration: int,
    data: Path | None,
    target: str,
    golden: int,
    as_json: bool,
    **running: Any,
) -> int:
    """Quantize networks by several methods, and compare accuracy, work, size and time.

    Finished cells are kept in the output folder: a run that is stopped goes on where it was, and a larger one adds to it.
    Exit code 1 where a cell failed.
    """
    from galton.bench import cells, page, subjects
    from galton.quantizers import METHODS, named

    folder = data or subjects.DATA
    given = settings(assignments) if assignments else None
    cells.check(target, given or [{}])
    for method in methods:
        named(method)
    names = networks or subjects.available(folder)
    for name in networks:
        subjects.check(name, folder)
    work = [
        cells.Cell(network, method, options, calibration, limit, target, golden, str(folder))
        for network in names
        for method in methods or METHODS
        for options in given or [{}, *LADDERS.get(method, LADDERS[""])]
    ]
    return carry_out(work, "Quantizers", as_json=as_json, page=page.bench, **running)
