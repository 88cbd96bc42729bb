"""`galton sweep`: Monte Carlo quantization at several K, as in Figures 2 and 3 of arXiv 1905.12253."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from galton.cli.benching import carry_out, shared_options
from galton.cli.common import command as make_command

EXAMPLE = """
galton sweep --network digits
galton sweep --network digits --k 0.5 --k 1 --k 2 --what weights --order magnitude --norm layer --seed 0 --seed 1
"""
LADDER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
WHAT = ("both", "weights", "activations")
FINE = 16.0
"""Samples of what is to stay as good as float."""
WIDE = 119
"""The paper does not cut weights: what two planes of 4 bits hold."""


@make_command("sweep", EXAMPLE)
@click.option("--network", "networks", multiple=True, default=("digits",), show_default=True, help="A network; repeat for more.")
@click.option("--method", default="mcq", show_default=True, help="A method of galton.quantize that has a K.")
@click.option(
    "--k", "ladder", type=float, multiple=True, default=LADDER, show_default=True, help="Samples per weight and activation."
)
@click.option("--what", type=click.Choice(WHAT), default="both", show_default=True, help="What is sampled; the rest stays fine.")
@click.option("--xi", "offsets", type=click.FloatRange(0, 1, max_open=True), multiple=True, help="Offset of the samples, 0.5.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Draw the offset at random; repeat for the spread.")
@click.option(
    "--order", type=click.Choice(["array", "magnitude", "channel_sign"]), default="magnitude", show_default=True, help="Walk."
)
@click.option(
    "--norm", type=click.Choice(["layer", "channel"]), default="layer", show_default=True, help="Of a layer or a neuron."
)
@click.option("--correct/--plain", default=False, help="Fit scale and bias in closed form, or sample only, as the paper does.")
@click.option("--dynamic/--static", default=False, help="Activation steps from the norm of the very input, as in the paper.")
@click.option(
    "--skip", type=click.Choice(["first", "last", "both"]), help="A layer that is left alone: the finest weights there are."
)
@click.option("--weight-limit", type=click.IntRange(1, WIDE), default=WIDE, show_default=True, help="Cut weights beyond.")
@shared_options("sweep-results")
def command(
    networks: tuple[str, ...],
    method: str,
    ladder: tuple[float, ...],
    what: str,
    offsets: tuple[float, ...],
    seeds: tuple[int, ...],
    order: str,
    norm: str,
    correct: bool,
    dynamic: bool,
    skip: str | None,
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

    if weight_limit < WIDE and (skip or what == "activations"):
        raise click.UsageError(f"Weights that are left alone need --weight-limit {WIDE}")
    folder = data or subjects.DATA
    fixed = {"order": order, "norm": norm, "correct": correct, "weight_limit": weight_limit, "activations": "monte_carlo"}
    fixed |= {"dynamic": dynamic, "skip_first_activation": skip in ("first", "both")}
    fixed |= {"skip_last_activation": skip in ("last", "both"), "dead_zone": 0.0}
    work = []
    for network in networks:
        subjects.check(network, folder)
        layers = sweeps.left_alone(network, folder, skip, FINE)
        for xi in sweeps.drawn(offsets, seeds):
            for k in ladder:
                weights, activations = (k if what in ("both", name) else FINE for name in ("weights", "activations"))
                options = {"k_weights": weights, "k_activations": activations, "xi": xi, **fixed, **layers}
                work.append(cells.Cell(network, method, options, calibration, limit, target, golden, str(folder)))
    varied = "k_activations" if what == "activations" else "k_weights"
    cells.check(target, [cell.settings for cell in work])
    return carry_out(work, "Samples", as_json=as_json, page=partial(page.sweep, name=varied), **running)
