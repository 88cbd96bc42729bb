"""`galton bench`: speed, size and clock of the parts against their limits, and the quantizers against each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from galton.cli.bench_quantizers import command as quantizers
from galton.cli.bench_targets import command as targets
from galton.cli.bench_tiny import command as tiny
from galton.cli.benching import FOLDER
from galton.cli.common import ExampleGroup, console, emit, progress
from galton.cli.common import command as make_command

EXAMPLE = """
galton bench
galton bench hardware --only hits --json
galton bench quantizers --network digits --json
"""
HARDWARE = """
galton bench hardware
galton bench --only hits
"""
PARTS = ("hits", "quantizers", "compiler", "golden", "simulation", "link", "synthesis")


@make_command("hardware", HARDWARE)
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Measure only this part; may be given repeatedly.")
@click.option("--data", type=FOLDER, envvar="GALTON_DATA", help="Data folder of the real networks; skipped without.")
def hardware(only: tuple[str, ...], data: Path | None, as_json: bool) -> int:
    """Measure Monte Carlo hits, quantizers, compiler, golden model, simulation, the link of a board, and place and route.

    Exit code 1 where a limit is broken.
    """
    from galton.bench import speed, subjects
    from galton.cli import benchmarks

    folder = data or subjects.DATA
    work: dict[str, list[Callable[[], benchmarks.Row]]] = {
        "hits": [partial(benchmarks.hits, order) for order in ("array", "magnitude", "channel_sign")],
        "quantizers": [
            *(partial(speed.default, name, folder) for name in speed.SECONDS),
            partial(speed.plain, folder),
            speed.memory,
        ],
        "compiler": [partial(speed.compiling, name, folder) for name in speed.COMPILED],
        "golden": [partial(speed.golden_model, folder)],
        "simulation": [partial(benchmarks.simulation, name) for name in ("tiny", "up5k")],
        "link": [partial(benchmarks.link, "icebreaker")],
        "synthesis": [partial(benchmarks.synthesis, name) for name in ("up5k", "ecp5-25")],
    }
    chosen = [measurement for part in PARTS if part in (only or PARTS) for measurement in work[part]]
    out = console()
    with progress(as_json) as bar:
        rows = [measurement() for measurement in bar.track(chosen, description="measuring")]
    if as_json:
        emit(benchmarks.as_json(rows))
    else:
        for row in rows:
            numbers = ", ".join(
                f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in row.numbers.items()
            )
            out.print(f"[bold]{row.name}[/]: {numbers}", soft_wrap=True)
            if row.skipped:
                out.print(f"  skipped: {row.skipped}", soft_wrap=True)
            for line in row.broken:
                out.print(f"  [red]{line}[/]")
    return 1 if any(row.broken for row in rows) else 0


@click.group("bench", cls=ExampleGroup, example=EXAMPLE)
def command() -> None:
    """Measure: parts of the machine (hardware, meant where nothing is named), quantizers, their targets, whole networks."""


command.add_command(hardware)
command.add_command(quantizers)
command.add_command(targets)
command.add_command(tiny)
