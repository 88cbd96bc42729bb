"""Proofs for all time: Amaranth Assert and Assume, yosys to gates, ABC's property-directed reachability.

    formal.prove_contract(Fifo(8, 4))

PDR finds the inductive invariant by itself (Bradley 2011; Een, Mishchenko, Brayton 2011), so a component needs no assertions
about its inside. It comes with pyosys and takes fractions of a second on control logic and chains of adders. Two multipliers
that must agree are beyond it: state such properties about their product.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton_sim import yosys

TIME_LIMIT = 120
"""Seconds after which a proof counts as failed."""

CONSTANT = "read_rtlil prepared.il\nsat -tempinduct -prove-asserts -set-assumes -seq 0 -maxsteps 2 -verify\n"


class ProofFailed(AssertionError):
    """A property does not hold; the message has the counterexample."""


PREPARE = """\
read_rtlil top.il
hierarchy -check -top top
proc
flatten
memory_map -formal
opt -full
async2sync
chformal -lower
setundef -undriven -anyseq
select -assert-min 1 t:$assert
formalff -clk2ff -ff2anyinit
write_rtlil prepared.il
delete -output
techmap
opt -fast
simplemap
dffunmap
abc -g AND
opt_clean
write_aiger -I -B -zinit -no-startoffset top.aig
"""
"""A flat netlist with $assert and $assume cells for the trace, and gates without outputs for ABC, which would prove those too."""

TRACE = """\
read_rtlil prepared.il
sat -tempinduct-baseonly -maxsteps {steps} -seq 0 -prove-asserts -set-assumes -show-public -dump_vcd trace.vcd
"""


def prove(component: wiring.Component, *, folder: Path | None = None, seconds: int = TIME_LIMIT) -> int:
    """Prove every Assert of a component under its Assumes, for all inputs and all time; the number of PDR frames it took.

    The clock domain has no reset: registers start from their initial values. With `folder` the files stay.
    Raises ProofFailed with the counterexample, or where `seconds` run out; SynthesisError where there is nothing to prove.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return prove(component, folder=Path(temporary), seconds=seconds)
    (folder / "top.il").write_text(_rtlil(component))
    yosys.run(PREPARE, folder)
    commands = f"read_aiger top.aig; fold; strash; pdr -T {seconds}; print_status"
    done = subprocess.run([str(yosys.package() / "yosys-abc"), "-c", commands], cwd=folder, capture_output=True, text=True)
    (folder / "abc.log").write_text(done.stdout + done.stderr)
    if "Property proved" in done.stdout:
        return int(re.findall(r"Frames = (\d+)", done.stdout)[-1])
    # PDR leaves properties alone that became constants.
    if "All outputs solved" in done.stdout and yosys.run(CONSTANT, folder, check=False).returncode == 0:
        return 0
    failed = re.search(r"asserted in frame (\d+)", done.stdout)
    if failed is None:
        raise ProofFailed(f"No proof and no counterexample within {seconds} s:\n{done.stdout[-1000:]}")
    cycles = int(failed.group(1)) + 1
    trace = yosys.run(TRACE.format(steps=cycles + 1), folder, check=False).stdout
    raise ProofFailed(f"Counterexample of {cycles} cycles:\n{trace[max(trace.find('  Time Signal Name'), 0) :][:8000]}")


def prove_contract(component: wiring.Component, *, steady: Iterable[str] = (), seconds: int = TIME_LIMIT) -> int:
    """Prove that every output stream of a component keeps the stream contract where its input streams do.

    `steady` names inputs that never change. Also makes sure that the premises do not contradict each other: each output stream
    can be seen waiting. Raises ProofFailed; ValueError where there is no output stream.
    """
    contract = StreamContract(component, steady=steady)
    frames = prove(contract, seconds=seconds)
    for index in range(len(contract.outputs)):
        try:
            prove(StreamContract(component, steady=steady, never=index), seconds=seconds)
        except ProofFailed as shown:
            if "Counterexample" in str(shown):
                continue
            raise
        raise ProofFailed(f"{contract.outputs[index][0]} never offers anything that has to wait: the premises are contradictory")
    return frames


class StreamContract(wiring.Component):
    """A component with the stream contract assumed of its input streams and asserted of its output streams.

    The contract: an offer stands, unchanged, until it is taken. Ports are the component's own.

    Parameters
    ----------
    component: anything with streams among its members, arrays of streams included.
    steady: inputs assumed never to change.
    never: instead of the contract, assert that output stream number `never` never has to wait (to be refuted).
    """

    def __init__(self, component: wiring.Component, *, steady: Iterable[str] = (), never: int | None = None) -> None:
        self.component, self.steady, self.never = component, tuple(steady), never
        self.inputs, self.outputs = _streams(component, In), _streams(component, Out)
        if not self.outputs:
            raise ValueError(f"{type(component).__name__} has no output stream")
        super().__init__(component.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.component = self.component
        inner = self.component.signature.flatten(self.component)
        for (path, member, port), (_, _, own) in zip(inner, self.signature.flatten(self), strict=True):
            outer, within = Value.cast(own), Value.cast(port)
            m.d.comb += within.eq(outer) if member.flow == In else outer.eq(within)
            if member.flow == In and path[0] in self.steady:
                first, before = Signal(init=1), Signal(len(outer))
                m.d.sync += [first.eq(0), before.eq(outer)]
                m.d.comb += Assume(first | (outer == before))
        for _, interface in self.inputs:
            held, before = _offer(m, interface)
            m.d.comb += Assume(~held | (interface.valid & (Value.cast(interface.payload) == before)))
        for index, (_, interface) in enumerate(self.outputs):
            held, before = _offer(m, interface)
            if self.never is None:
                m.d.comb += Assert(~held | (interface.valid & (Value.cast(interface.payload) == before)))
            elif self.never == index:
                m.d.comb += Assert(~held)
        return m


def _offer(m: Module, interface: Any) -> tuple[Signal, Signal]:
    """Whether the cycle before left an offer untaken, and its payload."""
    payload = Value.cast(interface.payload)
    held, before = Signal(), Signal(len(payload))
    m.d.sync += [held.eq(interface.valid & ~interface.ready), before.eq(payload)]
    return held, before


def _streams(component: wiring.Component, flow: Any) -> list[tuple[str, Any]]:
    """The streams among a component's members that flow in or out, with their names."""

    def spread(name: str, value: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                yield from spread(f"{name}.{index}", item)
        else:
            yield name, value

    found: list[tuple[str, Any]] = []
    for name, member in component.signature.members.items():
        if member.is_signature and isinstance(member.signature, stream.Signature) and member.flow == flow:
            found.extend(spread(name, getattr(component, name)))
    return found


def _rtlil(component: wiring.Component) -> str:
    top = Module()
    top.domains.sync = sync = ClockDomain(reset_less=True)
    top.submodules.top = component
    ports = [sync.clk, *(Value.cast(port) for _, _, port in component.signature.flatten(component))]
    return rtlil.convert(top, name="top", ports=ports, emit_src=False)
