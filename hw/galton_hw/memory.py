"""Memories in the shapes that FPGAs have: one port for bulk storage, one read and one write port for everything else.

No memory here promises what a read sees of a write to the same address in the same cycle: block RAMs differ, and promising the
old value costs 39 LUTs and 44 flip-flops on ECP5. Users keep such pairs apart or forward around them.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

TECHNOLOGIES = ("generic", "ice40")

SPRAM_WORDS = 1 << 14
SPRAM_BITS = 16
BANK_WORDS = 512
"""Of the widest block on ECP5, 512 x 36."""


def _storage(m: Module, depth: int, width: int, style: str, init: Sequence[int] = ()) -> memory.Memory:
    attributes: dict[str, int | str] = {"no_rw_check": 1}
    if style != "auto":
        attributes["ram_style"] = style
    m.submodules.storage = storage = memory.Memory(shape=width, depth=depth, init=init, attrs=attributes)
    return storage


class TwoPortMemory(wiring.Component):
    """`depth` words with a write port and a read port; a word read comes one cycle later and rests while `read` is 0.

    Parameters: `depth` in words, `width` in bits, `style` "block", "distributed", or "auto" for synthesis to choose.
    """

    latency = 1

    def __init__(self, depth: int, width: int, style: str = "block") -> None:
        if depth < 2 or width < 1:
            raise ValueError(f"A memory needs at least 2 words of 1 bit, not {depth} of {width}")
        self.depth, self.width, self.style = depth, width, style
        super().__init__(
            {
                "write": In(1),
                "write_address": In(ceil_log2(depth)),
                "write_data": In(width),
                "read": In(1),
                "read_address": In(ceil_log2(depth)),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        storage = _storage(m, self.depth, self.width, self.style)
        write, read = storage.write_port(), storage.read_port(domain="comb")
        data = Signal(self.width, reset_less=True)
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write),
            read.addr.eq(self.read_address),
            self.read_data.eq(data),
        ]
        with m.If(self.read):
            m.d.sync += data.eq(read.data)
        return m


def bank_sizes(depth: int) -> list[int]:
    """Powers of two, descending, from BANK_WORDS on, and what is left, which add up to `depth`."""
    whole = depth // BANK_WORDS * BANK_WORDS
    powers = [1 << bit for bit in range(whole.bit_length()) if whole >> bit & 1]
    return [*powers[::-1], *[depth - whole] * (depth > whole)]


def _banks(
    m: Module, depth: int, width: int, init: Sequence[int], write: Signal, data: Signal, ports: Sequence[tuple[Signal, Signal]]
) -> None:
    """Block RAM in banks of powers of two; `ports` are address and word read of each, the first of which writes, or else reads.

    Synthesis rounds a whole memory up to the shape of block that is best for most of it: 5632 x 32 take 11 blocks of 18 kbit in
    banks instead of 12. A bank needs few multiplexers behind its blocks, or none: 18432 x 32 are 32 of 16384 x 1 and 4 of
    2048 x 9, instead of 36 of 2048 x 9, nine deep.
    """
    found: list[list[Signal]] = [[] for _ in ports]
    sizes, start = bank_sizes(depth), 0
    # Without a reset: the host reads the weights of groups that are held in it.
    banks = [Signal(range(max(len(sizes), 2)), name=f"at_{port}", reset_less=True) for port in range(len(ports))]
    for index, size in enumerate(sizes):
        part = m.submodules[f"bank_{index}"] = Module()
        storage = _storage(part, size, width, "block", init[start : start + size])
        # Banks are in descending order, so each begins at a multiple of its size.
        bits, end = ceil_log2(size), start + size
        writer = storage.write_port()
        for port, (address, _) in enumerate(ports):
            word = Signal(width, name=f"word_{index}_{port}", reset_less=True)
            chosen = Signal(name=f"chosen_{index}_{port}")
            limits = [address >= start] * (start > 0) + [address < end] * (end < 1 << len(address))
            reader = storage.read_port(domain="comb")
            m.d.comb += [chosen.eq(Cat(limits).all() if limits else 1), reader.addr.eq(address[:bits])]
            if port == 0:
                m.d.comb += [writer.addr.eq(reader.addr), writer.data.eq(data), writer.en.eq(write & chosen)]
            with m.If(~write if port == 0 else 1):
                m.d.sync += word.eq(reader.data)
            with m.If(chosen):
                m.d.sync += banks[port].eq(index)
            found[port].append(word)
        start = end
    for bank, words, (_, read_data) in zip(banks, found, ports, strict=True):
        m.d.comb += read_data.eq(Array(words)[bank])


class DualPortMemory(wiring.Component):
    """`depth` words behind two ports: one that reads, and one that reads or writes like a OnePortMemory's.

    A word that either port reads comes one cycle later; the second port's is valid in that cycle only. It is true dual-port RAM
    on ECP5: 36 blocks of 18 kbit for 18432 x 32, as many as with one port.

    Parameters: `depth` in words, `width` in bits, `init`, words at power-up.
    """

    latency = 1

    def __init__(self, depth: int, width: int, init: Sequence[int] = ()) -> None:
        self.depth, self.width, self.init = depth, width, init
        super().__init__(
            {
                "scan_address": In(ceil_log2(depth)),
                "scan_data": Out(width),
                "write": In(1),
                "address": In(ceil_log2(depth)),
                "write_data": In(width),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = [(self.address, self.read_data), (self.scan_address, self.scan_data)]
        _banks(m, self.depth, self.width, self.init, self.write, self.write_data, ports)
        return m


class OnePortMemory(wiring.Component):
    """`depth` words behind one port: a write, or a read whose word comes one cycle later; it is valid in that cycle only.

    Parameters: `depth` in words, `width` in bits, `tech` "generic", or "ice40" for the single-port RAMs of the UP5K
    (16384 x 16; contents undefined at power-up), `init`, words at power-up, of "generic" only.
    """

    latency = 1

    def __init__(self, depth: int, width: int, tech: str = "generic", init: Sequence[int] = ()) -> None:
        if tech not in TECHNOLOGIES:
            raise ValueError(f"tech must be one of {TECHNOLOGIES}, not {tech!r}")
        if tech == "ice40" and depth > SPRAM_WORDS:
            raise ValueError(f"A single-port RAM of the UP5K holds {SPRAM_WORDS} words, not {depth}")
        if tech == "ice40" and init:
            raise ValueError("The single-port RAMs of the UP5K take no initial words")
        self.depth, self.width, self.tech, self.init = depth, width, tech, init
        super().__init__(
            {
                "write": In(1),
                "address": In(ceil_log2(depth)),
                "write_data": In(width),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.tech == "ice40":
            self._instances(m)
            return m
        ports = [(self.address, self.read_data)]
        _banks(m, self.depth, self.width, self.init, self.write, self.write_data, ports)
        return m

    def _instances(self, m: Module) -> None:
        count = -(-self.width // SPRAM_BITS)
        outputs = [Signal(SPRAM_BITS, name=f"data_{index}") for index in range(count)]
        padded = Cat(self.write_data, Const(0, count * SPRAM_BITS - self.width))
        for index, output in enumerate(outputs):
            m.submodules[f"spram_{index}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal("sync"),
                i_ADDRESS=Cat(self.address, Const(0, ceil_log2(SPRAM_WORDS) - len(self.address))),
                i_DATAIN=padded[index * SPRAM_BITS : (index + 1) * SPRAM_BITS],
                i_MASKWREN=Const(0b1111, 4),
                i_WREN=self.write,
                i_CHIPSELECT=Const(1),
                i_STANDBY=Const(0),
                i_SLEEP=Const(0),
                i_POWEROFF=Const(1),
                o_DATAOUT=output,
            )
        m.d.comb += self.read_data.eq(Cat(outputs))
