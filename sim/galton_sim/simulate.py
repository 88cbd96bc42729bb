"""Images and tensors in the compiled core: `simulate` runs them, `check` also compares with the golden and the cycle model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import cycles, decode, golden
from galton.config import Config
from galton.errors import HardwareMismatch
from galton.format import PROFILE
from galton.image import Image
from galton.words import check_inputs, input_words, memories, real_outputs
from galton_hw import verilog
from galton_sim import harness, verilator
from galton_sim.harness import CYCLE_LIMIT, Job

STALL = 0.25
"""Probability of a pause per cycle, on both sides, where a seed asks for pauses."""


@dataclass
class Simulation:
    """What the hardware gave.

    outputs: raw (n, rows, columns, channels) in real channel order. profiles[n][layer]: fields of format.PROFILE,
    each layer's own share.
    cycles: for each inference, from the offer of its first input word to the end of its last output word.
    statuses: fields of format.STATUS after each. total_cycles: loading and reading back included; seconds: of wall clock.
    """

    outputs: NDArray[np.int64]
    profiles: list[list[dict[str, int]]]
    statuses: list[dict[str, int]]
    cycles: list[int]
    total_cycles: int
    seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles in a second of wall clock."""
        return self.total_cycles / self.seconds


@cache
def core_text(config: Config) -> str:
    """The Verilog of a configuration's core."""
    return verilog.generate(config)[0]


def simulate(
    image: Image,
    raw: NDArray[Any],
    *,
    config: Config | None = None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    limit: int = CYCLE_LIMIT,
    vcd: Path | None = None,
    text: str | None = None,
) -> Simulation:
    """Run raw inputs (n, rows, columns, channels) through the Verilog of a core, loaded over its register bus.

    Parameters
    ----------
    config: of the core, by default the image's own. seed: of random pauses on both streams; none without one.
    progress: called with (inferences done, inferences). limit: cycles an inference may take. vcd: a file for waveforms.
    text: Verilog to run instead of a freshly generated core, with the ports of one.

    Raises CalibrationError for inputs of the wrong shape or range; HardwareMismatch where `text` has other ports, the core
    refuses the image, hangs, or gives unreadable results; MissingTool without Verilator, g++ or make.
    """
    check_inputs(image, raw)
    header = decode.header(image)
    job = Job(
        digest=image.config.digest,
        memories=memories(image),
        inputs=input_words(raw),
        output_words=header["output_words"],
        layers=len(image.meta["layers"]),
        profile_base=header["profile_base"],
        limit=limit,
        stall_input=0.0 if seed is None else STALL,
        stall_output=0.0 if seed is None else STALL,
        seed=seed or 0,
    )
    if text is not None:
        expect_ports(text, config or image.config)
    core = text if text is not None else core_text(config or image.config)
    result = harness.run(core, job, vcd=vcd, progress=progress)
    outputs = real_outputs(image, result.outputs)
    return Simulation(outputs, result.profiles, result.statuses, result.cycles, result.total_cycles, result.seconds)


def expect_ports(text: str, config: Config) -> None:
    """Raise HardwareMismatch unless the top module of Verilog `text` has the ports of a core; ValueError where there is none."""
    found = _declared(text)
    missing = [port for port in _declared(core_text(config)) if port not in found]
    if missing:
        name = verilator.top_module(text)
        raise HardwareMismatch(
            f"Module {name} is no core: it has no port {', '.join(missing)}. `galton verilog --config {config.name}` writes one"
        )


def _declared(text: str) -> list[str]:
    """The words in the head of the top module, its ports among them."""
    head = re.search(rf"^\s*module\s+\\?{re.escape(verilator.top_module(text))}\b([^;]*);", text, re.MULTILINE)
    return re.findall(r"\w+", head[1]) if head else []


def check(image: Image, raw: NDArray[Any], **options: Any) -> Simulation:
    """`simulate`, and the proof that outputs are golden.run's and every counter is cycles.predict's.

    Raises HardwareMismatch naming the first inference and place, or layer and counter, that differ.
    """
    simulation = simulate(image, raw, **options)
    expect_outputs(simulation.outputs, golden.run(image, raw))
    expect_profiles(simulation.profiles, cycles.predict(image, raw), [layer["name"] for layer in image.meta["layers"]])
    return simulation


def expect_outputs(hardware: NDArray[np.int64], model: NDArray[np.int64]) -> None:
    """Raise HardwareMismatch unless both are the same (n, rows, columns, channels)."""
    wrong = np.argwhere(hardware != model)
    if len(wrong):
        inference, *place = (int(index) for index in wrong[0])
        values = f"{hardware[tuple(wrong[0])]} in hardware, {model[tuple(wrong[0])]} in the golden model"
        raise HardwareMismatch(
            f"{len(wrong)} of {model.size} output values differ, in {len(set(wrong[:, 0].tolist()))} of {len(model)} inferences; "
            f"the first in inference {inference} at (row, column, channel) {tuple(place)}: {values}"
        )


def expect_profiles(hardware: list[list[dict[str, int]]], model: list[list[dict[str, int]]], names: list[str]) -> None:
    """Raise HardwareMismatch unless every counter of every layer of every inference is the same."""
    for inference, (found, expected) in enumerate(zip(hardware, model, strict=True)):
        for name, got, due in zip(names, found, expected, strict=True):
            different = [field.name for field in PROFILE.fields if got[field.name] != due[field.name]]
            if different:
                values = ", ".join(f"{field} {got[field]} in hardware, {due[field]} predicted" for field in different)
                raise HardwareMismatch(f"Counters of inference {inference}, layer {name}, differ: {values}")
