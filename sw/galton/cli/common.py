"""What the commands share: the --json option, output, arrays from files, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Function = TypeVar("Function", bound=Callable[..., Any])
Array = NDArray[Any]

PLAIN_WIDTH = 120
"""Columns of output that goes to a file or a pipe."""
INPUT_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


class ExampleCommand(click.Command):
    """A command whose help ends with an example that can be copied."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it stands, without wrapping it."""
        with formatter.section("Example"):
            formatter.write("".join(f"  {line}\n" for line in self.example.strip().splitlines()))


class ExampleGroup(click.Group):
    """Commands under one name, the first of which is meant where none is named; its help is the group's own, with an example."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    format_epilog = ExampleCommand.format_epilog

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the first command's name before options that are not the group's."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def command(name: str, example: str) -> Callable[[Callable[..., Any]], ExampleCommand]:
    """A command called `name` with an example in its help and a --json option, passed as `as_json`."""

    def decorate(function: Callable[..., Any]) -> ExampleCommand:
        option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
        return click.command(name, cls=ExampleCommand, example=example)(option(function))

    return decorate


def plain(value: Any) -> Any:
    """NumPy scalars and arrays, paths and anything else that JSON does not know, as JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


def emit(result: Any) -> None:
    """Print `result` as JSON on standard output."""
    click.echo(json.dumps(result, indent=2, default=plain))


def console() -> Console:
    """Where results go: as wide as the terminal, or as long lines need where it is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def progress(quiet: bool = False) -> Progress:
    """A progress display on standard error; `quiet` for none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)


def table(title: str, *columns: str) -> Table:
    """A table: a column whose name ends in '>' is right-aligned, '/' in a name breaks its line."""
    options: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
    result = Table(title=title, title_justify="left", title_style="bold", header_style="dim", **options)
    for column in columns:
        result.add_column(
            column.removesuffix(">").replace("/", "\n"), justify="right" if column.endswith(">") else "left", no_wrap=True
        )
    return result


def load_array(path: Path) -> Array:
    """The array in a .npy, .npz or .pt file; from an archive the only one, or `x`.

    Raises click.UsageError for a file of another kind, a corrupted one, or an archive where the choice is not clear.
    """
    try:
        if path.suffix == ".pt":
            import torch

            loaded = torch.load(path, weights_only=True)
            array = loaded.numpy() if isinstance(loaded, torch.Tensor) else None
        else:
            loaded = np.load(path, allow_pickle=False)
            array = loaded if isinstance(loaded, np.ndarray) else pick(path, loaded)
    except click.UsageError:
        raise
    except Exception as error:
        raise click.UsageError(f"{path} cannot be read as .npy, .npz or .pt: {first_line(error)}") from error
    if array is None or array.dtype.kind not in "iufb":
        raise click.UsageError(f"{path} must hold one array of numbers")
    return array


def pick(path: Path, archive: Any) -> Array:
    """The array of an .npz archive that is meant."""
    names = list(archive.files)
    wanted = names[0] if len(names) == 1 else "x"
    if wanted not in names:
        raise click.UsageError(f"{path} holds {', '.join(names) or 'nothing'}: name the one to take x, or keep only one")
    array: Array = archive[wanted]
    return array


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
