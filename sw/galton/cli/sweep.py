"""`galton sweep`: Monte Carlo quantization at several K, as in Figures 2 and 3 of arXiv 1905.12253."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import click

from galton.cli.benching import carry_out, shared_options
from galton.cli.common import command as make_command
from galton.config import LARGEST_WEIGHT

EXAMPLE = """
galton sweep --network digits
galton sweep --network digits --k 0.5 --k 1 --k 2 --what weights --what activations --skip none --skip first --seed 0 --seed 1
galton sweep --network digits --engine accelerator --golden 8
"""
LADDER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
WHAT = ("both", "weights", "activations")
ALONE = ("none", "first", "last", "both")


@make_command("sweep", EXAMPLE)
@click.option("--network", "networks", multiple=True, default=("digits",), show_default=True, help="A network; repeat for more.")
@click.option("--method", default="mcq", show_default=True, help="A method of galton.quantize that has a K.")
@click.option(
    "--k", "ladder", type=float, multiple=True, default=LADDER, show_default=True, help="Samples per weight and activation."
)
@click.option(
    "--what",
    type=click.Choice(WHAT),
    multiple=True,
    default=("both",),
    show_default=True,
    help="What is sampled; repeat for more.",
)
@click.option("--xi", "offsets", type=click.FloatRange(0, 1, max_open=True), multiple=True, help="Offset of the samples, 0.5.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Draw an offset for each layer; repeat for the spread.")
@click.option(
    "--order", type=click.Choice(["array", "magnitude", "channel_sign"]), default="magnitude", show_default=True, help="Walk."
)
@click.option(
    "--norm", type=click.Choice(["layer", "channel"]), default="layer", show_default=True, help="Of a layer or a neuron."
)
@click.option("--correct/--plain", default=False, help="Fit scale and bias in closed form, or sample only, as the paper does.")
@click.option("--dynamic/--static", default=False, help="Activation steps from the norm of the very input, as in the paper.")
@click.option(
    "--skip", type=click.Choice(ALONE), multiple=True, default=("none",), show_default=True, help="Layers left alone; repeatable."
)
@click.option(
    "--engine",
    type=click.Choice(["graph", "accelerator"]),
    default="graph",
    show_default=True,
    help="What is not sampled stays float, or is the finest that the accelerator has.",
)
@click.option(
    "--weight-limit",
    type=click.IntRange(1, LARGEST_WEIGHT),
    default=LARGEST_WEIGHT,
    show_default=True,
    help="Cut weights beyond.",
)
@shared_options("sweep-results")
def command(
    networks: tuple[str, ...],
    method: str,
    ladder: tuple[float, ...],
    what: tuple[str, ...],
    offsets: tuple[float, ...],
    seeds: tuple[int, ...],
    order: str,
    norm: str,
    correct: bool,
    dynamic: bool,
    skip: tuple[str, ...],
    engine: str,
    weight_limit: int,
    limit: int | None,
    calibration: int,
    data: Path | None,
    target: str,
    golden: int,
    as_json: bool,
    **running: Any,
) -> int:
    """Accuracy, sparsity and bits against K, the samples for each weight and activation.

    Exit code 1 where a cell failed.
    """
    from galton.bench import cells, page, subjects, sweeps

    folder = data or subjects.DATA
    fixed = {"order": order, "norm": norm, "correct": correct, "weight_limit": weight_limit, "dynamic": dynamic}
    drawn = [{"xi": xi} for xi in offsets] + [{"seed": seed} for seed in seeds] or [{"xi": 0.5}]
    work = []
    for network, alone in product(networks, skip):
        subjects.check(network, folder)
        layers = sweeps.names(network, folder, alone)
        for case, offset, k in product(what, drawn, ladder):
            options = sweeps.settings(k, case, alone, layers, engine, {**fixed, **offset})
            work.append(cells.Cell(network, method, options, calibration, limit, target, golden, str(folder)))
    cells.check(target, [cell.settings for cell in work])
    return carry_out(
        work, "Samples", as_json=as_json, page=page.sweep, also=lambda rows, folder: [sweeps.write(rows, folder)], **running
    )
