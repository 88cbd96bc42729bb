"""Memories against a list of words, without reads and writes that meet, of which nothing is promised."""

import re
from random import Random

import circuits
import pytest

from galton_boards.device import DEVICES
from galton_boards.synth import synthesize
from galton_hw import verilog
from galton_hw.memory import DualPortMemory, OnePortMemory, TwoPortMemory, bank_sizes


@pytest.mark.parametrize(("depth", "width", "style"), [(2, 1, "distributed"), (5, 33, "block"), (64, 8, "block")])
def test_two_ports(depth, width, style):
    rng = Random(f"{depth} {width}")
    words, stimuli, expected, word = [0] * depth, [], [], 0
    for _ in range(300):
        stimulus = {"write": rng.getrandbits(1), "write_address": rng.randrange(depth), "write_data": rng.getrandbits(width)}
        stimulus |= {"read": rng.getrandbits(1), "read_address": rng.randrange(depth)}
        if stimulus["write"] and stimulus["read_address"] == stimulus["write_address"]:
            stimulus["read"] = 0
        expected.append(word)
        if stimulus["read"]:
            word = words[stimulus["read_address"]]
        if stimulus["write"]:
            words[stimulus["write_address"]] = stimulus["write_data"]
        stimuli.append(stimulus)
    seen = circuits.run(TwoPortMemory(depth, width, style), stimuli, ["read_data"])
    assert TwoPortMemory.latency == 1
    assert [cycle["read_data"] for cycle in seen] == expected


@pytest.mark.parametrize(("depth", "width"), [(2, 1), (100, 40), (1024, 3), (1900, 8), (513, 2)])
def test_one_port(depth, width):
    rng = Random(f"{depth} {width}")
    words, stimuli, expected, word = [0] * depth, [], [], None
    places = rng.sample(range(depth), min(depth, 12))
    for _ in range(300):
        stimulus = {"write": rng.getrandbits(1), "address": rng.choice(places), "write_data": rng.getrandbits(width)}
        expected.append(word)
        word = None if stimulus["write"] else words[stimulus["address"]]
        if stimulus["write"]:
            words[stimulus["address"]] = stimulus["write_data"]
        stimuli.append(stimulus)
    seen = circuits.run(OnePortMemory(depth, width), stimuli, ["read_data"])
    assert OnePortMemory.latency == 1
    assert expected.count(None) < 200
    assert [cycle["read_data"] for cycle, due in zip(seen, expected, strict=True) if due is not None] == [
        due for due in expected if due is not None
    ]


def test_every_bank_can_be_read_in_reset():
    """As the host reads weights, while the groups are held in reset."""
    places = [0, 511, 512, 699]
    stimuli = [{"write": 1, "address": place, "write_data": place} for place in places]
    stimuli += [{"write": 0, "address": place} for place in [*places, 0]]
    seen = circuits.run(circuits.Resting(OnePortMemory(700, 16)), stimuli, ["read_data"])
    assert [cycle["read_data"] for cycle in seen[len(places) + 1 :]] == places


@pytest.mark.parametrize(("depth", "width"), [(2, 1), (40, 32), (1900, 8)])
def test_dual_port(depth, width):
    rng = Random(f"{depth} {width}")
    words, stimuli, expected, word, scanned = [0] * depth, [], [], None, None
    places = rng.sample(range(depth), min(depth, 40))
    for _ in range(400):
        stimulus = {"write": rng.getrandbits(1), "address": rng.choice(places), "write_data": rng.getrandbits(width)}
        stimulus |= {"scan_address": rng.choice(places)}
        expected.append((word, scanned))
        met = stimulus["write"] and stimulus["address"] == stimulus["scan_address"]
        word = None if stimulus["write"] else words[stimulus["address"]]
        scanned = None if met else words[stimulus["scan_address"]]
        if stimulus["write"]:
            words[stimulus["address"]] = stimulus["write_data"]
        stimuli.append(stimulus)
    seen = circuits.run(DualPortMemory(depth, width), stimuli, ["read_data", "scan_data"])
    assert DualPortMemory.latency == 1
    for name, due in zip(("read_data", "scan_data"), zip(*expected, strict=True), strict=True):
        known = [time for time, value in enumerate(due) if value is not None]
        assert len(known) > 100
        assert [seen[time][name] for time in known] == [due[time] for time in known]


def test_banks_are_powers_of_two_that_add_up():
    assert [bank_sizes(depth) for depth in (2, 512, 700, 5632, 16384)] == [[2], [512], [512, 188], [4096, 1024, 512], [16384]]


@pytest.mark.build
def test_banks_take_as_few_blocks_as_hold_the_bits(tmp_path):
    synthesize(OnePortMemory(5632, 32), DEVICES["ecp5-25"], tmp_path)
    assert re.search(r"(\d+)\s+DP16KD", (tmp_path / "stat.txt").read_text())[1] == "11"


@pytest.mark.build
def test_dual_port_takes_no_more_blocks(tmp_path):
    blocks = []
    for part in (OnePortMemory(18432, 32), DualPortMemory(18432, 32)):
        synthesize(part, DEVICES["ecp5-25"], tmp_path)
        blocks.append(re.search(r"(\d+)\s+DP16KD", (tmp_path / "stat.txt").read_text())[1])
    assert blocks == ["36", "36"]


@pytest.mark.parametrize(("width", "blocks"), [(16, 1), (18, 2), (32, 2)])
def test_one_port_takes_single_port_rams(width, blocks):
    assert verilog.convert(OnePortMemory(1 << 14, width, "ice40"), "memory").count("SB_SPRAM256KA") == blocks


@pytest.mark.parametrize(("depth", "width"), [(1, 8), (8, 0)])
def test_sizes_are_checked(depth, width):
    with pytest.raises(ValueError, match=f"A memory needs at least 2 words of 1 bit, not {depth} of {width}"):
        TwoPortMemory(depth, width)


def test_technology_is_checked():
    with pytest.raises(ValueError, match=r"tech must be one of \('generic', 'ice40'\), not 'ecp5'"):
        OnePortMemory(16, 16, "ecp5")


def test_single_port_rams_have_an_end():
    with pytest.raises(ValueError, match="A single-port RAM of the UP5K holds 16384 words, not 16385"):
        OnePortMemory(16385, 16, "ice40")
