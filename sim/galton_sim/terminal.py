"""A pseudo-terminal with a board in compiled simulation behind it: what a host sees of a serial adapter with a board."""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

from galton_sim.board import SimulatedLine

SLICE = 20_000
"""Cycles between two looks at the terminal; what the board sends waits as long."""
MOST_BYTES = 128
"""Bytes taken from the host at once."""
IDLE = 500_000
"""Cycles without a byte either way after which the board's clock stands still until the host sends one."""
WAIT = 0.2
"""Seconds between two looks at `stop` while nothing comes."""


class Terminal:
    """A board's line as a pseudo-terminal.

    Parameters: `line` to the board. Members: `path` of the terminal, for hosts to open; `cycles` and `seconds` of wall clock that
    the board's clock has run. Closing it closes the line too.
    """

    def __init__(self, line: SimulatedLine) -> None:
        self.line = line
        # It stays open at both ends, so that hosts may come and go.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._first, self.seconds = line.cycles, 0.0
        self._quiet = 0

    @property
    def cycles(self) -> int:
        """Cycles since the terminal is there."""
        return self.line.cycles - self._first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Unplug it."""
        os.close(self._slave)
        os.close(self._master)
        self.line.close()

    def serve(self, stop: Callable[[], bool]) -> None:
        """Pass bytes both ways until `stop` says so. Raises PortError where the simulation ends."""
        while not stop():
            self.turn()

    def turn(self) -> None:
        """Bytes that have come, to the board, or a slice of its time; while it is idle, wait for bytes."""
        ready, _, _ = select.select([self._master], [], [], WAIT if self._quiet >= IDLE else 0)
        data = os.read(self._master, MOST_BYTES) if ready else b""
        if not data and self._quiet >= IDLE:
            return
        start, before = time.perf_counter(), self.line.cycles
        self.line.send(data)
        reply = self.line.receive(0 if data else SLICE / self.line.clock)
        self.seconds += time.perf_counter() - start
        self._quiet = 0 if data or reply else self._quiet + self.line.cycles - before
        # What no host takes is lost, as with an adapter.
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, reply)
