"""A stream through registers both ways, under stalls on both sides."""

from random import Random

import pytest

from galton_hw.relay import Relay
from galton_sim import streams


@pytest.mark.parametrize("stall", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("seed", range(2))
def test_relay(stall, seed):
    rng = Random(f"{stall} {seed}")
    items = [rng.getrandbits(8) for _ in range(120)]
    transfers = streams.run(Relay(8), inputs={"i": items}, outputs={"o": len(items)}, stall=stall, seed=seed)
    assert transfers.values["o"] == items
    behind = [later - sooner for sooner, later in zip(transfers.times["i"], transfers.times["o"], strict=True)]
    assert min(behind) == Relay.latency
    if not stall:
        assert transfers.times["o"] == list(range(Relay.latency, Relay.latency + len(items)))
