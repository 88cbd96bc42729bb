"""A board in compiled simulation: the core behind its serial pins, its flash, and a line (galton.link.Line) to it.

Time stands still while nobody waits for the board. A timeout is one of the board's clock, so that nothing depends on how fast the
simulation is.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from galton.errors import PortError
from galton.link.line import BITS_PER_BYTE
from galton_hw import verilog
from galton_hw.link.boot import BYTE_CYCLES
from galton_hw.link.core import LinkedCore
from galton_sim import verilator

WAKING = 3e-6
"""Seconds that a flash takes to wake up: tRES1 of W25Q128JV."""
BOOT_BITS = 200
"""More bits of the line than it takes to find out what is in the flash."""
BOOT_BYTES = 256
"""More bytes than it goes on after a cut in a small image."""
ANSWERS = 20
"""Bytes on the line after which no answer begins any more."""
ENDING = 1.0
"""Seconds that a simulation may take to notice that nobody listens: it looks up between two commands."""
MODULE = "galton_board"
MOST_CYCLES = (1 << 32) - 1


class SimulatedLine:
    """The line to a simulated board; each has a board of its own, powered up long enough to have read its flash.

    Parameters: `linked`, what is on the board's chip; `flash`, what its flash holds from the address on where it looks for an
    image, with nothing else in it; `name` for messages; `vcd` names a file for waveforms (slow, large); `text`, Verilog to run in
    place of its own.
    Members: as in Line; `cycles` simulated so far; `early`, what it sent by itself at power-up: nothing, if all is well.
    Raises MissingTool, HardwareMismatch where the simulation cannot be built; PortError where it ends at once.
    """

    def __init__(
        self,
        linked: LinkedCore,
        *,
        flash: bytes = b"",
        name: str = "",
        vcd: Path | None = None,
        text: str | None = None,
    ) -> None:
        self.name, self.clock = name or f"simulated {linked.config.name}", linked.clock
        divider, boot = linked.link.divider, linked.link.boot
        self.speed = self.clock / divider / BITS_PER_BYTE
        # The link answers within some hundred cycles.
        self.patience = ANSWERS / self.speed
        self.cycles = 0
        self._waiting = b""
        with tempfile.NamedTemporaryFile() as content:
            content.write(flash)
            content.flush()
            place = [content.name, str(boot.address if boot else 0), str(round(WAKING * self.clock))]
            command = [
                str(executable(linked, vcd is not None, text)),
                str(divider),
                *place,
                *([str(vcd)] if vcd is not None else []),
            ]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                self.early = self.receive((BOOT_BITS * divider + BYTE_CYCLES * (len(flash) + BOOT_BYTES)) / self.clock)
            except BaseException:
                self.close()
                raise

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
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@cache
def executable(linked: LinkedCore, trace: bool = False, text: str | None = None) -> Path:
    """The compiled simulation of what is on a board's chip, or of `text`, which has the same ports.

    Raises MissingTool, HardwareMismatch where it cannot be built.
    """
    harness = files("galton_sim").joinpath("board.cpp").read_text()
    macro = f"#define FLASH {int(linked.link.boot is not None)}\n"
    return verilator.build(text or verilog.convert(linked, MODULE), macro + harness, trace=trace)
