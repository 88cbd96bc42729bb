"""`galton inspect`: what an image holds."""

from __future__ import annotations

from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton inspect digits.galton
"""


@make_command("inspect", EXAMPLE)
@click.argument("image", type=INPUT_FILE)
def command(image: Path, as_json: bool) -> int:
    """Show an IMAGE's memories, layers, overflow certificates and digests.

    The whole file is checked: exit code 1 where it is truncated, corrupted, or of another version.
    """
    from galton.cli.show import show_image
    from galton.image import Image
    from galton.summary import describe

    facts = describe(Image.load(image))
    if as_json:
        emit(facts)
    else:
        show_image(console(), facts)
    return 0
