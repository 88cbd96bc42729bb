"""The link unit: requests in bytes, accesses of the register bus, answers in bytes. docs/link.md has the protocol.

The word on its way, the request's first word and the CRC are shift registers that move together, a bit a cycle: nothing is
loaded or compared in parallel but words read.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from galton.format import ANSWER, BYTE_BITS, CONTROL, LINK_REGISTERS, REGISTERS, WORD_BITS
from galton_hw.link.check import Crc
from galton_hw.link.cobs import Decoder, Group
from galton_hw.link.request import REGISTER_BITS, Request
from galton_hw.registers import BusSignature

OWN = REGISTER_BITS - 1
"""The bit that the numbers of the link's own registers have set."""
assert all(address >> OWN & 1 for address in LINK_REGISTERS.values()) and not any(at >> OWN for at in REGISTERS.values())


class Part(enum.Enum, shape=2):
    """What the word on its way is, or what the CRC on its way is of."""

    REQUEST = 0
    POSITION = 1
    DATA = 2
    ANSWER = 3


STATES = ("receive", "decide", "access", "load", "code", "send", "next", "end")
"""Take bits of the request; see whether its CRC was right; access the bus; pass a word by CRC and group; then send the group's
code, send a byte, go to the next byte; send the zero. At last, none: wait for the next request."""


