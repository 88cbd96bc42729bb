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
galton bench quantizers --preset compare --network resnet20 -o compare
"""


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
@click.option(
    "--preset",
    type=click.Choice(["compare"]),
    help="compare: every method over its knob on real networks, to compare at equal work.",
)
@shared_options("bench-results")
def command(
    networks: tuple[str, ...],
    methods: tuple[str, ...],
    assignments: tuple[str, ...],
    preset: str | None,
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
    from galton.bench import cells, equal_work, page, presets, subjects
    from galton.quantizers import METHODS, named

    if preset and assignments:
        raise click.UsageError("--preset says the settings; give no --set with it")
    folder = data or subjects.DATA
    given = settings(assignments) if assignments else None
    cells.check(target, given or [{}])
    for method in methods:
        named(method)
    for name in networks:
        subjects.check(name, folder)
    chosen, known = methods or tuple(METHODS), subjects.available(folder)
    if preset:
        work = [
            cells.Cell(entry.network, method, options, entry.calibration, limit or entry.limit, target, golden, str(folder))
            for entry in presets.COMPARE
            if entry.network in (networks or known)
            for method in chosen
            for options in presets.ladder(entry.ladders, method)
        ]
        if not work:
            raise click.UsageError(
                f"--preset {preset} has none of these networks; it has {', '.join(entry.network for entry in presets.COMPARE)}"
            )
    else:
        work = [
            cells.Cell(network, method, options, calibration, limit, target, golden, str(folder))
            for network in networks or known
            for method in chosen
            for options in given or [{}, *presets.ladder(presets.LADDERS, method)]
        ]
    return carry_out(work, "Quantizers", as_json=as_json, page=page.bench, also=equal_work.write, **running)
