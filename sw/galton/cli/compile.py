"""`galton compile`: a quantized network to a memory image."""

from __future__ import annotations

from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton compile digits.galtonq --target icebreaker -o digits.galton
galton compile digits.galtonq --target ecp5-25 --dry-run
"""


@make_command("compile", EXAMPLE)
@click.argument("network", type=INPUT_FILE)
@click.option("--target", default="up5k", show_default=True, help="A configuration or a board.")
@click.option("-o", "--output", type=OUTPUT_FILE, help="The image to write; by default NETWORK with the suffix .galton.")
@click.option("--no-profile", is_flag=True, help="Leave out the counters that the core keeps for each layer.")
@click.option("--dry-run", is_flag=True, help="Write nothing: say what each layer takes of each memory, and what would fit.")
def command(network: Path, target: str, output: Path | None, no_profile: bool, dry_run: bool, as_json: bool) -> int:
    """Pack a quantized NETWORK into the memory image of a core.

    Proves that no sum can overflow and that everything fits; exit code 1, with the way out, where one of them fails. The ways out
    have been tried.
    """
    if dry_run:
        return try_out(network, target, no_profile, as_json)
    from galton import storage
    from galton.cli.show import show_image
    from galton.compiler import compile as compile_network
    from galton.summary import describe

    path = output or network.with_suffix(".galton")
    if path.absolute() == network.absolute():
        raise click.UsageError(f"The image would take the place of the network {network}: name another --output")
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


def try_out(network: Path, target: str, no_profile: bool, as_json: bool) -> int:
    """What `--dry-run` prints; 1 where the network does not fit."""
    from galton import storage
    from galton.cli.show import show_fit
    from galton.compiler import dry_run

    found = dry_run(storage.load(network)[0], target, profile=not no_profile)
    if as_json:
        memories = [
            {
                **{name: getattr(use, name) for name in ("name", "unit", "used", "available")},
                "layers": [{"name": layer, "used": amount} for layer, amount in use.layers],
            }
            for use in found.memory
        ]
        facts = {"network": found.network, "configuration": found.config.name, "fits": found.fits, "memories": memories}
        emit({**facts, "problem": found.problem, "ways": found.ways})
    else:
        show_fit(console(), found)
    return 0 if found.fits else 1
