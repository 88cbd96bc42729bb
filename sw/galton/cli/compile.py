"""`galton compile`: a quantized network to a memory image."""

from __future__ import annotations

from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton compile digits.galtonq --target icebreaker -o digits.galton
"""


@make_command("compile", EXAMPLE)
@click.argument("network", type=INPUT_FILE)
@click.option("--target", default="up5k", show_default=True, help="A configuration or a board.")
@click.option("-o", "--output", type=OUTPUT_FILE, help="The image to write; by default NETWORK with the suffix .galton.")
@click.option("--no-profile", is_flag=True, help="Leave out the counters that the core keeps for each layer.")
def command(network: Path, target: str, output: Path | None, no_profile: bool, as_json: bool) -> int:
    """Pack a quantized NETWORK into the memory image of a core.

    Proves that no sum can overflow and that everything fits; exit code 1, with the way out, where one of them fails.
    """
    from galton import storage
    from galton.cli.show import show_image
    from galton.compiler import compile as compile_network
    from galton.summary import describe

    path = output or network.with_suffix(".galton")
    compiled = compile_network(storage.load(network)[0], target, profile=not no_profile)
    compiled.save(path)
    facts = {**describe(compiled.image), "file": str(path)}
    if as_json:
        emit(facts)
        return 0
    out = console()
    show_image(out, facts)
    out.print(f"\nWrote {path}")
    return 0
