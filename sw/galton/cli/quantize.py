"""`galton quantize`: a trained torch network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, progress
from galton.cli.common import command as make_command

EXAMPLE = """
galton quantize model.py:make_model calibration.npy --weights weights.safetensors -o digits.galtonq
galton quantize model.onnx calibration.npy
galton quantize model.py:make_lstm ids.npy --engine graph -o lstm.safetensors
galton quantize model.pt2 calibration.npy --k-weights 2 --k-activations 2
"""


@make_command("quantize", EXAMPLE)
@click.argument("model")
@click.argument("calibration", type=INPUT_FILE)
@click.option("--weights", type=INPUT_FILE, help="State dict of the model: .safetensors or .pt.")
@click.option("-o", "--output", type=OUTPUT_FILE, help="The file to write; by default CALIBRATION's folder and MODEL's name.")
@click.option(
    "--engine",
    type=click.Choice(["accelerator", "graph", "auto"]),
    default="accelerator",
    show_default=True,
    help="accelerator refuses what it cannot run; graph takes any network, for a .safetensors file; auto is the first that can.",
)
@click.option("--method", default="galton", show_default=True, help="How weights become integers.")
@click.option("--k-weights", type=float, help="Samples per weight.")
@click.option("--k-activations", type=float, help="Samples per activation.")
@click.option("--xi", type=click.FloatRange(0, 1, max_open=True), help="Offset of the samples.")
@click.option(
    "--activations", type=click.Choice(["monte_carlo", "rounding", "bypass", "aciq"]), help="How activations become counts."
)
@click.option("--activation-bits", type=click.IntRange(2, 8), help="Bits of activations clipped by aciq.")
@click.option(
    "--dynamic", is_flag=True, default=None, help="Activation steps from the norm of the very input, not from calibration."
)
@click.option("--dead-zone", type=click.FloatRange(0), help="Activations below this many steps are dropped.")
def command(
    model: str,
    calibration: Path,
    weights: Path | None,
    output: Path | None,
    engine: str,
    method: str,
    k_weights: float | None,
    k_activations: float | None,
    xi: float | None,
    activations: str | None,
    activation_bits: int | None,
    dynamic: bool | None,
    dead_zone: float | None,
    as_json: bool,
) -> int:
    """Quantize a trained MODEL with CALIBRATION inputs, without retraining.

    MODEL is file.py:callable, whose call returns a torch module, a .onnx file, or a .pt2 file of torch.export. CALIBRATION (.npy,
    .npz or .pt) holds inputs as the model takes them, the batch first; a hundred or more of the training set will do. What
    --engine graph writes is for galton.load, not for `galton compile`.
    """
    from galton import saving
    from galton.cli.models import load_calibration, load_model
    from galton.cli.show import show_quantized
    from galton.quantization import QuantizedModule, quantize

    module = load_model(model, weights)
    inputs = load_calibration(calibration)
    chosen: dict[str, Any] = {"k_weights": k_weights, "k_activations": k_activations, "xi": xi}
    chosen |= {"activations": activations, "activation_bits": activation_bits, "dynamic": dynamic, "dead_zone": dead_zone}
    with progress(as_json) as bar:
        bar.add_task("quantizing", total=None)
        quantized = quantize(
            module, inputs, method=method, engine=engine, **{name: own for name, own in chosen.items() if own is not None}
        )
    exact = isinstance(quantized, QuantizedModule)
    suffix = "galtonq" if exact else "safetensors"
    path = output or Path(f"{Path(model.rpartition(':')[0] or model).stem}.{suffix}")
    name, report = type(module).__name__, quantized.report()
    saving.save(quantized, path)
    if as_json:
        emit({"file": str(path), "network": name, "report": report})
        return 0
    out = console()
    show_quantized(out, name, report)
    out.print(f"\nWrote {path}")
    return 0
