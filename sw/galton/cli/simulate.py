"""`galton simulate`: the generated Verilog on an image and inputs, against the golden model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, console, emit, load_text, progress, table
from galton.cli.common import command as make_command
from galton.cli.work import Work, work_options

if TYPE_CHECKING:
    from galton.cli.verification import Ints, Verified
    from galton.image import Image

EXAMPLE = """
galton simulate digits.galton images.npy -o scores.npy
galton simulate digits.galton images.npy --verilog mine.v --bisect
"""


@make_command("simulate", EXAMPLE)
@work_options
@click.option("--verilog", type=INPUT_FILE, help="Verilog to run in place of the generated one, with the ports of a core.")
@click.option("--bisect", "wanted", is_flag=True, help="Where an output differs, name the layer and the place.")
@click.option("--dump", type=OUTPUT_FILE, help="Where --bisect writes both sides, as .npz; by default IMAGE.mismatch.npz.")
def command(prepare: Callable[[], Work], verilog: Path | None, wanted: bool, dump: Path | None, as_json: bool) -> int:
    """Run INPUTS (.npy, .npz or .pt) through the Verilog of IMAGE's core, and compare with the golden model bit by bit.

    Exit code 1 where an output differs, or a counter differs from the cycle model's prediction. --bisect then runs ever shorter
    parts of the network, and names the first layer, row, column and channel that differ.
    """
    from galton.cli.verification import verify

    if dump is not None and not wanted:
        raise click.UsageError("--dump is what --bisect writes: give both")
    work = prepare()
    packed, values, text = work.image, work.values, None if verilog is None else core_text(verilog)
    with progress(as_json) as bar:
        task = bar.add_task("building the simulator", total=None)

        def advance(done: int, count: int) -> None:
            bar.update(task, description="Verilog", completed=done, total=count)

        checked = verify(packed, values, advance, text)
        place = dump or work.file.with_suffix(".mismatch.npz")
        found = bisect(packed, values, checked, text, place, lambda layer: bar.update(task, description=layer)) if wanted else {}
    facts = work.finish(checked.outputs) | checked.facts() | found
    if as_json:
        emit(facts)
    else:
        show(facts)
    return 0 if checked.agrees else 1


def core_text(path: Path) -> str:
    """The Verilog in a file. Raises click.UsageError where there is no module in it."""
    from galton_sim.verilator import top_module

    text = load_text(path)
    try:
        top_module(text)
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from error
    return text


def bisect(
    image: Image, raw: Ints, checked: Verified, text: str | None, place: Path, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Where the first wrong inference goes wrong, both sides being written to `place`; or which counter is wrong; or nothing."""
    import numpy as np

    from galton import cycles
    from galton.errors import HardwareMismatch
    from galton_sim.bisect import locate
    from galton_sim.simulate import expect_profiles

    if checked.wrong:
        index = checked.wrong[0]
        found = locate(image, raw[index : index + 1], None, progress, text=text)
        if found is None:
            return {"bisect": f"Inference {index} differs behind others, but not by itself: something is left over from them"}
        hardware = found.hardware if found.hardware is not None else np.zeros((0, 0, 0), np.int64)
        np.savez(place, hardware=hardware, golden=found.golden, input=raw[index], places=found.places)
        values = {"layer": found.layer, "first": found.places[:1].tolist(), "differ": len(found.places), "dump": str(place)}
        return {"bisect": f"Inference {index}: {found}. Both sides are in {place}", "difference": {"inference": index, **values}}
    if checked.mispredicted:
        try:
            expect_profiles(checked.profiles, cycles.predict(image, raw), checked.names)
        except HardwareMismatch as error:
            return {"bisect": f"All outputs agree. {error}"}
    return {"bisect": "Nothing differs: all outputs and all counters agree"}


def show(facts: dict[str, Any]) -> None:
    """The same for people."""
    out = console()
    if facts["layers"]:
        names = [name for name in facts["layers"][0] if name != "name"]
        rows = table("Cycles, mean of all inputs", "layer", *(f"{name.replace('_', '/')}>" for name in names))
        for layer in facts["layers"]:
            rows.add_row(layer["name"], *(f"{layer[name]:,.0f}" for name in names))
        out.print(rows)
    out.print(f"\n{facts['cycles']:,.0f} cycles per inference, {facts['speed'] / 1e6:.2f} million cycles simulated per second")
    for line in facts["lines"]:
        out.print(line)
    colour = "green" if facts["mismatches"] == 0 else "red"
    out.print(f"[bold {colour}]{facts['mismatches']} mismatches[/] in {facts['inputs']:,} inferences against the golden model")
    if "bisect" in facts:
        out.print(facts["bisect"], soft_wrap=True)
    colour = "green" if facts["mispredictions"] == 0 else "red"
    out.print(f"[bold {colour}]{facts['mispredictions']} mispredictions[/] of cycles and events by the cycle model")
