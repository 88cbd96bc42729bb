"""`galton run`: a packed image in the golden model, or on a board."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from galton.cli.common import command as make_command
from galton.cli.common import console, emit, progress
from galton.cli.ports import about, latency, open_board, port_options, sentence
from galton.cli.work import Work, work_options

if TYPE_CHECKING:
    from galton.cli.inputs import Ints
    from galton.image import Image

EXAMPLE = """
galton run digits.galton images.npy -o scores.npy
galton run digits.galton images.npy --port /dev/ttyUSB1
"""
BATCH = 50


@make_command("run", EXAMPLE)
@work_options
@port_options(required=False)
@click.option("--loaded", is_flag=True, help="The board has IMAGE already, from its flash or `galton load`.")
def command(prepare: Callable[[], Work], port: str | None, baud: int, kind: str | None, loaded: bool, as_json: bool) -> int:
    """Run INPUTS (.npy, .npz or .pt) through IMAGE in the golden model, exactly as the hardware computes.

    With --port, load IMAGE into the board there, and run it on the board.
    """
    if port is None and (loaded or kind is not None):
        raise click.UsageError(f"{'--loaded' if loaded else '--board'} is for a board: give its --port")
    work, extra = prepare(), dict[str, Any]()
    with progress(as_json) as bar:
        task = bar.add_task("golden model", total=len(work.values))

        def advance(what: str, done: int, count: int) -> None:
            bar.update(task, description=what, completed=done, total=count)

        if port is None:
            result = in_model(work.image, work.values, advance)
        else:
            result, extra = on_board(work.image, work.values, (port, baud, kind), loaded, advance)
    facts = work.finish(result) | extra
    if as_json:
        emit(facts)
    else:
        out = console()
        if extra:
            out.print(sentence(extra["board"]))
            time = "" if extra["latency"] is None else f": {extra['latency'] * 1e3:.3f} ms"
            out.print(f"{extra['cycles']:,.0f} cycles an inference{time}", style="bold")
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
    return results.outputs, {"board": facts, "cycles": cycles, "latency": latency(facts, cycles)}
