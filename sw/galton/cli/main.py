"""The program `galton`: finds the command, and turns a user's mistake into a message and an exit code.

Exit codes: 0 done; 1 the answer is no (unsupported, does not fit, could overflow, image refused, mismatch, tool missing);
2 misuse.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from galton.cache import cache_folder
from galton.cli.common import emit, first_line
from galton.errors import CalibrationError, GaltonError, UnknownName

COMMANDS = (
    "doctor",
    "demo",
    "quantize",
    "compile",
    "inspect",
    "run",
    "simulate",
    "verilog",
    "boards",
    "build",
    "flash",
    "serve",
    "load",
    "counters",
    "monitor",
    "selftest",
    "report",
    "bench",
    "sweep",
)


class Commands(click.Group):
    """Commands that are imported when they are needed, from galton.cli.<name>."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for a name that is not one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"galton.cli.{cmd_name}").command
        return command


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="galton")
@click.pass_context
def galton(context: click.Context) -> None:
    """From a trained PyTorch network to a verified sparse-integer accelerator on open FPGA tools.

    `galton demo` shows the whole path on real images; `galton doctor` says what is missing on this machine.
    GALTON_TRACEBACK=1 in the environment shows where an error comes from.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with `arguments` (sys.argv[1:]) and leave with its exit code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    as_json = "--json" in arguments
    try:
        code = galton.main(arguments, prog_name="galton", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("galton: interrupted", err=True)
        return 130
    except click.ClickException as error:
        return complain(error, error.format_message(), 2, as_json, error.ctx if isinstance(error, click.UsageError) else None)
    except (CalibrationError, UnknownName) as error:
        return complain(error, str(error), 2, as_json)
    except GaltonError as error:
        return complain(error, str(error), 1, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return complain(error, described(error), 2, as_json)
    except (ValueError, ModuleNotFoundError) as error:
        return complain(error, str(error), 1 if isinstance(error, ModuleNotFoundError) else 2, as_json)
    return code if isinstance(code, int) else 0


def described(error: OSError) -> str:
    """What the system said, of which file, and the way out where that file is the program's own."""
    if not error.filename:
        return first_line(error)
    what = f"{error.filename}: {error.strerror}"
    try:
        cache = cache_folder()
    except GaltonError:
        return what
    if Path(str(error.filename)).is_relative_to(cache):
        what += f". Results are kept in {cache}: make room or let this user write there, or name another place in XDG_CACHE_HOME"
    return what


def complain(error: Exception, message: str, code: int, as_json: bool, context: click.Context | None = None) -> int:
    """Say what went wrong, on standard error, and with --json on standard output too; returns `code`."""
    if os.environ.get("GALTON_TRACEBACK"):
        raise error
    if isinstance(error, ModuleNotFoundError):
        message += f". `{sys.executable} -m pip install 'galton[all]'` installs everything; `galton doctor` says what is missing"
    if as_json:
        # Standard output may be what the error is about.
        with contextlib.suppress(OSError):
            emit({"error": type(error).__name__, "message": message})
    click.echo(f"galton: {message}", err=True)
    if context is not None:
        click.echo(f"Try `{context.command_path} --help`.", err=True)
    return code
