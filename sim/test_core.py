"""Whole cores under cocotb: register bus, streams with pauses, restarts; golden and cycle model say what must come out."""

import pytest
from networks import EVERY, random_inputs, random_network

from galton.compiler import compile
from galton_sim import cocotb_runner
from galton_sim.simulate import core_text

pytestmark = pytest.mark.cosim


def run(name, seed, folder, *, simulator, stall):
    config = EVERY[name]
    network = random_network(seed, config, operations=60_000)
    image = compile(network, config).image
    return cocotb_runner.run(
        core_text(config), image, random_inputs(seed, network, 2), folder, simulator=simulator, stall=stall, seed=seed
    )


@pytest.mark.parametrize(
    ("name", "stall"), [("tiny", 0.0), ("tiny", 0.4), ("up5k", 0.2), ("ecp5-25", 0.3), ("three-by-five", 0.2), ("fours-odd", 0.3)]
)
def test_verilator(name, stall, tmp_path):
    assert run(name, 4, tmp_path, simulator="verilator", stall=stall) == 3


@pytest.mark.skipif(not cocotb_runner.available("icarus"), reason="Icarus Verilog is not installed: apt-get install iverilog")
@pytest.mark.parametrize(("name", "stall"), [("tiny", 0.3), ("two-sparse", 0.2)])
def test_icarus(name, stall, tmp_path):
    assert run(name, 9, tmp_path, simulator="icarus", stall=stall) == 3
