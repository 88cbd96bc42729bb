"""Synthesis, place and route of cores and of the link against committed limits."""

import dataclasses
import json

import pytest

from galton.config import named
from galton.format import boot_word
from galton_boards import synth
from galton_boards.device import DEVICES
from galton_boards.limits import limits
from galton_hw.fifo import Fifo
from galton_hw.link.core import SerialLink
from galton_sim import yosys
from galton_sim.yosys import SynthesisError

REPORT = synth.Report(
    name="up5k",
    device="up5k",
    used={"logic": 100, "ram": 2, "dsp": 0, "spram": 0},
    available={"logic": 5280, "ram": 30, "dsp": 8, "spram": 4},
    fmax={"clk": 40.0},
    corrected=40.0,
    synthesis_seconds=1.0,
    routing_seconds=2.0,
)


def test_limits_that_hold():
    assert synth.violations(REPORT) == []


def test_broken_limits_are_named():
    slow = dataclasses.replace(REPORT, used={**REPORT.used, "ram": 31}, corrected=9.5)
    committed = limits("up5k")
    assert synth.violations(slow) == [
        f"up5k: 31 ram is above {committed['ram']}",
        f"up5k: 9.5 MHz is below {committed['corrected_mhz']}",
    ]


@pytest.mark.parametrize("name", list(DEVICES))
def test_limits_are_within_the_device(name):
    assert set(limits(name)) <= {*DEVICES[name].cells, "corrected_mhz"}
    assert named(name).name == name


@pytest.mark.build
@pytest.mark.parametrize(("name", "boot"), [("link", None), ("link-boot", (0x100000, boot_word(0x12345678)))])
def test_the_link_is_small(name, boot, tmp_path):
    used = synth.packed(SerialLink(24, board=1, clock=24e6, boot=boot), DEVICES["up5k"], tmp_path)
    assert all(0 <= used[kind] <= limit for kind, limit in limits(name).items())
    assert used["logic"] > 200


def test_table_has_a_row_for_each_report():
    lines = synth.table([REPORT, dataclasses.replace(REPORT, used={"logic": 7, "ram": 0, "dsp": 0})]).splitlines()
    assert "100 of 5280" in lines[1] and "40.0 MHz" in lines[1]
    assert "7 of 5280" in lines[2] and " - " in lines[2]


def test_failed_scripts_show_what_yosys_said(tmp_path):
    with pytest.raises(SynthesisError, match=r"(?s)Yosys failed:.*nothing\.v"):
        yosys.run("read_verilog nothing.v\n", tmp_path)


def test_misuse_of_the_command_line(capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        synth.main([])
    assert "give --config or --all" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert synth.main(["--config", "up5k", "--output", str(tmp_path / "file" / "report.json")]) == 2
    assert "File exists" in capsys.readouterr().err


def test_a_tool_that_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(yosys.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(synth, "core", lambda name: (Fifo(8, 2), "up5k"))
    assert synth.main(["--config", "up5k"]) == 1
    assert "pip install pyosys" in capsys.readouterr().err


@pytest.mark.build
@pytest.mark.parametrize("device", ["up5k", "ecp5-25"])
def test_nothing_of_a_wrapped_component_is_optimized_away(device):
    report = synth.measure(Fifo(12, 256), "fifo", device)
    assert report.used["ram"] == 1
    assert report.used["logic"] > 30
    assert set(report.fmax) == {"clk"}


@pytest.mark.build
def test_a_core_keeps_its_limits(tmp_path, capsys):
    """The one whose clock the README states; `make bench` takes the time for all, and whole boards keep limits of their own."""
    output = tmp_path / "report.json"
    assert synth.main(["--config", "up5k", "--output", str(output)]) == 0, capsys.readouterr().out
    (report,) = json.loads(output.read_text())
    assert set(report["fmax"]) == {"clk"}
