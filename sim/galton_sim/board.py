"""A board in compiled simulation: the core behind its serial pins, and a line (galton.link.Line) to it.

Time stands still while nobody waits for the board. A timeout is one of the board's clock, so that nothing depends on how fast the
simulation is.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

from galton.config import Config
from galton.errors import PortError
from galton.link.line import BITS_PER_BYTE
from galton_hw import verilog
from galton_hw.link.core import LinkedCore
from galton_sim import verilator

CLOCK = 24e6
DIVIDER = 24
MOST_CYCLES = (1 << 32) - 1


@cache
def board_text(config: Config, divider: int = DIVIDER, board: int = 0, clock: float = CLOCK) -> str:
    """Verilog of a LinkedCore."""
    return verilog.convert(LinkedCore(config, divider=divider, board=board, clock=clock), "galton_board")


class SimulatedLine:
    """The line to a simulated board of a configuration; each has a board of its own.

    Parameters: `config` of the core; `divider`, cycles of a bit; `clock` in Hz; `vcd` names a file for waveforms (slow, large).
    Members: as in Line; `cycles` simulated so far. Raises MissingTool, HardwareMismatch where the simulation cannot be built.
    """

    def __init__(self, config: Config, *, divider: int = DIVIDER, clock: float = CLOCK, vcd: Path | None = None) -> None:
        self.name, self.clock = f"simulated {config.name}", clock
        self.speed = clock / divider / BITS_PER_BYTE
        self.cycles = 0
        harness = files("galton_sim").joinpath("board.cpp").read_text()
        executable = verilator.build(board_text(config, divider, clock=clock), harness, trace=vcd is not None)
        command = [str(executable), str(divider), *([str(vcd)] if vcd is not None else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._waiting = b""

    def send(self, data: bytes) -> None:
        """See Line."""
        self._waiting += data

    def receive(self, timeout: float) -> bytes:
        """See Line; after what was sent, the clock runs for `timeout` at most."""
        data, self._waiting = self._waiting, b""
        limit = min(round(timeout * self.clock), MOST_CYCLES)
        try:
            self._process.stdin.write(struct.pack("<II", len(data), limit) + data)
            self._process.stdin.flush()
            count, self.cycles = struct.unpack("<IQ", self._process.stdout.read(12))
            return self._process.stdout.read(count)
        except (OSError, ValueError, struct.error) as error:
            raise PortError(f"The {self.name} has ended: {error}") from error

    def close(self) -> None:
        """See Line."""
        # What the process did not read does not matter any more.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
