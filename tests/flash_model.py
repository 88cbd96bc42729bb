"""A serial NOR flash behind a board's pins, as data sheets describe it: mode 0, commands 03h and ABh, asleep at first."""

from __future__ import annotations

from typing import Any

READ, RELEASE = 0x03, 0xAB
ERASED = 0xFF
WAKING = 200
"""Cycles from ABh to the end of the sleep."""


def flash(pins: Any, content: bytes, address: int) -> Any:
    """A background testbench that plays a flash with `content` at `address`, erased around it; `pins` as FlashSignature."""

    def byte(place: int) -> int:
        return content[place - address] if 0 <= place - address < len(content) else ERASED

    async def testbench(ctx: Any) -> None:
        # Bits shifted in since it was selected; cycles until it is awake, none where it sleeps for ever.
        bits: list[int] = []
        clock, waking = 0, None
        async for _, _, cs, clk, copi in ctx.tick().sample(pins.cs, pins.clk, pins.copi):
            waking = waking if waking is None else max(waking - 1, 0)
            if not cs:
                waking = WAKING if waking is None and number(bits[:8]) == RELEASE and len(bits) >= 8 else waking
                bits = []
            elif clk and not clock:
                bits.append(copi)
            elif clock and not clk and waking == 0 and len(bits) >= 32 and number(bits[:8]) == READ:
                place, bit = divmod(len(bits) - 32, 8)
                ctx.set(pins.cipo, byte(number(bits[8:32]) + place) >> (7 - bit) & 1)
            clock = clk

    return testbench


def number(bits: list[int]) -> int:
    """Bits, high one first."""
    return int("".join(map(str, bits)) or "0", 2)
