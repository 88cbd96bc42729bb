"""`galton simulate`: the generated Verilog on an image and inputs, against the golden model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, load_array, progress, table
from galton.cli.common import command as make_command
from galton.cli.inputs import range_option, raw_inputs, real_outputs

EXAMPLE = """
galton simulate digits.galton images.npy -o scores.npy
"""


@make_command("simulate", EXAMPLE)
@click.argument("image", type=INPUT_FILE)
@click.argument("inputs", type=INPUT_FILE)
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where to write the outputs, as .npy.")
@click.option("--raw", is_flag=True, help="Inputs and outputs are the integers of the core, not real numbers.")
@range_option
@click.option("--labels", type=INPUT_FILE, help="True classes of the inputs, to report the accuracy.")
@click.option("--limit", type=click.IntRange(1), help="Simulate only the first inputs.")
def command(
    image: Path,
    inputs: Path,
    output: Path | None,
    raw: bool,
    out_of_range: str,
    labels: Path | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Run INPUTS (.npy, .npz or .pt) through the Verilog of IMAGE's core, and compare with the golden model bit by bit.

    Exit code 1 where an output differs, or a counter differs from the cycle model's prediction.
    """
    from galton.cli.results import finish
    from galton.cli.verification import verify
    from galton.image import Image

    packed = Image.load(image)
    values, cut = raw_inputs(packed, load_array(inputs), raw, out_of_range, limit)
    with progress(as_json) as bar:
        task = bar.add_task("building the simulator", total=None)
        checked = verify(packed, values, lambda done, count: bar.update(task, description="Verilog", completed=done, total=count))
    outputs = checked.outputs if raw else real_outputs(packed, checked.outputs)
    facts = finish(outputs, output, None if labels is None else load_array(labels)[:limit], cut)
    facts |= checked.facts()
    if as_json:
        emit(facts)
    else:
        show(facts)
    return 0 if checked.agrees else 1


def show(facts: dict[str, Any]) -> None:
    """The same for people."""
    out = console()
    if facts["layers"]:
        names = [name for name in facts["layers"][0] if name != "name"]
        rows = table("Cycles, mean of all inputs", "layer", *(f"{name.replace('_', '/')}>" for name in names))
        for layer in facts["layers"]:
            rows.add_row(layer["name"], *(f"{layer[name]:,.0f}" for name in names))
        out.print(rows)
    out.print(f"\n{facts['cycles']:,.0f} cycles per inference, {facts['speed'] / 1e6:.2f} million cycles simulated per second")
    for line in facts["lines"]:
        out.print(line)
    colour = "green" if facts["mismatches"] == 0 else "red"
    out.print(f"[bold {colour}]{facts['mismatches']} mismatches[/] in {facts['inputs']:,} inferences against the golden model")
    colour = "green" if facts["mispredictions"] == 0 else "red"
    out.print(f"[bold {colour}]{facts['mispredictions']} mispredictions[/] of cycles and events by the cycle model")