class Exchange(wiring.Component):
    """One request and its answer, from reset on.

    Parameters: `board`, the word that register `board` shows.
    Members: `valid`, `bit`: the request; `more_bytes`, its next byte is here; `given`: words of an input were taken since
    `control` was written. `o`, `bus`, `words`, `boot_failed`, `error` as in Link; `enabled` to show; `complete`: all of the
    request has come and been read.
    """

    def __init__(self, board: int) -> None:
        self.board = board
        inputs = ("valid", "bit", "more_bytes", "given", "enabled", "boot_failed")
        super().__init__(
            {
                **{name: In(1) for name in inputs},
                "o": Out(stream.Signature(BYTE_BITS)),
                "bus": Out(BusSignature()),
                "words": Out(stream.Signature(WORD_BITS)),
                "error": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.request = request = Request()
        m.submodules.crc = crc = Crc()
        m.submodules.group = group = Group()

        # One flip-flop for each state is less logic than a number.
        state = Signal(data.StructLayout(dict.fromkeys(STATES, 1)), init={"receive": 1})
        part, check, place = Signal(Part), Signal(), Signal(range(WORD_BITS))
        corrupt, refused = Signal(), Signal()
        word = Signal(WORD_BITS, reset_less=True)
        byte_ends = place[:3] == BYTE_BITS - 1
        word_ends = byte_ends & place[3:].all()

        # `shift` moves everything by a bit, `next` only the word.
        shift, bit = Signal(), Signal()
        flags = Signal(BYTE_BITS)
        shown = {"corrupt": corrupt, "refused": refused, "enabled": self.enabled, "boot_failed": self.boot_failed}
        m.d.comb += [
            self.error.eq(corrupt | refused),
            self.complete.eq(part == Part.ANSWER),
            shift.eq(state.load | (state.receive & self.valid)),
            *(flags[ANSWER.places[name][1]].eq(value) for name, value in shown.items()),
        ]
        with m.If(~state.load):
            m.d.comb += bit.eq(self.bit)
        with m.Elif(part == Part.DATA):
            m.d.comb += bit.eq(word[0])
        with m.Elif(check):
            m.d.comb += bit.eq(crc.out)
        with m.Else():
            m.d.comb += bit.eq(Mux(place < BYTE_BITS, flags.bit_select(place[:3], 1), request.out))
        for chain in (request, crc, group):
            m.d.comb += [chain.shift.eq(shift if chain is not group else state.load), chain.bit.eq(bit)]
        m.d.comb += [
            request.place.eq(place),
            request.load.eq((part == Part.REQUEST) & ~check),
            request.advance.eq((part == Part.DATA) & ~check),
            crc.turn.eq(check),
            group.last.eq(byte_ends),
            group.next.eq((state.code | state.send) & self.o.ready),
            self.o.valid.eq(state.code | state.send | state.end),
            self.o.payload.eq(Mux(group.literal, word[:BYTE_BITS], Mux(state.end, 0, group.code))),
        ]
        with m.If(shift | state.next):
            m.d.sync += place.eq(place + 1)
        with m.If(state.receive & self.valid & check & (bit != crc.out)):
            m.d.sync += corrupt.eq(1)

        # An access: the position, then the request's own.
        own, reads, to_words = Signal(), Signal(), Signal()
        done, over = Signal(), Signal()
        is_data = part == Part.DATA
        # An input comes in one request: a cut one goes on in no other, and a repeated one is not a second input.
        taken_here = Signal()
        earlier = self.given & ~taken_here
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += taken_here.eq(1)
        m.d.comb += [
            own.eq(request.register[OWN]),
            reads.eq(is_data & ~request.write),
            to_words.eq(is_data & request.write & own),
            done.eq(Mux(to_words, self.words.ready & ~earlier, self.bus.ready)),
            # An input word that nobody wants gives way to the next one's first byte.
            over.eq(state.access & (done | self.more_bytes)),
            self.bus.valid.eq(state.access & ~to_words),
            self.bus.address.eq(request.register),
            self.bus.write.eq(~reads),
            self.bus.write_data.eq(word),
            self.words.valid.eq(state.access & to_words & ~earlier),
            self.words.payload.eq(word),
        ]
        with m.If(~is_data):
            m.d.comb += self.bus.address.eq(REGISTERS["memory_position"])
        with m.If(over & ~done):
            m.d.sync += refused.eq(1)
        take = over & reads
        with m.If(shift | state.next | take):
            read = Mux(own, Const(self.board, WORD_BITS), self.bus.read_data)
            m.d.sync += word.eq(Mux(take, read, Cat(word[1:], bit)))

        received, sent = Signal(), Signal()
        m.d.comb += [received.eq(state.receive & self.valid & word_ends), sent.eq(state.next & word_ends)]
        accepted = state.decide & ~corrupt & (part == Part.REQUEST)
        m.d.comb += crc.clear.eq(state.decide & ~(accepted & request.write))
        again = sent & is_data & request.more
        with m.If(received & (part == Part.REQUEST) & ~check):
            m.d.sync += part.eq(Part.POSITION)
        with m.If(over & (part == Part.POSITION)):
            m.d.sync += [part.eq(Part.REQUEST), check.eq(1)]
        with m.If(over & is_data & request.write & ~request.more):
            m.d.sync += check.eq(1)
        with m.If(state.decide):
            m.d.sync += [check.eq(0), part.eq(Mux(accepted, Part.DATA, Part.ANSWER))]
        with m.If(sent & ~again):
            m.d.sync += [part.eq(Part.ANSWER), check.eq(part == Part.ANSWER)]
        answered = sent & check
        to_access = (received & ~check & (part != Part.REQUEST)) | (accepted & ~request.write) | again
        to_load = (over & reads) | (state.decide & ~accepted) | (sent & ~again & ~check)
        m.d.sync += [
            state.receive.eq(
                (state.receive & ~(received & (check | (part != Part.REQUEST)))) | (accepted & request.write) | (over & ~reads)
            ),
            state.decide.eq(received & check),
            state.access.eq(to_access | (state.access & ~over)),
            state.load.eq(to_load | (state.load & ~word_ends)),
            state.code.eq((state.load & word_ends) | (state.code & ~self.o.ready)),
            state.send.eq((state.code & self.o.ready) | (state.next & byte_ends & ~word_ends) | (state.send & ~self.o.ready)),
            state.next.eq((state.send & self.o.ready) | (state.next & ~byte_ends)),
            state.end.eq(answered | (state.end & ~self.o.ready)),
        ]
        return m


class Link(wiring.Component):
    """A host's requests, carried out.

    A zero byte begins a request, whatever the unit is doing: what is unfinished is dropped, and an offer of `o` or `words` that
    nobody has taken is taken back. Apart from that both keep the contract of streams.
    After words of an input were taken, those of another request are refused until `control` is written.
    Bytes of `i` must come 16 cycles apart or more.

    Parameters: `board`, the word that register `board` shows (format.BOARD).
    Members: `i`, `o`, bytes from and to the host; `bus`; `words` of input tensors; `boot_failed`, to show;
    `error`: since the last zero byte, a CRC was wrong or a word was refused; `enabled`, control.enable as it was written last;
    `astray`: the byte at `i` is a zero inside a request, or another one after its end; `forget`: drop what is unfinished.
    """

    def __init__(self, board: int) -> None:
        self.board = board
        super().__init__(
            {
                "i": In(stream.Signature(BYTE_BITS)),
                "o": Out(stream.Signature(BYTE_BITS)),
                "bus": Out(BusSignature()),
                "words": Out(stream.Signature(WORD_BITS)),
                **{name: In(1) for name in ("boot_failed", "forget")},
                **{name: Out(1) for name in ("error", "enabled", "astray")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = Decoder()
        exchange = Exchange(self.board)
        m.submodules.exchange = ResetInserter(decoder.start | self.forget)(exchange)
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        wiring.connect(m, exchange.o, wiring.flipped(self.o))
        wiring.connect(m, exchange.bus, wiring.flipped(self.bus))
        wiring.connect(m, exchange.words, wiring.flipped(self.words))
        enabled, given = Signal(), Signal()
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += given.eq(1)
        written = self.bus.valid & self.bus.ready & self.bus.write
        with m.If(written & (self.bus.address == REGISTERS["control"])):
            m.d.sync += [enabled.eq(self.bus.write_data[CONTROL.places["enable"][1]]), given.eq(0)]
        m.d.comb += [
            exchange.valid.eq(decoder.valid),
            exchange.bit.eq(decoder.bit),
            exchange.more_bytes.eq(self.i.valid),
            exchange.enabled.eq(enabled),
            exchange.given.eq(given),
            exchange.boot_failed.eq(self.boot_failed),
            self.error.eq(exchange.error),
            self.enabled.eq(enabled),
            self.astray.eq(decoder.start ^ (self.i.valid & exchange.complete)),
        ]
        return m
