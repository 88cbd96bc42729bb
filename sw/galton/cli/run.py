"""`galton run`: the golden model on a packed image."""

from __future__ import annotations

from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, load_array, progress
from galton.cli.common import command as make_command
from galton.cli.inputs import range_option, raw_inputs, real_outputs

EXAMPLE = """
galton run digits.galton images.npy -o scores.npy
"""
BATCH = 50


@make_command("run", EXAMPLE)
@click.argument("image", type=INPUT_FILE)
@click.argument("inputs", type=INPUT_FILE)
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where to write the outputs, as .npy.")
@click.option("--raw", is_flag=True, help="Inputs and outputs are the integers of the core, not real numbers.")
@range_option
@click.option("--labels", type=INPUT_FILE, help="True classes of the inputs, to report the accuracy.")
def command(
    image: Path, inputs: Path, output: Path | None, raw: bool, out_of_range: str, labels: Path | None, as_json: bool
) -> int:
    """Run INPUTS (.npy, .npz or .pt) through IMAGE in the golden model, exactly as the hardware computes."""
    import numpy as np

    from galton.cli.results import finish
    from galton.golden import Machine
    from galton.image import Image

    packed = Image.load(image)
    values, cut = raw_inputs(packed, load_array(inputs), raw, out_of_range)
    machine, parts = Machine(packed), []
    with progress(as_json) as bar:
        task = bar.add_task("golden model", total=len(values))
        for start in range(0, len(values), BATCH):
            parts.append(machine.run(values[start : start + BATCH]))
            bar.advance(task, len(parts[-1]))
    result = np.concatenate(parts)
    outputs = result if raw else real_outputs(packed, result)
    facts = finish(outputs, output, None if labels is None else load_array(labels), cut)
    if as_json:
        emit(facts)
    else:
        out = console()
        for line in facts["lines"]:
            out.print(line)
    return 0
