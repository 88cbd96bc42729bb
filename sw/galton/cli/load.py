"""`galton load`: an image into a board's memories, or into a file for its flash."""

from __future__ import annotations

import time
from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, progress
from galton.cli.common import command as make_command
from galton.cli.ports import about, open_board, port_options, sentence

EXAMPLE = """
galton load digits.galton --port /dev/ttyUSB1
galton load digits.galton --flash digits.bin
"""


@make_command("load", EXAMPLE)
@click.argument("image", type=INPUT_FILE)
@port_options(required=False)
@click.option("--flash", type=OUTPUT_FILE, help="Write what the board's flash must hold to load IMAGE at power-up.")
def command(image: Path, port: str | None, baud: int, kind: str | None, flash: Path | None, as_json: bool) -> int:
    """Load IMAGE into the memories of the board at --port, where it stays until the power goes off.

    With --flash, write a file for the board's flash instead; `galton boards --json` says at which offset it goes there.
    """
    from galton.image import Image
    from galton.link.flash import flash_image

    if (port is None) == (flash is None):
        raise click.UsageError("Give either --port or --flash")
    if flash is not None and kind is not None:
        raise click.UsageError("--board is for --port; `galton flash BOARD --network IMAGE` writes a board's flash")
    packed = Image.load(image)
    if flash is not None:
        content = flash_image(packed)
        flash.write_bytes(content)
        report({"network": packed.meta["network"], "file": str(flash), "bytes": len(content)}, as_json)
        return 0
    with open_board(str(port), baud, kind) as board, progress(as_json) as bar:
        task = bar.add_task("loading", total=None)
        start = time.perf_counter()
        board.load(packed, progress=lambda done, count: bar.update(task, completed=done, total=count))
        seconds = time.perf_counter() - start
        facts = {"network": packed.meta["network"], **about(board), "seconds": seconds, "repeated": board.exchange.troubles}
    report(facts, as_json)
    return 0


def report(facts: dict[str, object], as_json: bool) -> None:
    """Say what was done."""
    if as_json:
        emit(facts)
    elif "file" in facts:
        console().print(f"Wrote {facts['file']}, {facts['bytes']:,} bytes for the flash: {facts['network']}")
    else:
        out = console()
        out.print(sentence(facts))
        out.print(f"Loaded {facts['network']} in {facts['seconds']:.2f} s; {facts['repeated']} requests repeated")
