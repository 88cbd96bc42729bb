"""Proofs: the stream contract of stream components, the quantizer's theorems, and that the prover catches seeded bugs."""

from dataclasses import replace

import pytest
import z3
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from galton import format as layout
from galton.config import Config
from galton_hw.dispatch import Dispatch
from galton_hw.fifo import Fifo
from galton_hw.group import Expander
from galton_hw.quantizer import Quantizer, Sampler
from galton_hw.reader import Reader, WindowReader
from galton_hw.relay import Relay
from galton_hw.scan import Scan
from galton_hw.sequencer import Sequencer
from galton_hw.serializer import Serializer
from galton_sim import formal
from galton_sim.yosys import SynthesisError

ONE = 1 << layout.FRACTION_BITS
PARAMETERS = ("step", "residue", "carry", "bypass", "dead_zone", "signed_raw")


class Delay(wiring.Component):
    """One register between two streams; `bug` withdraws or overwrites what waits there."""

    def __init__(self, bug=None):
        self.bug = bug
        super().__init__({"i": In(stream.Signature(4)), "o": Out(stream.Signature(4))})

    def elaborate(self, platform):
        m = Module()
        full = Signal()
        m.d.comb += [self.o.valid.eq(full), self.i.ready.eq(~full | self.o.ready)]
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        if self.bug == "withdraws":
            waited = Signal(4)
            m.d.sync += waited.eq(Mux(full & ~self.o.ready, waited + 1, 0))
            with m.If(waited == 9):
                m.d.sync += full.eq(0)
        if self.bug == "overwrites":
            with m.If(self.i.payload == 13):
                m.d.sync += self.o.payload.eq(13)
        return m


