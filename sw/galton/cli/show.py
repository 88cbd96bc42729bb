"""Tables that more than one command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from galton.cli.common import table

if TYPE_CHECKING:
    from galton.compiler import DryRun


def show_image(out: Console, facts: dict[str, Any]) -> None:
    """What `galton.summary.describe` says."""
    out.print(f"[bold]{facts['network']}[/] for {facts['configuration']}: {facts['bytes']:,} bytes")
    out.print(f"configuration digest {facts['digest']}, format version {facts['format']}")
    out.print(f"SHA-256 {facts['sha256']}\n")
    show_memories(out, facts)
    show_certificates(out, facts)


def show_memories(out: Console, facts: dict[str, Any]) -> None:
    """Bytes by memory."""
    rows = table("Memory", "memory", "bytes used>", "of>", "share>", "in the image>")
    for item in facts["memories"]:
        share = f"{100 * item['used'] / item['available']:.1f} %"
        rows.add_row(item["name"], f"{item['used']:,}", f"{item['available']:,}", share, f"{item['loaded']:,}")
    out.print(rows)
    out.print()


def show_certificates(out: Console, facts: dict[str, Any]) -> None:
    """The proofs that no sum can overflow."""
    rows = table(
        "Certificates: no sum can overflow",
        "layer",
        "output>",
        "largest/|acc|>",
        "bits>",
        "spare>",
        "largest/|total|>",
        "spare/of 32>",
    )
    for layer in facts["layers"]:
        proof = layer["certificate"]
        accumulator = (f"{proof['bound']:,}", str(proof["width"]), str(proof["margin"]))
        total = (f"{proof['total']:,}", str(proof["total_margin"]))
        rows.add_row(layer["name"], shape(layer["output_shape"]), *accumulator, *total)
    out.print(rows)


def show_fit(out: Console, found: DryRun) -> None:
    """What each layer takes of each memory, and what would make the network fit."""
    columns = [f"{use.name}/{use.unit}>" if use.name != use.unit else f"{use.name}>" for use in found.memory]
    rows = table(f"{found.network} for {found.config.name}", "layer", *columns)
    for index, (name, _) in enumerate(found.memory[0].layers if found.memory else ()):
        rows.add_row(name, *(f"{use.layers[index][1]:,}" for use in found.memory))
    for title, numbers in (
        ("needed", [f"{use.used:,}" for use in found.memory]),
        ("there are", [f"{use.available:,}" for use in found.memory]),
        ("share", [f"{100 * use.used / use.available:.0f} %" for use in found.memory]),
    ):
        rows.add_row(f"[bold]{title}[/]", *numbers)
    if found.memory:
        out.print(rows)
        each = " each group has its own weights and accumulators;" if found.config.groups > 1 else ""
        out.print(f"layers share the weights;{each} data: tensors alive in a layer, needed with program and counters\n")
    if found.fits:
        out.print("[bold green]It fits.[/]")
        return
    out.print(found.problem, style="red", soft_wrap=True, markup=False)
    title = "Tried, and it fits with:" if found.ways else "Neither narrower weights nor another configuration makes it fit."
    out.print(title)
    for way in found.ways:
        out.print(f"- {way}", soft_wrap=True, markup=False)


def shape(sizes: list[int]) -> str:
    """Rows x columns x channels, without those in front that are 1."""
    kept = sizes[2:] if sizes[:2] == [1, 1] else sizes
    return "x".join(map(str, kept))


def show_quantized(out: Console, name: str, report: dict[str, Any]) -> None:
    """What a quantizer reports (galton.metrics.Report)."""
    columns = ("layer", "weight/bits>", "non-zero>", "count/bits>", "non-zero>", "dense/operations>", "work>", "error>")
    rows = table(f"{name}: integers, on the calibration data", *columns)
    layers = [*report["layers"], {**report, "name": "all, bits as means", "error": None}]
    for layer in layers:
        shares = {key: f"{100 * layer[key]:.1f} %" for key in ("nonzero_weights", "nonzero_activations", "effective")}
        weights, activations = f"{layer['weight_bits_signed']:g}", f"{layer['activation_bits_signed']:g}"
        error = "" if layer["error"] is None else f"{layer['error']:.3f}"
        kept = (weights, shares["nonzero_weights"], activations, shares["nonzero_activations"])
        rows.add_row(layer["name"], *kept, f"{layer['multiplies']:,}", shares["effective"], error)
    out.print(rows)
    out.print("bits include a sign where there is one; work: both operands are non-zero; error: of the layer's outputs, relative")
    for layer in report["layers"]:
        for key, what in (("clipped", "weights cut to the largest magnitude"), ("saturated", "counts cut to 8 bits")):
            if layer[key]:
                out.print(f"{layer['name']}: {layer[key]:,} {what}")
