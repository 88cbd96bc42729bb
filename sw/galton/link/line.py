"""Lines that carry bytes to a board and back."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any, Protocol

from galton.errors import MissingTool, PortError

BAUD = 1_000_000
"""Bits a second on the line, where nothing else is said."""
BITS_PER_BYTE = 10
PATIENCE = 0.2
"""Seconds beyond the time on the line after which an answer is taken for lost: USB adapters hold bytes back for some 16 ms."""
SIMULATED_SPEED, SIMULATED_PATIENCE = 400.0, 2.0
"""Of a pseudo-terminal, in bytes a second and seconds: behind it may be a simulated board (`galton serve`), some fifty times
slower than a real one."""

TERMINAL_ERRORS: tuple[type[Exception], ...] = ()
with contextlib.suppress(ImportError):
    import termios

    TERMINAL_ERRORS = (termios.error,)


NOTHING = "is the board plugged in? `galton doctor` lists the ports that are there"
ASKED = "`galton doctor` says what to type to be allowed to use it"
REASONS = {
    errno.ENOENT: NOTHING,
    errno.ENODEV: NOTHING,
    errno.ENXIO: NOTHING,
    errno.EIO: NOTHING,
    errno.EACCES: ASKED,
    errno.EPERM: ASKED,
    errno.EAGAIN: "another program uses it: end that first",
    errno.EBUSY: "another program uses it: end that first",
    errno.ENOTTY: "this is no serial port; `galton doctor` lists those that are there",
    errno.EISDIR: "this is no serial port; `galton doctor` lists those that are there",
}
"""What to do where the system does not open a port, by the number of its error."""


def reason(error: BaseException) -> str:
    """Why a port cannot be opened, and the way out: the system's own words where an error of its is behind this one."""
    cause: BaseException | None = error
    while cause is not None:
        number = cause.args[0] if cause.args else None
        if number in REASONS:
            return f"{os.strerror(number)}; {REASONS[number]}"
        cause = cause.__context__
    return f"{error}. Is the board plugged in, may this user open the port, and does no other program use it?"


class Line(Protocol):
    """Bytes both ways. `name` for messages; `speed` in bytes a second; `patience`, seconds beyond the time on the line after
    which an answer is taken for lost."""

    name: str
    speed: float
    patience: float

    def send(self, data: bytes) -> None:
        """Send all of it. Raises PortError where the line is gone."""

    def receive(self, timeout: float) -> bytes:
        """What has come, at least a byte; nothing where none came for `timeout` seconds. Raises PortError likewise."""

    def close(self) -> None:
        """Give the line back."""


class SerialLine:
    """A serial port, a pseudo-terminal or a URL of pyserial, held for this process alone.

    Raises PortError where it is not there or another process has it; MissingTool without pyserial.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        try:
            import serial
        except ImportError as error:
            raise MissingTool("pyserial is not installed; install it with: pip install pyserial") from error
        terminal = os.path.realpath(port).startswith("/dev/pts/")
        self.name, self.speed = port, SIMULATED_SPEED if terminal else baud / BITS_PER_BYTE
        self.patience = SIMULATED_PATIENCE if terminal else PATIENCE
        self._gone: tuple[type[Exception], ...] = (serial.SerialException, OSError, *TERMINAL_ERRORS)
        refused: tuple[type[Exception], ...] = (*self._gone, ValueError, OverflowError)
        try:
            self.serial: Any = serial.serial_for_url(port, baudrate=baud, exclusive=True)
        except refused as error:
            raise PortError(f"Cannot open {port or 'a port without a name'}: {reason(error)}") from error

    def send(self, data: bytes) -> None:
        """See Line. Raises PortError too where nobody takes the bytes for longer than they need."""
        try:
            self.serial.write_timeout = 2 * (self.patience + len(data) / self.speed)
            self.serial.write(data)
        except self._gone as error:
            raise self._lost(error) from error

    def receive(self, timeout: float) -> bytes:
        """See Line."""
        try:
            self.serial.timeout = timeout
            first = self.serial.read(1)
            return bytes(first + self.serial.read(self.serial.in_waiting)) if first else b""
        except self._gone as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """See Line."""
        self.serial.close()

    def _lost(self, error: Exception) -> PortError:
        return PortError(f"Lost {self.name}: {error}. Plug the board in again and repeat")
