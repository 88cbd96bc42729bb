"""`galton build`: a board's bitstream."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, folder_option, progress, table
from galton.cli.common import command as make_command

EXAMPLE = """
galton build icebreaker
galton build ulx3s-25f --seeds 4 --output build
galton build ulx3s-25f --network digits.galton
"""
KINDS = {
    "logic": "logic cells",
    "registers": "flip-flops",
    "ram": "block RAM",
    "spram": "single-port RAM (SPRAM)",
    "dsp": "multipliers (DSP)",
}


@make_command("build", EXAMPLE)
@click.argument("board")
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), help="Place and route this often, keep the fastest."
)
@folder_option("build", "BOARD.bin or BOARD.bit, and BOARD.json, the build record")
@click.option("--network", type=INPUT_FILE, help="Fill the chip's block RAMs with this compiled network (.galton).")
@click.option("--record", type=OUTPUT_FILE, help="Put what was measured into this file of records, too.")
def command(board: str, seeds: int, output: Path, network: Path | None, record: Path | None, as_json: bool) -> int:
    """Make the bitstream of a board (`galton boards` lists them).

    Synthesis, placement and routing take minutes; results are kept in the cache, so that the same design takes seconds again.
    With --network, a routed design gets new contents in its block RAMs and is not routed again.
    Exit code 1 where timing analysis does not allow the board's clock with any seed.
    """
    from galton.image import Image
    from galton_boards import build, measured
    from galton_boards.boards import find

    chosen = find(board)
    image = None if network is None else Image.load(network)
    if record is not None:
        measured.kept(record)
    with progress(as_json) as shown:
        task = shown.add_task("", total=seeds + 3)

        def tell(step: str) -> None:
            shown.update(task, description=step, advance=0 if shown.tasks[0].description == "" else 1)

        made, bitstream = build.build(chosen, seeds, tell, image)
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{board}{bitstream.suffix}"
    shutil.copyfile(bitstream, target)
    facts = {**asdict(made), "met": made.met, "file": str(target)}
    (output / f"{board}.json").write_text(json.dumps(facts, indent=2) + "\n")
    if record is not None:
        measured.record(made, record)
    if as_json:
        emit(facts)
    else:
        show(facts)
    return 0 if made.met else 1


def show(facts: dict[str, Any]) -> None:
    """Print cells, clocks and times of a build."""
    out = console()
    out.print(f"[bold]{facts['board']}: core {facts['configuration']}, link and pins[/]")
    rows = table("", "", "used>", "available>", ">")
    for kind, name in KINDS.items():
        if facts["available"].get(kind):
            used, available = facts["used"][kind], facts["available"][kind]
            rows.add_row(name, f"{used:,}", f"{available:,}", f"{used / available:.0%}")
    out.print(rows)
    clocks = ", ".join(f"{value:.1f}" for value in facts["fmax"].values())
    tried = ", ".join(str(seed) for seed in facts["fmax"])
    seeds = f"seeds {tried}; taken: {facts['seed']}" if len(facts["fmax"]) > 1 else f"seed {tried}"
    out.print(f"Fmax {clocks} MHz ({seeds}), clock {facts['clock']:g} MHz: {'met' if facts['met'] else '[red]missed[/]'}")
    times = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in facts["seconds"].items())
    out.print(f"Took {times} when it was made; kept in the cache.")
    out.print(f"Wrote {facts['file']} ({facts['bytes']:,} bytes) and its build record beside it")
    if not facts["met"]:
        out.print(f"The clock is missed: more seeds may reach it (`galton build {facts['board']} --seeds 4`)")
