"""`galton flash`: a board's bitstream, and a network beside it, into its flash."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton flash icebreaker
galton flash icebreaker --network digits.galton
galton flash ulx3s-25f --volatile --dry-run
"""


@make_command("flash", EXAMPLE)
@click.argument("board")
@click.option("--network", type=INPUT_FILE, help="Also write this compiled network (.galton): the board loads it at power-up.")
@click.option("--bitstream", type=INPUT_FILE, help="What to write instead of `galton build BOARD`'s result.")
@click.option("--no-bitstream", is_flag=True, help="Write the network only.")
@click.option("--volatile", is_flag=True, help="Load the chip until it is switched off, and leave the flash alone.")
@click.option("--dry-run", is_flag=True, help="Print what to type to do the same, and do none of it.")
def command(
    board: str,
    network: Path | None,
    bitstream: Path | None,
    no_bitstream: bool,
    volatile: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Write a board's bitstream into its flash with openFPGALoader, building it first where the cache does not have it.

    Disconnect the board for a moment afterwards: it starts from the flash. `galton doctor` looks at ports and permissions.
    """
    from galton.image import Image
    from galton_boards import build, program, top
    from galton_boards.boards import find
    from galton_boards.device import of_platform

    if (no_bitstream and network is None) or (volatile and network is not None):
        raise click.UsageError(
            "--no-bitstream needs --network, and --volatile goes without it: a network is written to the flash"
        )
    if no_bitstream and bitstream is not None:
        raise click.UsageError("--bitstream and --no-bitstream exclude each other")
    chosen = find(board)
    out = console()
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        if network is not None:
            file = Path(folder) / f"{board}-boot.bin"
            program.boot_image(chosen, Image.load(network), file)
            if dry_run:
                file = Path(file.name)
                lines.append(["galton", "load", str(network), "--flash", str(file)])
            lines.append(program.command(chosen, file, offset=chosen.flash.offset))
        if not no_bitstream:
            write = program.command(chosen, volatile=volatile)
            if bitstream is None and dry_run:
                bitstream = Path("build") / f"{board}.{of_platform(top.platform(chosen)).family.bitstream}"
                lines.append(["galton", "build", board])
            elif bitstream is None:
                say = build.quiet if as_json else lambda step: click.echo(f"{board}: {step}", err=True)
                _, bitstream = build.build(chosen, progress=say)
            if not volatile and bitstream.exists():
                program.expect_room(chosen, bitstream)
            lines.append([*write, str(bitstream)])
        for line in lines:
            if not as_json:
                out.print(shlex.join(line), soft_wrap=True, markup=False)
            if not dry_run:
                program.run(line, quiet=as_json)
    if as_json:
        emit({"board": board, "commands": lines, "run": not dry_run})
    return 0
