"""`galton monitor`: a board at work, live in the terminal."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.live import Live

from galton.cli.common import INPUT_FILE, Array, console, emit, load_array, table
from galton.cli.common import command as make_command
from galton.cli.ports import about, latency, open_board, port_options, sentence

if TYPE_CHECKING:
    from galton.image import Image
    from galton.link import Board

EXAMPLE = """
galton monitor --port /dev/ttyUSB1
galton monitor --port /dev/ttyUSB1 --image digits.galton --inputs images.npy --for 60
"""
PAUSE = 0.1
"""Seconds between two looks at a board that is given nothing to do."""
SHOWN = 5
"""Results that are shown."""


@dataclass
class Seen:
    """What the board did since the monitor began; `counters`, those of the last inference, `sums` of all that the monitor ran."""

    start: float
    inferences: int = 0
    looks: int = 0
    status: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of wall clock since then."""
        return time.monotonic() - self.start


@make_command("monitor", EXAMPLE)
@port_options()
@click.option("--image", type=INPUT_FILE, help="Load this image, and run --inputs through it over and over.")
@click.option("--inputs", type=INPUT_FILE, help="Inputs for --image: .npy, .npz or .pt.")
@click.option("--raw", is_flag=True, help="The inputs are the integers of the core, not real numbers.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds instead of at Ctrl-C.")
def command(
    port: str,
    baud: int,
    kind: str | None,
    image: Path | None,
    inputs: Path | None,
    raw: bool,
    seconds: float | None,
    as_json: bool,
) -> int:
    """Show what the board at --port does, live: status, counters and their rates, results, and what went wrong on the line.

    Ends at Ctrl-C; with --json, prints what it saw then.
    """
    if (image is None) != (inputs is None):
        raise click.UsageError("--image and --inputs go together")
    work = None if image is None or inputs is None else prepare(image, inputs, raw)
    with open_board(port, baud, kind) as board:
        facts = about(board)
        if work is not None:
            board.load(work[0])
        seen = Seen(time.monotonic())
        screen = Console(quiet=True) if as_json else console()
        with contextlib.suppress(KeyboardInterrupt), Live(console=screen, refresh_per_second=5, transient=False) as live:
            while seconds is None or seen.seconds < seconds or not seen.looks:
                look(board, seen, work)
                live.update(picture(facts, seen, board.exchange.troubles))
        facts |= {"seconds": seen.seconds, "inferences": seen.inferences, "repeated": board.exchange.troubles}
    if as_json:
        emit({**facts, "status": seen.status, "counters": seen.counters, "sums": seen.sums, "results": seen.results})
    return 0


def prepare(image: Path, inputs: Path, raw: bool) -> tuple[Image, Array]:
    """The image, and raw inputs for it."""
    from galton.cli.inputs import raw_inputs
    from galton.image import Image

    packed = Image.load(image)
    return packed, raw_inputs(packed, load_array(inputs), raw, "saturate")[0]


def look(board: Board, seen: Seen, work: tuple[Image, Array] | None) -> None:
    """Run the next input, or just ask the board."""
    seen.looks += 1
    if work is None:
        seen.status, seen.counters = board.status(), board.counters()
        time.sleep(PAUSE)
        return
    values = work[1]
    index = seen.inferences % len(values)
    results = board.run(values[index : index + 1])
    seen.status, seen.counters = results.statuses[0], results.counters[0]
    seen.sums = {name: seen.sums.get(name, 0) + value for name, value in seen.counters.items()}
    scores = results.outputs[0].reshape(-1)
    seen.results = [*seen.results, f"input {index}: largest output {scores.argmax()} ({scores.max()})"][-SHOWN:]
    seen.inferences += 1


def picture(facts: dict[str, Any], seen: Seen, repeated: int) -> Group:
    """What is on the screen."""
    rows = table("", "counter", "last inference>", "an inference>", "a second>")
    for name, value in seen.counters.items():
        mean, rate = (seen.sums[name] / count for count in (seen.inferences, seen.seconds)) if seen.inferences else (0, 0)
        rows.add_row(name, f"{value:,}", *((f"{mean:,.0f}", f"{rate:,.0f}") if seen.inferences else ("", "")))
    state = "busy" if seen.status["busy"] else "at rest"
    lines = [
        sentence(facts),
        f"{state}, {seen.status['layer']} layers done{', saturated' * seen.status['saturated']}",
        f"{seen.inferences:,} inferences in {seen.seconds:.1f} s; {repeated} requests repeated",
    ]
    if seen.inferences:
        taken = latency(facts, seen.sums["cycles"] / seen.inferences)
        in_core = "" if taken is None else f"{1e3 * taken:.3f} ms an inference in the core, "
        lines.append(f"{in_core}{seen.inferences / seen.seconds:.2f} inferences a second over the line")
    return Group(*lines, rows, *seen.results)
