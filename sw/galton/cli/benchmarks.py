"""What `galton bench` measures. Each function gives one row of numbers and the limits that they break."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

WEIGHTS = 25_000_000
HITS_SECONDS = 2.0
"""For the walks that need no sorting."""
HITS_BYTES = 6.0
"""Beyond input and result, for each weight."""
SIMULATION_SPEED = 1e6
"""Cycles per second."""
INFERENCES = 30
LOAD_BYTES, LOAD_SECONDS = 1 << 16, 1.5
"""An image, and the time that loading it over the link may take."""
BOARD_SPEED = 3e5
"""Cycles per second of a simulated board."""


@dataclass(frozen=True)
class Row:
    """One measurement: numbers by name, and in words what they miss, or why there are none."""

    name: str
    numbers: dict[str, Any]
    broken: list[str] = field(default_factory=list)
    skipped: str = ""


def hits(order: str) -> Row:
    """Monte Carlo hits of 25 million float32 weights: seconds without and memory with tracing."""
    from galton.quantizers import mcq

    weights = np.random.default_rng(0).standard_normal(WEIGHTS, np.float32)
    start = time.perf_counter()
    counts, _ = mcq.hits(weights, 1.0, order=order)
    seconds = time.perf_counter() - start
    size = counts.nbytes
    del counts
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    result = mcq.hits(weights, 1.0, order=order)
    extra = (tracemalloc.get_traced_memory()[1] - before - size) / WEIGHTS
    tracemalloc.stop()
    del result
    broken = [f"{seconds:.2f} s is more than {HITS_SECONDS:g}"] if seconds > HITS_SECONDS and order != "magnitude" else []
    broken += [f"{extra:.1f} bytes a weight are more than {HITS_BYTES:g}"] if extra > HITS_BYTES else []
    return Row(f"hits, order={order}", {"weights": WEIGHTS, "seconds": round(seconds, 2), "extra bytes": round(extra, 2)}, broken)


def simulation(name: str) -> Row:
    """A small network on a core's Verilog in the compiled harness: cycles per second, mismatches."""
    from galton.cli.verification import verify
    from galton.compiler import compile as compile_network
    from galton.config import named

    network = example()
    compiled = compile_network(network, named(name))
    raw = np.random.default_rng(1).integers(0, 256, (INFERENCES, *network.input_shape))
    checked = verify(compiled.image, raw)
    broken = [] if checked.agrees else [f"{checked.mismatches} mismatches, {checked.mispredictions} mispredictions"]
    if checked.speed < SIMULATION_SPEED:
        broken.append(f"{checked.speed:,.0f} cycles per second are fewer than {SIMULATION_SPEED:,.0f}")
    return Row(f"simulation, {name}", {"cycles per second": round(checked.speed), "mismatches": checked.mismatches}, broken)


def example() -> Any:
    """A network of random weights that fits every named configuration: two convolutions and a linear layer."""
    from galton.network import Activation, Layer, Network

    generator = np.random.default_rng(2)
    carried = Activation("monte_carlo", step=1500)

    def layer(name: str, shape: tuple[int, int, int], outputs: int, size: int, pool: int, activation: Activation) -> Layer:
        weights = generator.integers(-3, 4, (outputs, size, size, shape[2]))
        constants = np.full(outputs, 60000), np.full(outputs, 1 << 21)
        edge = size // 2
        border = (edge, edge, edge, edge)
        return Layer(name, shape, weights, *constants, 16, 0, 255, activation, padding=border, pool=(pool, pool))

    layers = (
        layer("first", (16, 16, 1), 4, 3, 2, carried),
        layer("second", (8, 8, 4), 8, 3, 2, carried),
        layer("last", (1, 1, 128), 10, 1, 1, carried),
    )
    return Network("bench", (16, 16, 1), layers)


def link(name: str) -> Row:
    """64 KB written to a simulated board, serial pins included: seconds of the board's clock, and how fast it is simulated.

    A host's adapter adds what it holds bytes back for, up to 16 ms for each of five requests.
    """
    from galton.format import MEMORY_DATA, WORD_BYTES
    from galton.link import Board
    from galton_boards.boards import find
    from galton_boards.simulated import line

    about, simulated = find(name), line(name)
    words = np.random.default_rng(3).integers(0, 1 << 32, LOAD_BYTES // WORD_BYTES).tolist()
    with Board(simulated) as board:
        board.identify()
        before, start = simulated.cycles, time.perf_counter()
        for place in range(0, len(words), about.config.data_words):
            board.write(MEMORY_DATA, 0, words[place : place + about.config.data_words])
        cycles, seconds = simulated.cycles - before, time.perf_counter() - start
    taken, speed = cycles / about.clock, cycles / seconds
    broken = [f"{taken:.2f} s are more than {LOAD_SECONDS:g}"] if taken > LOAD_SECONDS else []
    broken += [f"{speed:,.0f} cycles per second are fewer than {BOARD_SPEED:,.0f}"] if speed < BOARD_SPEED else []
    numbers = {"bytes": LOAD_BYTES, "seconds of the board": round(taken, 3), "cycles per second": round(speed)}
    return Row(f"link, {name}", numbers, broken)


def synthesis(name: str) -> Row:
    """Synthesis, place and route of a configuration on its device."""
    from galton_boards import synth

    component, device = synth.core(name)
    report = synth.measure(component, name, device)
    numbers = {kind: f"{used} of {report.available[kind]}" for kind, used in report.used.items()}
    times = {"synthesis s": report.synthesis_seconds, "routing s": report.routing_seconds}
    return Row(f"place and route, {name}", {**numbers, "MHz": report.corrected, **times}, synth.violations(report))


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows as JSON values."""
    return [asdict(row) for row in rows]
