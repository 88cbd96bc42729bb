"""Generated Verilog: the same bytes from every process, ports as described, nothing for Verilator to complain about."""

import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from galton.config import CONFIGS
from galton.format import FORMAT_VERSION, REGISTERS
from galton_hw import verilog
from galton_sim import verilator

LARGE = ("ecp5-25-ternary", "ecp5-85", "asic")
"""Configurations whose text takes long to write."""
EVERY = [pytest.param(name, marks=pytest.mark.cosim) if name in LARGE else name for name in CONFIGS]

PROGRAM = """
import hashlib
from galton.config import CONFIGS
from galton_hw import verilog
print(hashlib.sha256(verilog.generate(CONFIGS["tiny"])[0].encode()).hexdigest())
"""


@cache
def generated(name):
    """Text and description of a named configuration."""
    return verilog.generate(CONFIGS[name])


def test_bytes_do_not_depend_on_the_process():
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout)
    assert found[0] == found[1]
    assert len(found[0].strip()) == 64


def test_text_depends_on_the_circuit_alone():
    text, _ = generated("tiny")
    assert ".py" not in text
    assert str(os.getcwd()) not in text


@pytest.mark.parametrize("name", EVERY)
def test_ports_are_those_of_the_text(name):
    text, description = generated(name)
    module = text[re.search(rf"^module {verilog.MODULE}\(", text, re.MULTILINE).start() :]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", module[: module.index("\nendmodule")], re.MULTILINE)
    found = {port: (direction, int(high or 0) + 1) for direction, high, port in declared}
    assert {port["name"]: (port["direction"], port["width"]) for port in description["ports"]} == found
    assert found["i__payload"] == ("input", 32)
    assert found["o__ready"] == ("input", 1)
    assert found["bus__read_data"] == ("output", 32)


def test_description_is_json():
    _, description = generated("tiny")
    back = json.loads(json.dumps(description))
    assert back == description
    config = CONFIGS["tiny"]
    assert (back["module"], back["technology"], back["format_version"]) == (verilog.MODULE, "generic", FORMAT_VERSION)
    assert (back["digest"], back["registers"]) == (f"{config.digest:08x}", REGISTERS)
    assert {key: back["configuration"][key] for key in ("name", "lanes")} == {"name": config.name, "lanes": config.lanes}


def lint(text, folder, switches):
    """Verilator's complaints about a core."""
    (folder / f"{verilog.MODULE}.v").write_text(text)
    command = [str(verilator.package() / "bin" / "verilator_bin"), "--lint-only", *switches, f"{verilog.MODULE}.v"]
    done = subprocess.run(command, cwd=folder, env=verilator.environment(), capture_output=True, text=True)
    return re.findall(r"^%(?:Warning|Error)(?:-(\w+))?.*$", done.stderr + done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", EVERY)
def test_lint(name, tmp_path):
    assert lint(generated(name)[0], tmp_path, verilog.LINT_SWITCHES) == []


def test_every_switch_is_needed(tmp_path):
    complaints = {kind for kind in lint(generated("tiny")[0], tmp_path, ["-Wall"]) if kind}
    switched_off = [switch.removeprefix("-Wno-") for switch in verilog.LINT_SWITCHES if switch != "-Wall"]
    assert all(any(kind.startswith(off) for kind in complaints) for off in switched_off)
    assert all(any(kind.startswith(off) for off in switched_off) for kind in complaints)