class Closed(wiring.Component):
    """A stream that never offers anything: its contract holds for no reason at all."""

    def __init__(self):
        super().__init__({"o": Out(stream.Signature(4))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.payload.eq(self.o.payload + 1)
        return m


def test_contract_of_a_register():
    assert formal.prove_contract(Delay()) > 0


@pytest.mark.parametrize("bug", ["withdraws", "overwrites"])
def test_seeded_bugs_are_caught_with_a_trace(bug):
    with pytest.raises(formal.ProofFailed, match=r"(?s)Counterexample of \d+ cycles.*o__valid"):
        formal.prove_contract(Delay(bug))


def test_empty_proofs_are_refused():
    with pytest.raises(formal.ProofFailed, match="never offers anything"):
        formal.prove_contract(Closed())
    with pytest.raises(SynthesisError, match="Assertion failed"):
        formal.prove(Delay())


@pytest.mark.parametrize(("width", "depth"), [(4, 2), (4, 4), pytest.param(8, 16, marks=pytest.mark.build)])
def test_contract_of_the_fifo(width, depth):
    assert formal.prove_contract(Fifo(width, depth)) > 0


def test_contract_of_the_relay():
    assert formal.prove_contract(Relay(4)) > 0


@pytest.mark.parametrize("count_bits", [1, 8])
def test_contract_of_the_quantizer(count_bits):
    assert formal.prove_contract(Quantizer(count_bits, 2), steady=PARAMETERS) > 0


class SamplerStep(wiring.Component):
    """hits 2^F + following = product + residue, and with it |hits - product / 2^F| < 1, for all inputs."""

    def __init__(self, product_bits=layout.BYTE_BITS + layout.STEP_BITS):
        super().__init__({"product": In(product_bits), "residue": In(layout.FRACTION_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.sampler = sampler = Sampler()
        m.d.comb += [sampler.products[0].eq(self.product), sampler.residue.eq(self.residue)]
        m.d.comb += Assume(self.product <= ((1 << layout.BYTE_BITS) - 1) * ((1 << layout.STEP_BITS) - 1))
        scaled = sampler.hits[0] << layout.FRACTION_BITS
        difference = scaled - self.product
        m.d.comb += [
            Assert(scaled + sampler.following == self.product + self.residue),
            Assert((difference < ONE) & (difference > -ONE)),
        ]
        return m


class SamplerStream(wiring.Component):
    """sum of hits = total >> F and the residue is the rest, for total = r_0 + sum of products, in a stream of any length.

    The total is modulo 2^`bits`; with 2^24 activations of 24-bit products nothing wraps at 48.
    """

    def __init__(self, bits=48):
        self.bits = bits
        super().__init__({"product": In(layout.BYTE_BITS + layout.STEP_BITS), "start": In(layout.FRACTION_BITS), "valid": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.sampler = sampler = Sampler()
        fresh = Signal(init=1)
        residue, hits, total = Signal(layout.FRACTION_BITS), Signal(self.bits - layout.FRACTION_BITS), Signal(self.bits)
        m.d.comb += [sampler.products[0].eq(self.product), sampler.residue.eq(residue)]
        m.d.comb += Assume(self.product <= ((1 << layout.BYTE_BITS) - 1) * ((1 << layout.STEP_BITS) - 1))
        with m.If(fresh):
            m.d.sync += [fresh.eq(0), total.eq(self.start), residue.eq(self.start)]
        with m.Elif(self.valid):
            m.d.sync += [hits.eq(hits + sampler.hits[0]), total.eq(total + self.product), residue.eq(sampler.following)]
        m.d.comb += Assert(Cat(residue, hits) == total)
        return m


class SamplerBundle(wiring.Component):
    """Behind any sum of products in a bundle an activation gets the hits, and leaves the residue, that it would by itself."""

    def __init__(self, width):
        self.width, bits = width, layout.BYTE_BITS + layout.STEP_BITS
        super().__init__({"total": In(bits + 2), "product": In(bits), "residue": In(layout.FRACTION_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bundle = bundle = Sampler(self.width)
        m.submodules.single = single = Sampler()
        most = ((1 << layout.BYTE_BITS) - 1) * ((1 << layout.STEP_BITS) - 1)
        m.d.comb += [
            Assume(self.product <= most),
            Assume(self.total <= (self.width - 1) * most),
            bundle.carry.eq(1),
            bundle.residue.eq(self.residue),
            *(product.eq(self.total + (self.product if index else 0)) for index, product in enumerate(bundle.products)),
            single.products[0].eq(self.product),
            single.residue.eq((self.total + self.residue)[: layout.FRACTION_BITS]),
            Assert(bundle.hits[1] == single.hits[0]),
            Assert(bundle.following == single.following),
        ]
        return m


def test_sampler_step():
    assert formal.prove(SamplerStep()) >= 0


def test_sampler_of_a_bundle():
    assert formal.prove(SamplerBundle(4)) >= 0


def test_sampler_telescopes():
    assert formal.prove(SamplerStream()) >= 0


def test_telescoping_theorem_over_the_integers():
    """From the step above: sum(hits) 2^F + r = r_0 + m sum|a| is kept by every activation, hence sum(hits) is the floor."""
    hits_sum, magnitudes, residue, start, step = z3.Ints("hits_sum magnitudes residue start step")
    hits, magnitude, following = z3.Ints("hits magnitude following")
    before = hits_sum * ONE + residue == start + step * magnitudes
    one_step = hits * ONE + following == magnitude * step + residue
    after = (hits_sum + hits) * ONE + following == start + step * (magnitudes + magnitude)
    floor = z3.Implies(z3.And(before, residue >= 0, residue < ONE), hits_sum == (start + step * magnitudes) / ONE)
    for claim in (z3.Implies(z3.And(before, one_step), after), floor):
        solver = z3.Solver()
        solver.add(z3.Not(claim))
        assert solver.check() == z3.unsat


class Bypassed(wiring.Component):
    """In bypass mode a count is the raw magnitude, 0 below the dead zone, saturated, with the raw sign; tags stay in step."""

    def __init__(self, count_bits):
        self.quantizer = Quantizer(count_bits, layout.BYTE_BITS + 1)
        super().__init__(self.quantizer.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.quantizer = quantizer = self.quantizer
        inner = quantizer.signature.flatten(quantizer)
        for (path, member, port), (_, _, own) in zip(inner, self.signature.flatten(self), strict=True):
            outer, within = Value.cast(own), Value.cast(port)
            m.d.comb += within.eq(outer) if member.flow == In else outer.eq(within)
            if path[0] in PARAMETERS:
                first, before = Signal(init=1), Signal(len(outer))
                m.d.sync += [first.eq(0), before.eq(outer)]
                m.d.comb += Assume(first | (outer == before))
        item, count = self.i.payload, self.o.payload
        m.d.comb += Assume(self.bypass & ~item.marker & (item.tag == Cat(item.raw[0], self.signed_raw)))
        found = count.counts[0]
        raw = Mux(self.signed_raw, count.tag[: layout.BYTE_BITS].as_signed(), count.tag[: layout.BYTE_BITS])
        magnitude = Mux(raw < 0, -raw, raw)
        kept = Mux(magnitude < self.dead_zone, 0, magnitude)
        limit = (1 << quantizer.count_bits) - 1
        with m.If(self.o.valid):
            m.d.comb += Assert(found.magnitude == Mux(kept > limit, limit, kept))
            m.d.comb += Assert((found.negative == (raw < 0)) | (found.magnitude == 0))
        return m


@pytest.mark.build
def test_bypass_counts():
    assert formal.prove(Bypassed(count_bits=3)) > 0


SMALLEST = Config(
    "smallest",
    groups=2,
    lanes=1,
    weight_bits=2,
    planes=1,
    count_bits=1,
    accumulator_words=4,
    weight_words=2048,
    data_words=64,
    rows=2,
    channels=2,
    fifo_depth=4,
)
"""As few state bits as a configuration can have: the control does not depend on widths."""
SPARSE = replace(SMALLEST, name="smallest-sparse", step_bits=1, table_words=2)
WIDE = replace(SMALLEST, name="smallest-wide", scan_width=4)


def through(m, outside, inside):
    """Connect the ports of a component to those of the one around it."""
    for (path, member, port), (other, _, own) in zip(
        inside.signature.flatten(inside), outside.signature.flatten(outside), strict=False
    ):
        assert path == other
        m.d.comb += Value.cast(port).eq(Value.cast(own)) if member.flow == In else Value.cast(own).eq(Value.cast(port))


class Surrounded(wiring.Component):
    """A component held in reset while `rest` is 1, which it is for any time at the start and never again.

    Inputs named in `host` are 0 from then on. With `patient` its output streams go to buffers, which stay ready until they get
    something.
    """

    def __init__(self, part, host=(), patient=False):
        self.part, self.host, self.patient = part, host, patient
        super().__init__({**dict(part.signature.members.items()), "rest": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = ResetInserter(self.rest)(self.part)
        started = Signal()
        m.d.sync += started.eq(started | ~self.rest)
        m.d.comb += Assume(~started | ~self.rest)
        through(m, self, self.part)
        m.d.comb += [Assume(self.rest | (getattr(self, name) == 0)) for name in self.host]
        for output in self.o if self.patient else ():
            waiting = Signal()
            m.d.sync += waiting.eq(output.ready & ~output.valid)
            m.d.comb += Assume(~waiting | output.ready)
        return m


@pytest.mark.parametrize(
    "config",
    [pytest.param(SMALLEST, marks=pytest.mark.build), SPARSE, pytest.param(WIDE, marks=pytest.mark.build)],
    ids=["dense", "sparse", "wide"],
)
def test_contract_of_the_expander(config):
    host = ("table_write", "table_host") if config.sparse else ()
    assert formal.prove_contract(Surrounded(Expander(config), host), steady=["layer"]) > 0


class Waited(wiring.Component):
    """A dispatch whose rows are drained only while an item waits for them, so that its count of rows never wraps.

    Any other drained row makes the count larger, and no offer stops for that; PDR does not find bounds on sums.
    """

    def __init__(self, config):
        self.dispatch = Dispatch(config)
        super().__init__(self.dispatch.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatch = dispatch = self.dispatch
        through(m, self, dispatch)
        m.d.comb += Assume(~self.row_drained | self.ring_stall)
        return m


@pytest.mark.build
@pytest.mark.parametrize("config", [SMALLEST, WIDE], ids=["single", "wide"])
def test_contract_of_the_dispatch(config):
    assert formal.prove_contract(Surrounded(Waited(config), patient=True), steady=["layer"]) > 0


def test_contract_of_the_serializer():
    assert formal.prove_contract(Surrounded(Serializer(WIDE)), steady=["layer"]) > 0


@pytest.mark.build
def test_contract_of_the_scan():
    assert formal.prove_contract(Surrounded(Scan(SMALLEST), ["table_write"]), steady=["layer"]) > 0


def test_contract_of_the_reader():
    assert formal.prove_contract(Reader(4), steady=["base"]) > 0


class Standing(wiring.Component):
    """A window stands until something is taken of it, whatever the memory says and whenever it is asked."""

    def __init__(self):
        super().__init__(WindowReader(2).signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = WindowReader(2)
        through(m, self, reader)
        stood, before = Signal(), Signal(len(Value.cast(self.window)))
        m.d.sync += [stood.eq(self.valid & (self.taken == 0)), before.eq(self.window)]
        m.d.comb += [
            Assume((self.taken <= layout.WORD_BYTES) & (self.valid | (self.taken == 0))),
            Assert(~stood | (self.valid & (Value.cast(self.window) == before))),
        ]
        return m


def test_windows_stand():
    assert formal.prove(Standing()) > 0


def test_contract_of_the_sequencer():
    """Without the search for an offer that waits, which is a whole inference away."""
    assert formal.prove(formal.StreamContract(Sequencer(SMALLEST))) > 0
