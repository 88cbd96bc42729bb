"""`galton run`: a packed image in the golden model, or on a board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, load_array, progress
from galton.cli.common import command as make_command
from galton.cli.inputs import Ints, range_option, raw_inputs, real_outputs
from galton.cli.ports import about, open_board, port_options, sentence

if TYPE_CHECKING:
    from galton.image import Image

EXAMPLE = """
galton run digits.galton images.npy -o scores.npy
galton run digits.galton images.npy --port /dev/ttyUSB1
"""
BATCH = 50


@make_command("run", EXAMPLE)
@click.argument("image", type=INPUT_FILE)
@click.argument("inputs", type=INPUT_FILE)
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where to write the outputs, as .npy.")
@click.option("--raw", is_flag=True, help="Inputs and outputs are the integers of the core, not real numbers.")
@range_option
@click.option("--labels", type=INPUT_FILE, help="True classes of the inputs, to report the accuracy.")
@click.option("--limit", type=click.IntRange(1), help="Run only the first inputs.")
@port_options(required=False)
@click.option("--loaded", is_flag=True, help="The board has IMAGE already, from its flash or `galton load`.")
def command(
    image: Path,
    inputs: Path,
    output: Path | None,
    raw: bool,
    out_of_range: str,
    labels: Path | None,
    limit: int | None,
    port: str | None,
    baud: int,
    kind: str | None,
    loaded: bool,
    as_json: bool,
) -> int:
    """Run INPUTS (.npy, .npz or .pt) through IMAGE in the golden model, exactly as the hardware computes.

    With --port, load IMAGE into the board there, and run it on the board.
    """
    from galton.cli.results import finish
    from galton.image import Image

    if loaded and port is None:
        raise click.UsageError("--loaded is for a board: give its --port")
    packed = Image.load(image)
    values, cut = raw_inputs(packed, load_array(inputs), raw, out_of_range, limit)
    extra: dict[str, Any] = {}
    with progress(as_json) as bar:
        task = bar.add_task("golden model", total=len(values))

        def advance(what: str, done: int, count: int) -> None:
            bar.update(task, description=what, completed=done, total=count)

        if port is None:
            result = in_model(packed, values, advance)
        else:
            result, extra = on_board(packed, values, (port, baud, kind), loaded, advance)
    outputs = result if raw else real_outputs(packed, result)
    facts = finish(outputs, output, None if labels is None else load_array(labels)[:limit], cut) | extra
    if as_json:
        emit(facts)
    else:
        out = console()
        if extra:
            out.print(sentence(extra["board"]))
            out.print(f"{extra['cycles']:,.0f} cycles an inference: {extra['latency'] * 1e3:.3f} ms", style="bold")
        for line in facts["lines"]:
            out.print(line)
    return 0


def in_model(image: Image, values: Ints, advance: Callable[[str, int, int], None]) -> Ints:
    """Raw outputs of the golden model."""
    import numpy as np

    from galton.golden import Machine

    machine, parts = Machine(image), []
    for start in range(0, len(values), BATCH):
        parts.append(machine.run(values[start : start + BATCH]))
        advance("golden model", min(start + BATCH, len(values)), len(values))
    return np.concatenate(parts)


def on_board(
    image: Image, values: Ints, where: tuple[str, int, str | None], loaded: bool, advance: Callable[[str, int, int], None]
) -> tuple[Ints, dict[str, Any]]:
    """Raw outputs of a board; which it is, its cycles for an inference, and the seconds that they take there."""
    with open_board(*where) as board:
        if loaded:
            board.attach(image)
        else:
            board.load(image, progress=lambda done, count: advance("loading", done, count))
        results = board.run(values, progress=lambda done, count: advance("running", done, count))
        facts, cycles = about(board), sum(counted["cycles"] for counted in results.counters) / len(values)
    return results.outputs, {"board": facts, "cycles": cycles, "latency": cycles / facts["clock"]}
