"""A whole core, compiled: words in, words out, no Python per cycle. `simulate` puts images and tensors on top of it."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import format as layout
from galton.errors import HardwareMismatch
from galton.words import Memory, profiles
from galton_sim import verilator

INFERENCE = int.from_bytes(b"INFR", "little")
END = int.from_bytes(b"END!", "little")
FAILURE = int.from_bytes(b"FAIL", "little")
CYCLE_LIMIT = 1 << 26
"""Cycles an inference may take where the caller knows no better."""

FAILURES = {
    1: "the harness could not read its job (part {first})",
    2: "register {first} never answered on the bus",
    3: "the core's identity is {first:#010x}, not {second:#010x}: this is not a Galton core",
    4: "the core has configuration digest {first:#010x}, the image {second:#010x}: they were made for different configurations",
    5: "inference {first} did not end within the limit of {limit} cycles ({where})",
}


@dataclass(frozen=True)
class Job:
    """Everything a run needs besides the core.

    inputs: (n, input words), unsigned 32-bit. output_words: words of one inference's output. layers, profile_base: what is read
    back after each inference; no records where profile_base is 0. limit: cycles that an inference may take.
    stall_input, stall_output: probability of a pause per cycle. seed fixes them.
    """

    digest: int
    memories: Sequence[Memory]
    inputs: NDArray[np.uint32]
    output_words: int
    layers: int
    profile_base: int
    limit: int = CYCLE_LIMIT
    stall_input: float = 0.0
    stall_output: float = 0.0
    seed: int = 0

    def words(self) -> list[NDArray[np.uint32]]:
        """The job as harness.cpp reads it."""
        registers = layout.REGISTERS
        count, width = self.inputs.shape
        header = [layout.IDENTITY, self.digest, len(self.memories), count, width, self.output_words]
        header += [self.layers, self.profile_base, layout.PROFILE.words, self.limit & 0xFFFFFFFF, self.limit >> 32]
        header += [round(self.stall_input * 65536), round(self.stall_output * 65536), self.seed & 0xFFFFFFFF]
        header += [registers[name] for name in ("identity", "digest", "status", "control")]
        header += [registers["memory_position"], registers["memory_data"], layout.POSITION.places["address"][1]]
        parts = [np.asarray([*header, layout.MEMORY_DATA], np.uint32)]
        for memory in self.memories:
            parts.append(np.asarray([memory.select, memory.address, len(memory.words)], np.uint32))
            parts.append(np.asarray(memory.words, np.uint32))
        parts.append(np.ascontiguousarray(self.inputs, np.uint32).reshape(-1))
        return parts


@dataclass
class Result:
    """outputs: (n, output words). profiles[n][layer]: fields of PROFILE, each layer's own share. statuses[n]: fields of STATUS.

    cycles[n]: from the first cycle in which the first input word is offered to the one in which the last output word is taken.
    total_cycles: with loading and reading back; seconds: wall clock of the compiled run.
    """

    outputs: NDArray[np.uint32]
    profiles: list[list[dict[str, int]]] = field(default_factory=list)
    statuses: list[dict[str, int]] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    total_cycles: int = 0
    seconds: float = 0.0


def build(verilog: str, *, trace: bool = False) -> Path:
    """The compiled harness of a core's Verilog (verilator.build)."""
    return verilator.build(verilog, files("galton_sim").joinpath("harness.cpp").read_text(), trace=trace)


def run(verilog: str, job: Job, *, vcd: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Result:
    """Build the harness if need be and run a job in it.

    `progress` is called with (inferences done, inferences) after each. `vcd` names a file for waveforms (slow, large).
    Raises MissingTool; HardwareMismatch where the core is another one, does not answer, or runs past the limit.
    """
    executable = build(verilog, trace=vcd is not None)
    count = len(job.inputs)
    result = Result(np.zeros((count, job.output_words), np.uint32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job"
        with open(path, "wb") as file:
            for part in job.words():
                file.write(part.astype("<u4").tobytes())
        command = [str(executable), str(path), *([str(vcd)] if vcd is not None else [])]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                for index in range(count):
                    _inference(process.stdout, job, index, result)
                    if progress is not None:
                        progress(index + 1, count)
                _expect(process.stdout, END, job)
                result.total_cycles = _take(process.stdout, "<Q")[0]
            finally:
                process.kill()
        result.seconds = time.perf_counter() - start
    return result


def _inference(pipe: Any, job: Job, index: int, result: Result) -> None:
    _expect(pipe, INFERENCE, job)
    status, cycles = _take(pipe, "<IQ")
    result.statuses.append(layout.STATUS.unpack([status]))
    result.cycles.append(cycles)
    result.outputs[index] = _take(pipe, f"<{job.output_words}I")
    records, words = job.layers if job.profile_base else 0, layout.PROFILE.words
    result.profiles.append(profiles(_take(pipe, f"<{records * words}I")))


def _take(pipe: Any, form: str) -> tuple[int, ...]:
    size = struct.calcsize(form)
    data = pipe.read(size)
    if len(data) != size:
        raise HardwareMismatch("The simulation ended early; its own message, if any, is above")
    return struct.unpack(form, data)


def _expect(pipe: Any, marker: int, job: Job) -> None:
    (word,) = _take(pipe, "<I")
    if word == FAILURE:
        code, first, second = _take(pipe, "<III")
        where = f"after {second - 1} of {job.output_words} output words" if second else "before it had taken its whole input"
        raise HardwareMismatch("Simulation: " + FAILURES[code].format(first=first, second=second, limit=job.limit, where=where))
    if word != marker:
        raise HardwareMismatch(f"The simulation answered {word:#010x} where {marker:#010x} was due")
