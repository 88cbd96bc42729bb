"""An image from the flash at power-up: loaded if it is good, refused if it is not, and the line works afterwards."""

from __future__ import annotations

from random import Random

import circuits
import pytest
from flash_model import flash
from link_model import Bus

from galton.format import CONTROL, REGISTERS, boot_word
from galton.link.flash import REVERSED, recorded
from galton.link.frames import Request
from galton_hw.link.boot import BYTE_CYCLES, Boot
from galton_hw.link.core import SerialLink
from galton_hw.link.uart import MINIMUM_DIVIDER

ADDRESS, DIGEST = 0x123456, 0xABCDEF01
DATA = [0x01020304, 0, 0x00AA0055]
LOAD = [
    Request(REGISTERS["memory_data"], words=DATA, select=3, address=0x77),
    Request(REGISTERS["memory_data"], words=DATA[::-1], select=5),
]
ENABLE = Request(REGISTERS["control"], words=CONTROL.pack({"enable": 1}))
GOOD = recorded(DIGEST, [*LOAD, ENABLE])
MEMORY = {(3, 0x77 + index): word for index, word in enumerate(DATA)} | {
    (5, index): word for index, word in enumerate(DATA[::-1])
}


def boot(content: bytes) -> tuple[Bus, bool]:
    """Power up with `content` in the flash and wait for the end; the bus after it, and whether it failed."""
    return timed(content)[:2]


def timed(content: bytes) -> tuple[Bus, bool, int]:
    """The same, and the cycles that it took."""
    bus, dut = Bus(DIGEST), SerialLink(MINIMUM_DIVIDER, boot=(ADDRESS, boot_word(DIGEST)))
    failed, taken, rng = [], [], Random(len(content))

    async def core(ctx):
        async for _, _, valid, write, address, value in ctx.tick().sample(
            dut.bus.valid, dut.bus.write, dut.bus.address, dut.bus.write_data
        ):
            if valid and write:
                if address == REGISTERS["memory_position"]:
                    bus.select, bus.address = value & 0xFF, value >> 8
                else:
                    bus.write(address, value)

    async def testbench(ctx):
        ctx.set(dut.bus.ready, 1)
        cycles, limit = 0, 130 * MINIMUM_DIVIDER + BYTE_CYCLES * (len(content) + 16)
        async for _, _, active, tx in ctx.tick().sample(dut.boot.active, dut.tx):
            assert tx, "an answer left"
            # Whatever the serial line does meanwhile.
            ctx.set(dut.rx, rng.getrandbits(1))
            cycles += 1
            if not active or cycles == limit:
                break
        assert cycles < limit, "the boot goes on"
        ctx.set(dut.rx, 1)
        taken.append(cycles)
        for _ in range(400):
            *_, tx = await ctx.tick().sample(dut.tx)
            assert tx, "an answer left"
        failed.append(bool(ctx.get(dut.boot_failed)))
        assert not ctx.get(dut.flash.cs)

    circuits.simulate(dut, testbench, background=[flash(dut.flash, content, ADDRESS), core])
    return bus, failed[0], taken[0]


def test_a_good_image_is_loaded():
    bus, failed = boot(GOOD)
    assert (bus.memory, bus.enabled, failed) == (MEMORY, 1, False)


def test_each_byte_takes_its_cycles():
    taken = [timed(recorded(DIGEST, [Request(REGISTERS["status"], words=[7] * count), ENABLE]))[2] for count in (1, 2)]
    assert taken[1] - taken[0] == 4 * BYTE_CYCLES


def test_an_erased_flash_is_no_failure():
    bus, failed = boot(b"")
    assert (bus.memory, bus.enabled, failed) == ({}, 0, False)


def test_an_image_for_another_configuration_is_not_read():
    bus, failed = boot(recorded(DIGEST ^ 1, [*LOAD, ENABLE]))
    assert (bus.memory, bus.enabled, failed) == ({}, 0, True)


FRAME = len(LOAD[0].pack(0))
WRONG = {
    "a bit of a header": GOOD[:6] + bytes([GOOD[6] ^ 4]) + GOOD[7:],
    "a zero among the last words": GOOD[: FRAME - 3] + b"\0" + GOOD[FRAME - 2 :],
    "no zero between requests": GOOD[: FRAME + 3] + b"\x80" + GOOD[FRAME + 4 :],
}
"""More of them, and faster, in sim/test_boot.py."""
assert GOOD[FRAME + 3] == 0


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_bad_image_is_refused(content):
    bus, failed = boot(content)
    assert (bus.enabled, failed) == (0, True)


def test_the_flash_gives_the_bits_of_the_line():
    assert REVERSED[0b00010011] == 0b11001000
    assert bytes(REVERSED[value] for value in REVERSED) == bytes(range(256))


@pytest.mark.parametrize("address", [-1, 1 << 24])
def test_addresses_that_no_flash_has(address):
    with pytest.raises(ValueError, match="An image's address in the flash is below 0x1000000"):
        Boot(address, 0)
