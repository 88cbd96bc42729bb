"""The norm of words that come as often as they may, or less, against arith.norm."""

from random import Random

import circuits
import pytest

from galton import arith
from galton.format import WORD_BYTES
from galton_hw.norm import Norm

BOTH = pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])


@BOTH
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("dead_zone", "gap"), [(0, 0.0), (1, 0.5), (77, 0.3), (128, 0.0), (255, 0.5)])
def test_totals(signed, dead_zone, gap, wide):
    rng = Random(f"{signed} {dead_zone}")
    octets = [0, 127, 128, 129, 255] + [rng.getrandbits(8) for _ in range(115)]
    stimuli, idle = [], {"write": 0, "clear": 0}
    for place in range(0, len(octets), WORD_BYTES):
        while rng.random() < gap:
            stimuli.append({"word": rng.getrandbits(32)})
        stimuli.append({"write": 1, "word": int.from_bytes(bytes(octets[place : place + WORD_BYTES]), "little")})
        if not wide:
            stimuli += [{"word": rng.getrandbits(32)}] * (WORD_BYTES - 1)
    norm = Norm(wide=wide)
    stimuli += [{}] * (norm.latency - (0 if wide else WORD_BYTES - 1))
    stimuli[0] |= {"signed_raw": signed, "dead_zone": dead_zone}
    seen = circuits.run(norm, [*stimuli, {"clear": 1}, {}], ["total"], idle=idle)
    raw = [octet - 256 if signed and octet > 127 else octet for octet in octets]
    assert seen[-2]["total"] == arith.norm(raw, dead_zone)
    assert seen[-1]["total"] == 0


@BOTH
def test_latency(wide):
    norm = Norm(wide=wide)
    seen = circuits.run(norm, [{"write": 1, "word": 0x01010101}, *[{}] * 6], ["total"], idle={"write": 0})
    totals = [cycle["total"] for cycle in seen]
    assert totals.index(WORD_BYTES) == norm.latency
    assert totals[-1] == WORD_BYTES


@BOTH
def test_clearing_leaves_what_comes_after(wide):
    stimuli = [{"write": 1, "word": 0xFFFFFFFF}, {}, {}, {}, {}, {"clear": 1}, {"write": 1, "word": 7}, *[{}] * 5]
    seen = circuits.run(Norm(wide=wide), stimuli, ["total"], idle={"write": 0, "clear": 0})
    assert [seen[5]["total"], seen[6]["total"], seen[-1]["total"]] == [4 * 255, 0, 7]
