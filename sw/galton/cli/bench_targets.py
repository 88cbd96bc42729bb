"""`galton bench targets`: what the default method is to reach, what it reaches, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from galton import processors
from galton.cli.benching import FOLDER
from galton.cli.common import command as make_command
from galton.cli.common import console, emit, folder_option, progress

if TYPE_CHECKING:
    from galton.bench.targets import Outcome
    from galton.cli.benchmarks import Row

EXAMPLE = """
galton bench targets
galton bench targets --only resnet20 --only speed
"""
SPEED = "speed"


@make_command("targets", EXAMPLE)
@click.option("--only", multiple=True, help=f"Goals whose name has this in it, or {SPEED!r}; repeat for more. By default all.")
@click.option("--data", type=FOLDER, envvar="GALTON_DATA", help="Data folder of the real networks: models.py, models/, sets/.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Processes; by default one for each processor.")
@folder_option("bench-results", "the results")
def command(only: tuple[str, ...], data: Path | None, jobs: int | None, output: Path, as_json: bool) -> int:
    """Measure every goal of the default method, and say which are met.

    Cells are shared with `galton bench quantizers --preset compare` in the same output folder. Exit code 1 where one is not met.
    """
    from galton.bench import runner, speed, subjects, targets

    folder = data or subjects.DATA
    known = subjects.available(folder)
    goals = [
        goal
        for goal in targets.goals(folder)
        if all(cell.network in known for cell in goal.cells) and (not only or any(part in goal.name for part in only))
    ]
    fast: list[Callable[[], Row]] = [
        *(partial(speed.default, name, folder) for name in speed.SECONDS),
        partial(speed.plain, folder),
        speed.memory,
    ]
    if not goals and only and SPEED not in only:
        raise click.UsageError(
            f"There is no goal with {' or '.join(map(repr, only))} in its name, or no network for it in {folder}"
        )
    cells = list({cell.key: cell for goal in goals for cell in goal.cells}.values())
    with progress(as_json) as bar:
        task = bar.add_task(f"{len(cells)} cells", total=len(cells))
        count = min(jobs or processors.count(), max(len(cells), 1))
        rows = runner.run(cells, output, jobs=count, done=lambda row: bar.update(task, advance=1, description=row["network"]))
        by_key = {row["key"]: row for row in rows}
        outcomes = [goal.outcome([by_key[cell.key] for cell in goal.cells]) for goal in goals]
        if not only or SPEED in only:
            outcomes += [timed(measure()) for measure in bar.track(fast, description="speed")]
    files = targets.write(outcomes, output)
    if as_json:
        emit({"targets": [asdict(one) for one in outcomes], "files": files})
    else:
        out = console()
        for one in outcomes:
            wanted = f" (wanted: {one.wanted})" if one.wanted else ""
            colour = {True: "green", False: "red", None: "yellow"}[one.met]
            out.print(
                f"[{colour}]{targets.WORDS[one.met].strip('*'):<13}[/][bold]{one.goal}[/]: {one.measured}{wanted}", soft_wrap=True
            )
        out.print(f"Wrote {', '.join(map(str, files))}", soft_wrap=True)
    return 1 if any(one.met is False for one in outcomes) else 0


def timed(row: Row) -> Outcome:
    """A speed as an outcome."""
    from galton.bench.targets import Outcome

    if row.skipped:
        return Outcome(row.name, "", row.skipped, None)
    words = ", ".join(f"{name} {value:,}" for name, value in row.numbers.items())
    return Outcome(row.name, "within its limits", "; ".join([words, *row.broken]), not row.broken)
