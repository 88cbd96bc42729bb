"""Loadable counters: the sums that `up` and `down` promise."""

import circuits
import pytest
from amaranth.hdl import Elaboratable, Module, Mux, Signal

from galton_hw.counting import down, up


class Counter(Elaboratable):
    """A counter of 5 bits that takes `value` where `load` is 1."""

    def __init__(self, step):
        self.step, self.load, self.value, self.count = step, Signal(), Signal(5), Signal(5)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(Mux(self.load, self.value, self.step(self.count, self.load)))
        return m


@pytest.mark.parametrize(("step", "change"), [(up, 1), (down, -1)], ids=["up", "down"])
def test_counts_and_loads(step, change):
    loads = {7: 30, 12: 1, 13: 17, 60: 0}
    stimuli = [{"load": cycle in loads, "value": loads.get(cycle, 9)} for cycle in range(100)]
    expected, count = [], 0
    for cycle in range(100):
        expected.append(count)
        count = loads[cycle] if cycle in loads else (count + change) % 32
    assert [cycle["count"] for cycle in circuits.run(Counter(step), stimuli, ["count"])] == expected
