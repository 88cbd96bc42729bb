"""The process behind a simulated board, whatever becomes of it; what it computes is tested in sim/."""

import sys

import pytest
from small_board import LINKED

from galton.errors import PortError
from galton_sim import board

SILENT = "sys.stdout.buffer.write(bytes(12)); sys.stdout.flush(); time.sleep(100)"
"""Answers once, without a byte from the board, and then goes on for long."""


def line(monkeypatch, tmp_path, program):
    """A line to a simulation that is a program in Python."""
    script = tmp_path / "core"
    script.write_text(f"#!{sys.executable} -S\nimport sys, time\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(board, "executable", lambda *arguments: script)
    return board.SimulatedLine(LINKED)


def test_one_that_goes_on_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(board, "ENDING", 0.02)
    busy = line(monkeypatch, tmp_path, SILENT)
    assert busy.early == b""
    busy.close()
    assert busy._process.returncode < 0


def test_one_that_has_ended_is_a_port_that_is_gone(monkeypatch, tmp_path):
    with pytest.raises(PortError, match="The simulated tiny has ended"):
        line(monkeypatch, tmp_path, "sys.exit(1)")
