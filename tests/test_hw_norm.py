"""The norm of words that come every fourth cycle or later, against arith.norm."""

from random import Random

import circuits
import pytest

from galton import arith
from galton.format import WORD_BYTES
from galton_hw.norm import Norm


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("dead_zone", "gap"), [(0, 0.0), (1, 0.5), (77, 0.3), (128, 0.0), (255, 0.5)])
def test_totals(signed, dead_zone, gap):
    rng = Random(f"{signed} {dead_zone}")
    octets = [0, 127, 128, 129, 255] + [rng.getrandbits(8) for _ in range(115)]
    stimuli, idle = [], {"write": 0, "clear": 0}
    for place in range(0, len(octets), WORD_BYTES):
        while rng.random() < gap:
            stimuli.append({"word": rng.getrandbits(32)})
        stimuli.append({"write": 1, "word": int.from_bytes(bytes(octets[place : place + WORD_BYTES]), "little")})
        stimuli += [{"word": rng.getrandbits(32)}] * (WORD_BYTES - 1)
    stimuli += [{}] * (Norm.latency - WORD_BYTES + 1)
    stimuli[0] |= {"signed_raw": signed, "dead_zone": dead_zone}
    seen = circuits.run(Norm(), [*stimuli, {"clear": 1}, {}], ["total"], idle=idle)
    raw = [octet - 256 if signed and octet > 127 else octet for octet in octets]
    assert seen[-2]["total"] == arith.norm(raw, dead_zone)
    assert seen[-1]["total"] == 0


def test_latency():
    seen = circuits.run(Norm(), [{"write": 1, "word": 0x01010101}, *[{}] * 6], ["total"], idle={"write": 0})
    totals = [cycle["total"] for cycle in seen]
    assert totals.index(WORD_BYTES) == Norm.latency
    assert totals[-1] == WORD_BYTES


def test_clearing_leaves_what_comes_after():
    stimuli = [{"write": 1, "word": 0xFFFFFFFF}, {}, {}, {}, {}, {"clear": 1}, {"write": 1, "word": 7}, *[{}] * Norm.latency]
    seen = circuits.run(Norm(), stimuli, ["total"], idle={"write": 0, "clear": 0})
    assert [seen[5]["total"], seen[6]["total"], seen[-1]["total"]] == [4 * 255, 0, 7]
