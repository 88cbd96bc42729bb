"""`galton report`: an HTML page about a quantized network on a core."""

from __future__ import annotations

from pathlib import Path

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, load_array, progress
from galton.cli.common import command as make_command
from galton.cli.inputs import range_option, raw_inputs
from galton.cli.work import labels_option, limit_option, right, true_classes

EXAMPLE = """
galton report digits.galtonq images.npy --labels labels.npy -o report.html
"""


@make_command("report", EXAMPLE)
@click.argument("network", type=INPUT_FILE)
@click.argument("inputs", type=INPUT_FILE)
@click.option("--target", default="up5k", show_default=True, help="A configuration or a board.")
@range_option
@labels_option
@limit_option
@click.option("-o", "--output", type=OUTPUT_FILE, default=Path("report.html"), show_default=True, help="The page to write.")
def command(
    network: Path,
    inputs: Path,
    target: str,
    out_of_range: str,
    labels: Path | None,
    limit: int | None,
    output: Path,
    as_json: bool,
) -> int:
    """Compile a quantized NETWORK, simulate INPUTS on the core's Verilog, and write a self-contained HTML report.

    Exit code 1 where the Verilog and the models disagree.
    """
    from galton import storage
    from galton.cli.clocks import clock
    from galton.cli.verification import verify
    from galton.compiler import compile as compile_network
    from galton.report import render
    from galton.report.build import build

    integers, _ = storage.load(network)
    compiled = compile_network(integers, target)
    values, _ = raw_inputs(compiled.image, load_array(inputs), False, out_of_range, limit)
    classes = None if labels is None else true_classes(compiled.image, labels, len(values), limit)
    with progress(as_json) as bar:
        task = bar.add_task("building the simulator", total=None)
        checked = verify(
            compiled.image, values, lambda done, count: bar.update(task, description="Verilog", completed=done, total=count)
        )
    notes = [f"Inputs: {inputs.name}, {len(values):,} of them."]
    if classes is not None:
        count = right(checked.outputs, classes)
        notes.append(f"Accuracy: {100 * count / len(values):.2f} %, {count} of {len(values)} right.")
    facts = build(integers, compiled, checked, values, title=integers.name, clock=clock(compiled.config.name), notes=notes)
    output.write_text(render(facts))
    result = {
        "file": str(output),
        "cycles": facts.cycles,
        "latency": facts.latency,
        "mismatches": facts.mismatches,
        "notes": notes,
    }
    if as_json:
        emit(result)
    else:
        out = console()
        out.print(f"{facts.cycles:,.0f} cycles, {1000 * facts.latency:.2f} ms at {facts.clock / 1e6:g} MHz, {facts.clock_source}")
        out.print(f"{facts.mismatches} mismatches in {facts.inferences:,} inferences\nWrote {output}")
    return 0 if checked.agrees else 1
