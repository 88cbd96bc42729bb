"""`galton demo`: the whole path on real digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, folder_option, progress, table
from galton.cli.show import show_certificates, show_memories

if TYPE_CHECKING:
    from galton.demo.pipeline import Outcome

EXAMPLE = """
galton demo
galton demo --images 1000 --output build/thousand
"""


@make_command("demo", EXAMPLE)
@click.option("--images", type=click.IntRange(1, 1000), default=200, show_default=True, help="Held-out digits to simulate.")
@folder_option("build/demo", "the report, the image, the Verilog and the inputs")
def command(images: int, output: Path, as_json: bool) -> int:
    """Take real digits from training to simulated Verilog, and write a report.

    A small convolutional network is trained once (and cached), quantized with Monte Carlo weights and activations, compiled for
    up5k, and run through the generated Verilog. Exit code 1 where one output bit or one counter differs from the models.
    """
    from galton.demo.pipeline import demonstrate

    with progress(as_json) as bar:
        outcome = demonstrate(output, images, bar)
    if as_json:
        emit(facts(outcome))
    else:
        show(console(), outcome)
    return 0 if outcome.verified.agrees else 1


def facts(outcome: Outcome) -> dict[str, object]:
    """What the demonstration found, as JSON values."""
    from dataclasses import asdict

    from galton.summary import describe

    values = asdict(outcome.facts)
    derived = {"latency": outcome.facts.latency, "utilisation": outcome.facts.utilisation}
    counters = {"mispredictions": outcome.verified.mispredictions, "speed": outcome.verified.speed}
    return {**values, **derived, **counters, "image": describe(outcome.compiled.image), "files": outcome.files}


def show(out: Console, outcome: Outcome) -> None:
    """The same for people."""
    from galton.summary import describe

    found, verified, image = outcome.facts, outcome.verified, describe(outcome.compiled.image)
    accuracy = found.comparison
    assert accuracy is not None
    out.print(f"\n[bold]Accuracy[/] on {accuracy.count:,} held-out digits")
    out.print(f"float      {accuracy.float_accuracy:6.2f} %")
    change = f"{accuracy.difference:+.2f} ± {accuracy.error:.2f} points (paired standard error)"
    out.print(f"quantized  {accuracy.quantized_accuracy:6.2f} %   {change}, K = {found.chosen_k:g}\n")
    show_numbers(out, outcome)
    show_memories(out, image)
    show_certificates(out, image)
    show_cycles(out, outcome)
    latency = f"{1000 * found.latency:.2f} ms at {found.clock / 1e6:g} MHz, {found.clock_source}"
    out.print(f"{found.cycles:,.0f} cycles per inference: {latency}")
    out.print(f"simulated {verified.speed / 1e6:.1f} million cycles per second\n")
    for count, what in ((verified.mismatches, "mismatches"), (verified.mispredictions, "mispredictions")):
        against = "golden model, bit for bit" if what == "mismatches" else "cycle model, every counter of every layer"
        colour = "red" if count else "green"
        out.print(f"[bold {colour}]{count} {what}[/] in {found.inferences} inferences: Verilog against {against}")
    out.print(f"\nReport: {outcome.files['report']}; image, Verilog and inputs are beside it")


def show_numbers(out: Console, outcome: Outcome) -> None:
    """Bits and non-zeros."""
    columns = (
        "layer",
        "weight/bits>",
        "without/sign>",
        "non-zero/weights>",
        "non-zero/activations>",
        "dense/operations>",
        "work>",
    )
    rows = table("Integers", *columns)
    for layer in outcome.facts.layers:
        shares = (f"{100 * layer.nonzero_weights:.1f} %", f"{100 * layer.nonzero_counts:.1f} %")
        work = f"{100 * layer.work / layer.operations:.1f} %"
        rows.add_row(layer.name, str(layer.bits), str(layer.bits - 1), *shares, f"{layer.operations:,}", work)
    quantizer = outcome.quantizer
    bits = (f"{quantizer['weight_bits_signed']:.2f}", f"{quantizer['weight_bits']:.2f}")
    shares = (f"{100 * quantizer['nonzero_weights']:.1f} %", f"{100 * quantizer['nonzero_activations']:.1f} %")
    dense, done = (sum(getattr(layer, name) for layer in outcome.facts.layers) for name in ("operations", "work"))
    rows.add_row("all, mean bits", *bits, *shares, f"{dense:,}", f"{100 * done / dense:.1f} %")
    out.print(rows)
    out.print()


def show_cycles(out: Console, outcome: Outcome) -> None:
    """Counters of each layer."""
    names = list(outcome.facts.layers[0].timing.stalls)
    columns = [f"{name.replace('_', '/')}>" for name in names]
    rows = table("\nCycles, mean of all inferences", "layer", "cycles>", "utili-/sation>", "events>", "entries>", *columns)
    for layer in outcome.facts.layers:
        stalls = [f"{layer.timing.stalls[name]:,.0f}" for name in names]
        used = f"{100 * layer.timing.utilisation:.0f} %"
        rows.add_row(layer.name, f"{layer.timing.cycles:,.0f}", used, f"{layer.events:,.0f}", f"{layer.entries:,.0f}", *stalls)
    out.print(rows)
    out.print()
