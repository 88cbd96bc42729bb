"""`galton verilog`: the Verilog of a core, bare or behind a bus, and a description of its ports."""

from __future__ import annotations

import json
from pathlib import Path

import click

from galton.cli.common import OUTPUT_FILE, console, emit
from galton.cli.common import command as make_command

EXAMPLE = """
galton verilog --config up5k -o core.v
galton verilog --config ecp5-25 --bus axi -o core.v
"""


@make_command("verilog", EXAMPLE)
@click.option("--config", default="up5k", show_default=True, help="A configuration or a board.")
@click.option(
    "--tech", type=click.Choice(["generic", "ice40"]), default="generic", show_default=True, help="Whose primitives to use."
)
@click.option(
    "--bus",
    type=click.Choice(["none", "axi", "wishbone"]),
    default="none",
    show_default=True,
    help="A wrapper around the core: AXI4-Lite with AXI4-Stream, or Wishbone; docs/buses.md describes them.",
)
@click.option("-o", "--output", type=OUTPUT_FILE, default=Path("core.v"), show_default=True, help="The Verilog file to write.")
@click.option(
    "--ports", type=OUTPUT_FILE, help="The description of ports and parameters; by default OUTPUT with the suffix .json."
)
def command(config: str, tech: str, bus: str, output: Path, ports: Path | None, as_json: bool) -> int:
    """Write the Verilog of a core, and its ports and parameters as JSON. The same configuration gives the same bytes."""
    from galton.config import named
    from galton_hw.verilog import generate

    chosen = named(config)
    beside = ports or output.with_suffix(".json")
    if beside.absolute() == output.absolute():
        raise click.UsageError(f"The Verilog and the description of its ports would both be {output}: name one of them otherwise")
    text, description = generate(chosen, tech=tech, bus=bus)
    output.write_text(text)
    beside.write_text(json.dumps(description, indent=2) + "\n")
    facts = {"file": str(output), "ports": str(beside), "module": description["module"]}
    facts |= {"digest": f"{chosen.digest:08x}", "lines": text.count("\n")}
    if as_json:
        emit(facts)
    else:
        console().print(f"Wrote {output} ({facts['lines']:,} lines, configuration digest {facts['digest']}) and {beside}")
    return 0
