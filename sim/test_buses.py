"""Whole cores behind buses: accesses, inputs and outputs under pauses, wrong accesses and packets, disabling and reset."""

import pytest
from networks import EVERY, random_inputs, random_network

from galton.compiler import compile
from galton_hw import verilog
from galton_sim import cocotb_runner


@pytest.mark.cosim
@pytest.mark.parametrize(
    ("bus", "name", "stall", "tests"),
    [
        ("axi", "tiny", 0.0, 7),
        ("axi", "tiny", 0.4, 7),
        ("axi", "two-sparse", 0.2, 7),
        ("axi", "four-at-once", 0.3, 7),
        ("wishbone", "tiny", 0.0, 6),
        ("wishbone", "tiny", 0.4, 6),
        ("wishbone", "two-sparse", 0.2, 6),
        ("wishbone", "four-at-once", 0.3, 6),
    ],
)
def test_bus(bus, name, stall, tests, tmp_path):
    config = EVERY[name]
    network = random_network(4, config, operations=20_000)
    image, raw = compile(network, config).image, random_inputs(4, network, 2)
    text, _ = verilog.generate(config, bus=bus)
    assert cocotb_runner.run(text, image, raw, tmp_path, bus=bus, stall=stall, seed=4) == tests
