"""Netlists with the cells' models: the models against Amaranth's memories and multipliers, whole designs against golden and cycle
model."""

import subprocess

import numpy as np
import pytest
from amaranth.hdl import Cat, ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from networks import random_inputs, random_network

from galton.compiler import compile
from galton.config import named
from galton_boards import boards, netlist
from galton_boards.synth import DEVICES
from galton_hw import verilog
from galton_hw.memory import DualPortMemory, OnePortMemory, TwoPortMemory
from galton_hw.multiplier import Multiplier, MultiplyAdd
from galton_sim import simulate, verilator

CYCLES = 20_000
HARNESS = """
#include <cstdio>
#include <cstdlib>
#include "Vcore.h"
int main(int, char** arguments) {
    Vcore top;
    unsigned long compared = 0;
    for (long cycle = 0; cycle < atol(arguments[1]); ++cycle) {
        top.clk = 0; top.eval(); top.clk = 1; top.eval();
        compared += top.compares;
        if (top.differs) return printf("differs in cycle %ld\\n", cycle), 1;
    }
    printf("%lu\\n", compared);
}
"""


class Compared(wiring.Component):
    """A component and its netlist under the same random inputs; `differs` where outputs do while `compares`.

    `bits` of an address are random, so that words meet again; one more fills all those above. `defined` says of its inputs, now
    and a cycle before, whether its outputs mean anything.
    """

    def __init__(self, make, bits=3, defined=lambda now, before: 1):
        self.make, self.bits, self.defined = make, bits, defined
        super().__init__({"differs": Out(1), "compares": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = source = self.make()
        ports = {
            "__".join(map(str, path)): (member, Value.cast(value)) for path, member, value in source.signature.flatten(source)
        }
        # xorshift64 (Marsaglia 2003), once for each bit that is wanted.
        state, wires, before = Signal(64, init=0x9E3779B97F4A7C15), {}, {}
        first = state ^ (state << 13)[:64]
        second = first ^ (first >> 7)
        m.d.sync += state.eq(second ^ (second << 17))
        place = 0
        for name, (member, value) in ports.items():
            if member.flow == In:
                driven = Signal(len(value), name=f"in_{name}")
                bits = self.bits if "address" in name else len(value)
                low = Cat(state[(place + index * 5) % 64] for index in range(bits))
                high = state[place % 64].replicate(len(value) - bits)
                m.d.sync += driven.eq(Cat(low, high))
                last = Signal.like(driven, name=f"before_{name}")
                m.d.sync += last.eq(driven)
                m.d.comb += value.eq(driven)
                wires[f"i_{name}"], before[name] = driven, last
                place += 11
        outputs = []
        for name, (member, value) in ports.items():
            if member.flow == Out:
                other = Signal(len(value), name=f"out_{name}")
                wires[f"o_{name}"] = other
                outputs.append((value, other))
        m.submodules.gates = Instance("gates", i_clk=ClockSignal(), i_rst=ResetSignal(), **wires)
        now = {name.removeprefix("i_"): value for name, value in wires.items() if name.startswith("i_")}
        m.d.comb += self.compares.eq(self.defined(now, before))
        m.d.comb += self.differs.eq(self.compares & Cat(value.as_unsigned() != other for value, other in outputs).any())
        return m


def compared(make, device, **options):
    """Cycles of CYCLES in which a component and its netlist were compared, none of which differed; the netlist's text."""
    gates = netlist.gates(make(), "gates", DEVICES[device])
    top = verilog.convert(Compared(make, **options), "compared")
    program = verilator.build(gates + "\n" + top, HARNESS, top="compared")
    done = subprocess.run([program, str(CYCLES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return int(done.stdout), gates


def two_ports(now, before):
    """A word was read, and not written in the same cycle."""
    clash = before["write"] & (before["write_address"] == before["read_address"])
    return before["read"] & ~clash


@pytest.mark.build
@pytest.mark.parametrize(
    ("width", "depth", "cell"),
    [(36, 512, "DATA_WIDTH_A(32'd36)"), (32, 256, "DP16KD"), (18, 1024, "DP16KD"), (9, 2048, "DATA_WIDTH_A(32'd9)")],
)
def test_block_ram_of_two_ports(width, depth, cell):
    cycles, gates = compared(lambda: TwoPortMemory(depth, width), "ecp5-25", defined=two_ports)
    assert cell in gates
    assert cycles > CYCLES // 4


@pytest.mark.build
@pytest.mark.parametrize(("width", "depth", "cell"), [(4, 4096, "A(32'd4)"), (2, 8192, "A(32'd2)"), (1, 16384, "A(32'd1)")])
def test_narrow_block_ram_of_one_port(width, depth, cell):
    cycles, gates = compared(lambda: OnePortMemory(depth, width), "ecp5-25", defined=lambda now, before: ~before["write"])
    assert f"DATA_WIDTH_{cell}" in gates
    assert cycles > CYCLES // 4


@pytest.mark.build
def test_true_dual_port_block_ram():
    def defined(now, before):
        return ~before["write"]

    cycles, gates = compared(lambda: DualPortMemory(4096, 4), "ecp5-25", defined=defined)
    assert "DP16KD #(" in gates
    assert cycles > CYCLES // 4


@pytest.mark.build
@pytest.mark.parametrize(
    ("make", "cell"),
    [
        (lambda: Multiplier(18, 16), "MULT18X18D"),
        (lambda: Multiplier(16, 16, a_signed=True), "MULT18X18D"),
        (lambda: MultiplyAdd(16, 16, 32), "MULT18X18D"),
        (lambda: Multiplier(8, 8, a_signed=True), "MULT18X18D"),
        (lambda: Multiplier(24, 16), "MULT18X18D"),
    ],
)
def test_multipliers(make, cell):
    cycles, gates = compared(make, "ecp5-25")
    assert f"{cell} " in gates.split("module gates(")[1]
    assert cycles == CYCLES


@pytest.mark.build
def test_a_core_s_gates_compute_what_the_source_does():
    config = named("ecp5-25")
    text = netlist.netlist(config)
    for seed in (1, 2):
        network = random_network(seed, config, operations=60_000)
        simulate.check(compile(network, config).image, random_inputs(seed, network, 2), text=text, seed=seed)


@pytest.mark.build
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_a_board_s_gates_speak_on_the_serial_line(name):
    board = boards.find(name)
    network = random_network(3, board.config, layers=2, operations=20_000)
    cycles = netlist.check_board(board, compile(network, board.config).image, random_inputs(3, network, 2))
    assert cycles > 100_000


@pytest.mark.parametrize("chip", [("--config", "ecp5-25"), ("--board", "icebreaker")])
def test_an_image_of_another_configuration_is_refused_at_once(chip, tmp_path, capsys):
    config = named("tiny")
    network = random_network(1, config, layers=1, operations=10_000)
    image, raw = tmp_path / "image.galton", tmp_path / "raw.npy"
    compile(network, config).image.save(image)
    np.save(raw, random_inputs(1, network, 1))
    assert netlist.main([*chip, str(image), str(raw)]) == 1
    assert "The image is for configuration tiny" in capsys.readouterr().err


@pytest.mark.build
def test_the_command(tmp_path, capsys):
    config = named("up5k")
    network = random_network(1, config, operations=60_000)
    image, raw = tmp_path / "image.galton", tmp_path / "raw.npy"
    compile(network, config).image.save(image)
    np.save(raw, random_inputs(1, network, 2))
    assert netlist.main(["--config", "up5k", str(image), str(raw), "--count", "2"]) == 0
    assert "up5k: 2 inputs" in capsys.readouterr().out
