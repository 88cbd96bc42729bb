"""`galton bench mlperf-tiny`: the networks of MLPerf Tiny on the accelerator, unofficially."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galton import processors
from galton.cli.benching import FOLDER, settings
from galton.cli.common import INPUT_FILE, console, emit, folder_option, progress, table
from galton.cli.common import command as make_command

if TYPE_CHECKING:
    from rich.progress import Progress

    from galton.bench.scoring import Row
    from galton.bench.tiny.plan import Entry

EXAMPLE = """
galton bench mlperf-tiny
galton bench mlperf-tiny --network kws --config up5k --verify 20
galton bench mlperf-tiny --network kws --set dead_zone=1,2,3
"""


@make_command("mlperf-tiny", EXAMPLE)
@click.option("--network", "networks", multiple=True, help="A network or a task; repeat for more. By default all.")
@click.option(
    "--config", "names", multiple=True, help="A configuration or board; repeat for more. By default up5k and both ecp5."
)
@click.option("--inputs", type=click.IntRange(1), default=20, show_default=True, help="Inputs that cycles are the mean of.")
@click.option("--verify", type=click.IntRange(0), default=0, help="Inputs to run through each core's Verilog.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE,...", help="Settings in place of those that are quoted.")
@click.option("--clock", "record", type=INPUT_FILE, help="Clocks from what `python -m galton_boards.synth --output` wrote.")
@click.option("--data", type=FOLDER, envvar="GALTON_DATA", help="Data folder of the real networks: models.py, models/, sets/.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Processes; by default one for each processor.")
@click.option("--fresh", is_flag=True, help="Compute again what the folder holds already.")
@folder_option("mlperf-tiny", "the results")
def command(
    networks: tuple[str, ...],
    names: tuple[str, ...],
    inputs: int,
    verify: int,
    assignments: tuple[str, ...],
    record: Path | None,
    data: Path | None,
    jobs: int | None,
    fresh: bool,
    output: Path,
    as_json: bool,
) -> int:
    """Accuracy, size, cycles and latency of MLPerf Tiny's networks, and some more, unofficially.

    What is finished is kept in the output folder: a run that is stopped goes on where it was. With --verify every network also
    runs in the Verilog of each configuration that it fits, and of simulated ones where these are fewer than three. Outputs must
    be the golden model's, counters the cycle model's. Exit code 1 where one differs, or a network could not be quantized.
    """
    from galton.bench import cells, subjects
    from galton.bench.tiny import page, plan, summary, tasks
    from galton.bench.tiny.trials import KEPT
    from galton.cli.clocks import clock, routed
    from galton.config import named

    if max(inputs, verify) > KEPT:
        raise click.UsageError(f"{KEPT} inputs are kept with a network: --inputs and --verify are at most that")
    folder = data or subjects.DATA
    wanted = [task for task in tasks.TASKS if not networks or {task.network, task.name} & set(networks)]
    known = {name for task in tasks.TASKS for name in (task.network, task.name) if name}
    for name in networks:
        if name not in known:
            raise click.UsageError(f"There is no network or task {name!r} on this bench; it has {', '.join(sorted(known))}")
    for task in wanted:
        subjects.check(task.network, folder)
    given = settings(assignments) if assignments else []
    cells.check(cells.SPARSE.name, given)
    configs = [named(name) for name in names or tasks.CONFIGURATIONS]
    clocks = {config.name: summary.Clock(*clock(config.name, record), routed(config.name)) for config in configs}
    planned = plan.entries(wanted, configs, given, folder, output)
    with progress(as_json) as bar:
        run = Runner(output, jobs or processors.count(), fresh, bar)
        trials, placed = run.trials(planned), run.placed(planned, inputs)
        checks = run.checks(planned, placed, verify) if verify else []
    tables: dict[str, list[Row]] = {config.name: [] for config in configs}
    for one in planned:
        rows = trials[one.trial.key], placed.get((one.trial.key, one.config.name))
        tables[one.config.name].append(summary.row(one.task, one.variant, one.settings, *rows, clocks[one.config.name]))
    value = summary.result({name: (clocks[name], rows) for name, rows in tables.items()}, checks)
    files = [output / name for name in ("results.json", "report.html", "tables.md")]
    for file, text in zip(files, (json.dumps(value, indent=1), page.render(value), summary.text(value)), strict=True):
        file.write_text(text)
    if as_json:
        emit({**value, "files": files})
    else:
        show(value)
        console().print(f"Wrote {', '.join(map(str, files))}", soft_wrap=True)
    failed = any("failure" in row for row in trials.values())
    return 1 if failed or not all(check["agrees"] for check in checks) else 0


class Runner:
    """Runs the three kinds of work, with a bar for each; rows are kept in folders of `output`."""

    def __init__(self, output: Path, jobs: int, fresh: bool, bar: Progress) -> None:
        self.output, self.jobs, self.fresh, self.bar = output, jobs, fresh, bar

    def rows(self, work: Sequence[Any], by: Callable[[Any, int], Row], store: str, words: Callable[[Row], str]) -> list[Row]:
        """The rows of pieces of work."""
        from galton.bench import runner

        unique = list({one.key: one for one in work}.values())
        task = self.bar.add_task(store, total=len(unique))
        return runner.run(
            unique,
            self.output,
            jobs=max(1, min(self.jobs, len(unique))),
            fresh=self.fresh,
            by=by,
            store=store,
            done=lambda row: self.bar.update(task, advance=1, description=f"{store}: {words(row)}"),
        )

    def trials(self, planned: Sequence[Entry]) -> dict[str, Row]:
        """By the trial's key. A row whose files are gone is computed again."""
        from galton.bench.tiny import trials

        for one in planned:
            if not all(file.is_file() for file in one.trial.files):
                (self.output / "quantized" / f"{one.trial.key}.json").unlink(missing_ok=True)
        rows = self.rows([one.trial for one in planned], trials.measure, "quantized", lambda row: str(row["network"]))
        return {row["key"]: row for row in rows}

    def placed(self, planned: Sequence[Entry], inputs: int) -> dict[tuple[str, str], Row]:
        """By the trial's key and the configuration's name, where there is a quantized network."""
        from galton.bench.tiny import machine

        work = [machine.Placed(one.trial, one.config, inputs) for one in planned if one.trial.files[0].is_file()]
        rows = self.rows(work, machine.measure, "machine", lambda row: str(row["configuration"]))
        return {(row["trial"], row["configuration"]): row for row in rows}

    def checks(self, planned: Sequence[Entry], placed: dict[tuple[str, str], Row], inputs: int) -> list[Row]:
        """Of what fits, each with `agrees`."""
        from galton.bench.tiny import plan
        from galton.bench.tiny.machine import Placed
        from galton.cli import tiny_verification as verification

        known = [one for one in planned if (one.trial.key, one.config.name) in placed]
        fits = {key: "failure" not in row for key, row in placed.items()}
        work = [Placed(trial, config, inputs) for trial, config in plan.to_verify(known, fits)]
        jobs = [verification.Check(one, verification.digest(one.config)) for one in work]
        rows = self.rows(jobs, verification.measure, "verified", lambda row: f"{row['network']} on {row['configuration']}")
        return [{**row, "agrees": verification.agrees(row)} for row in rows]


def show(value: Row) -> None:
    """Tables for people."""
    from galton.bench.tiny import summary

    out = console()
    for one in value["configurations"]:
        title = f"{one['name']}, {one['hertz'] / 1e6:g} MHz: {one['clock_source']}"
        names = [name for name in summary.COLUMNS if name not in LEFT_OUT]
        drawn = table(title, *(name if name == "network" else f"{name.replace(' ', '/')}>" for name in names))
        for row in one["rows"]:
            if "failure" not in row:
                cells = dict(zip(summary.COLUMNS, summary.cells(row), strict=True))
                drawn.add_row(*(cells[name].replace("*", "") for name in names))
        out.print(drawn)
        for row in summary.failures(one["rows"]):
            out.print(f"[yellow]{summary.heading(row)}[/]: {summary.first(row['failure'])}", soft_wrap=True)
        out.print()
    for line in value["verified"]:
        colour = "green" if line["agrees"] else "red"
        out.print(f"[{colour}]{summary.verdict(line)}[/]", soft_wrap=True)
    out.print(value["note"], soft_wrap=True)


LEFT_OUT = ("float", "bits w, a", "used w, a", "latency")
"""Columns that are in the files only."""
