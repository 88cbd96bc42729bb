"""What the commands share: the --json option, output, arrays from files, progress."""

from __future__ import annotations

import json
import os
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

ARRAY_MAGIC, ARCHIVE_MAGIC = b"\x93NUMPY", b"PK"
"""How .npy and .npz begin."""
PLAIN_WIDTH = 120
"""Columns of output that goes to a file or a pipe."""
INPUT_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class OutputPath(click.Path):
    """A file or a folder to write, refused before any work where that cannot be.

    A file goes into a folder that is there; a folder may be made, with those around it.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path as it was given. Fails where nothing can be written there."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.exists():
            around = path.absolute().parent
            while self.dir_okay and not around.exists():
                around = around.parent
            if not around.is_dir():
                self.fail(f"There is no folder {str(around)!r} to write {path.name} into: make it, or name another.", param, ctx)
            if not os.access(around, os.W_OK | os.X_OK):
                self.fail(f"Nothing may be written into the folder {str(around)!r}: name another.", param, ctx)
        return path


OUTPUT_FILE = OutputPath(dir_okay=False, writable=True, path_type=Path)
OUTPUT_FOLDER = OutputPath(file_okay=False, writable=True, path_type=Path)


def folder_option(default: str, content: str) -> Callable[[Function], Function]:
    """The option --output for a folder of `content`, passed as `output`."""
    what = f"The folder for {content}."
    return click.option("-o", "--output", type=OUTPUT_FOLDER, default=Path(default), show_default=True, help=what)


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
    return Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else PLAIN_WIDTH)


def progress(quiet: bool = False) -> Progress:
    """A progress display on standard error where that is a terminal; `quiet` for none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    return Progress(*columns, console=screen, disable=quiet or not screen.is_terminal, transient=True)


def table(title: str, *columns: str) -> Table:
    """A table: a column whose name ends in '>' is of numbers, '/' in a name breaks its line; text wraps where space is short."""
    options: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
    result = Table(title=title, title_justify="left", title_style="bold", header_style="dim", **options)
    for column in columns:
        numbers = column.endswith(">")
        header = column.removesuffix(">").replace("/", "\n")
        result.add_column(header, justify="right" if numbers else "left", no_wrap=numbers)
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
            expect_array_file(path)
            loaded = np.load(path, allow_pickle=False)
            array = loaded if isinstance(loaded, np.ndarray) else pick(path, loaded)
    except click.UsageError:
        raise
    except Exception as error:
        raise click.UsageError(f"{path} cannot be read as .npy, .npz or .pt: {first_line(error)}") from error
    if array is None or array.dtype.kind not in "iufb":
        raise click.UsageError(f"{path} must hold one array of numbers")
    return array


def expect_array_file(path: Path) -> None:
    """Raise ValueError for what is neither .npy nor .npz, which np.load would call pickled."""
    with path.open("rb") as file:
        start = file.read(len(ARRAY_MAGIC))
    if start != ARRAY_MAGIC and not start.startswith(ARCHIVE_MAGIC):
        raise ValueError(f"it begins with {start!r}" if start else "it is empty")


def load_text(path: Path) -> str:
    """The text in a file. Raises click.UsageError where it is none."""
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path} is not a text file: {error}") from error


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
