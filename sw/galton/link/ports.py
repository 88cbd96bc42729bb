"""The serial ports and USB adapters of this machine, and whether this user may use them."""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from pathlib import Path

from galton.errors import MissingTool

DEVICES = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")
MAKERS = {
    "0403": "FTDI",
    "1209": "pid.codes (OrangeCrab and others)",
    "1d50": "OpenMoko (iCESugar and others)",
    "0d28": "DAPLink",
}
"""USB vendors of the boards' adapters."""
RULE = 'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor}", MODE="0660", TAG+="uaccess"'


@dataclass(frozen=True)
class Port:
    """A serial port or a USB device. usable: whether this user may read and write it; advice: what to type where not, or ""."""

    path: str
    description: str
    usable: bool
    advice: str


def serial_ports() -> list[Port]:
    """Serial ports on USB. Raises MissingTool without pyserial."""
    try:
        from serial.tools import list_ports
    except ImportError as error:
        raise MissingTool("pyserial is not installed; install it with: pip install pyserial") from error
    found = []
    for port in sorted(list_ports.comports()):
        if port.vid is not None:
            what = f"{port.description} ({port.vid:04x}:{port.pid:04x})"
            usable = _usable(Path(port.device))
            found.append(
                Port(
                    port.device,
                    what,
                    usable,
                    "" if usable else f"sudo usermod -aG {_group(port.device)} $USER  # then log in again",
                )
            )
    return found


def programmers(devices: Path = DEVICES, nodes: Path = NODES) -> list[Port]:
    """USB devices of vendors that boards' programmers are of, for openFPGALoader."""
    found = []
    for device in sorted(devices.glob("*")):
        vendor = _read(device / "idVendor")
        if vendor not in MAKERS:
            continue
        node = nodes / f"{int(_read(device / 'busnum') or 0):03}" / f"{int(_read(device / 'devnum') or 0):03}"
        name = _read(device / "product") or MAKERS[vendor]
        usable = _usable(node)
        rule = f"echo '{RULE.format(vendor=vendor)}' | sudo tee -a /etc/udev/rules.d/70-galton.rules && sudo udevadm trigger"
        found.append(Port(str(node), f"{name} ({vendor}:{_read(device / 'idProduct')})", usable, "" if usable else rule))
    return found


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _group(path: str) -> str:
    """The group that may use a port; dialout where that cannot be told."""
    try:
        name = grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"
    return "dialout" if name == "root" else name


def _read(path: Path) -> str:
    """The text of a small file, "" where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
