"""What `galton bench quantizers` and `galton sweep` share: options, settings from the command line, the run, and its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galton import processors
from galton.cli.common import console, emit, folder_option, progress, table

if TYPE_CHECKING:
    from galton.bench.cells import Cell
    from galton.bench.scoring import Row

FOLDER = click.Path(file_okay=False, path_type=Path)


def shared_options(folder: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of both commands; results go to `folder` unless told otherwise."""
    options = (
        click.option("--limit", type=click.IntRange(1), help="Measure on the first samples only."),
        click.option(
            "--calibration", type=click.IntRange(0), default=500, show_default=True, help="Inputs to calibrate with; 0: no data."
        ),
        click.option(
            "--data", type=FOLDER, envvar="GALTON_DATA", help="Data folder of the real networks: models.py, models/, sets/."
        ),
        click.option("--target", default="sparse", show_default=True, help="Configuration or board that image bytes are for."),
        click.option(
            "--golden", type=click.IntRange(0), default=0, help="Inputs to run on the image by the golden model, to compare."
        ),
        click.option("-j", "--jobs", type=click.IntRange(1), help="Processes; by default one for each processor."),
        click.option("--dask", metavar="ADDRESS", help="Run on a Dask cluster: a scheduler's address, or local:N for N workers."),
        click.option("--fresh", is_flag=True, help="Compute again what the folder holds already."),
        folder_option(folder, "the results"),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def settings(assignments: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of the values of `name=value,value` assignments; values are JSON, or else words.

    A name that comes again adds its values. Raises click.UsageError for an assignment of another form.
    """
    values: dict[str, list[Any]] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not text or not name.isidentifier():
            raise click.UsageError(f"--set takes NAME=VALUE or NAME=VALUE,VALUE, not {assignment!r}")
        values.setdefault(name, []).extend(value(word) for word in split(text))
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def split(text: str) -> list[str]:
    """The values of an assignment: one where the whole is JSON, such as a list or an object, else what stands between commas."""
    return [text] if text[:1] in ("[", "{") else text.split(",")


def value(word: str) -> Any:
    """A number, true, false, null, list or object as JSON has them, or the word itself."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def carry_out(
    cells: Sequence[Cell],
    title: str,
    *,
    output: Path,
    jobs: int | None,
    dask: str | None,
    fresh: bool,
    as_json: bool,
    page: Callable[[Sequence[Row], str], str],
    also: Callable[[Sequence[Row], Path], Sequence[Path]],
) -> int:
    """Run the cells, write tables, page and what `also` writes, and show the results; the exit code, 1 where a cell failed."""
    from galton.bench import runner, tables

    with progress(as_json) as bar:
        task = bar.add_task(f"{len(cells)} cells", total=len(cells))
        count = min(jobs or processors.count(), max(len(cells), 1))
        rows = runner.run(
            cells,
            output,
            jobs=count,
            dask=dask,
            fresh=fresh,
            done=lambda row: bar.update(task, advance=1, description=f"{row['network']} {row['method']}"),
        )
    results, layers = tables.write(rows, output)
    html = output / "report.html"
    html.write_text(page(rows, title))
    files = [results, layers, html, *also(rows, output)]
    if as_json:
        wanted = ("network", "method", "setting", *tables.COLUMNS[3:], *tables.LAST)
        emit({"rows": [{name: row.get(name) for name in wanted} for row in rows], "files": files})
    else:
        show(rows)
        console().print(f"Wrote {', '.join(map(str, files))}", soft_wrap=True)
    return 1 if any("failure" in row for row in rows) else 0


def show(rows: Sequence[Row]) -> None:
    """The rows as a table, for each network by rising effective work, then what failed."""
    from galton.bench.markdown import error
    from galton.bench.scores import shown
    from galton.bench.tables import shortened

    out, rows = console(), shortened(rows)
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network and "failure" not in row]
        if own:
            names = (
                "method",
                "setting",
                "score>",
                "difference>",
                "effective>",
                "w != 0>",
                "a != 0>",
                "bits>",
                "bytes>",
                "s>",
            )
            drawn = table(heading(own[0]), *names)
            for row in sorted(own, key=lambda row: row["effective"]):
                drawn.add_row(
                    row["method"],
                    row["setting"],
                    shown(row["score"], row["unit"]),
                    error(row["difference"], row["standard_error"], row["unit"]),
                    f"{row['effective']:.3f}",
                    f"{row['nonzero_weights']:.3f}",
                    f"{row['nonzero_activations']:.3f}",
                    f"{row['weight_bits']:.2f} {row['activation_bits']:.2f}",
                    f"{row['image_bytes']:,}" if "image_bytes" in row else "-",
                    f"{row['seconds']:.1f}",
                )
            out.print(drawn)
        for row in rows:
            if row["network"] == network and "failure" in row:
                out.print(f"[red]{network}, {row['method']}, {row['setting']}[/]: {row['failure']}", soft_wrap=True)


def heading(row: Row) -> str:
    """What is measured of a network, and on what."""
    from galton.bench.markdown import score

    return f"{row['network']}: {row['metric']}; float {score(row['float_score'], row)} of {row['tested']:,} samples"
