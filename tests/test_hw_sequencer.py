"""The sequencer on random networks' programs: what it loads, when each layer runs, what goes in and out."""

from itertools import pairwise
from random import Random

import circuits
import networks
import numpy as np
import pytest

from galton import compile, cycles, decode
from galton.format import NETWORK, PROFILE, ROW
from galton_hw.divider import StepDivider
from galton_hw.sequencer import Sequencer
from galton_sim import streams

CONFIG = networks.EVERY["three-by-five"]
INFERENCES = 2
WATCHED = [
    "sweep",
    "sweep_word",
    "running",
    "finished",
    "table_write",
    "load",
    "load_bias",
    "load_multiplier",
    "load_index",
    "divide",
    "counting",
    "begin",
    "busy",
    "loading",
    "write",
    "norm_clear",
    "norm_take",
    "layers_done",
    "read_data",
    "layer",
    "owns_memory",
]


class Engine:
    """What surrounds the sequencer: memory, an engine that runs for a while, the divider, the norm, the counters."""

    def __init__(self, image, seed):
        self.rng = Random(f"engine {seed}")
        self.dut, self.seen = Sequencer(image.config), []
        program = image.program.tolist()
        self.memory = program + [self.rng.getrandbits(32) for _ in range(image.config.data_words - len(program))]
        self.durations = [
            self.rng.randrange(1, 9) + (image.config.data_ports == 2) * 99 for _ in image.meta["layers"] * INFERENCES
        ]

    async def run_layers(self, ctx):
        """`finished` in the last of the cycles that a layer runs."""
        dut, durations, left = self.dut, list(self.durations), None
        async for _, _, running, finished in ctx.tick().sample(dut.running, dut.finished):
            if running and not finished:
                left = (durations.pop(0) if left is None else left) - 1
            elif finished:
                left = None
            ctx.set(dut.finished, left == 0)

    async def divide(self, ctx):
        left = 0
        async for _, _, divide in ctx.tick().sample(self.dut.divide):
            left = StepDivider.latency if divide else max(left - 1, 0)
            ctx.set(self.dut.divided, left == 1)

    async def second_port(self, ctx):
        async for _, _, address in ctx.tick().sample(self.dut.second_address):
            ctx.set(self.dut.second_data, self.memory[address % len(self.memory)])

    async def count(self, ctx):
        """Counter number i reads as 100 + i, the next one two cycles after each turn; nonsense in a run and the cycle after."""
        dut, index, before, ran = self.dut, 0, 0, False
        async for *_, turn, running in ctx.tick().sample(dut.counter_turn, dut.running):
            index, before = (index + before) % PROFILE.words, turn
            ctx.set(dut.counter, 0xBAD if running and not ran else 100 + index)
            ran = running and ctx.get(dut.running)


def run(seed, profiles=True, config=CONFIG):
    """(engine, image, input words, transfers); without `profiles` the program has no place for them."""
    network = networks.random_network(seed, config, layers=3, size=6, channels=6)
    image = compile(network, config).image
    engine, header = Engine(image, seed), decode.header(image)
    assert header["profile_base"]
    if not profiles:
        engine.memory[: NETWORK.words] = NETWORK.pack(header | {"profile_base": 0})
    inputs = [engine.rng.getrandbits(32) for _ in range(header["input_words"] * INFERENCES)]
    ports = ["second_address"] * (config.data_ports - 1)
    watched = {name: getattr(engine.dut, name) for name in WATCHED + ports}
    memory = circuits.data_memory(engine.dut, engine.memory, seed, "owns_memory")
    others = [engine.run_layers, engine.divide, engine.count] + [engine.second_port] * (config.data_ports - 1)
    transfers = streams.run(
        engine.dut,
        inputs={"i": inputs},
        outputs={"o": header["output_words"] * INFERENCES},
        stall=0.3 if seed % 2 else 0.0,
        seed=seed,
        background=[memory, *others, circuits.monitor(watched, engine.seen)],
    )
    return engine, image, inputs, transfers


def arrived(seen, name):
    """(index, word) of every word that came while `name` was set."""
    return [(cycle["load_index"], cycle["read_data"]) for cycle in seen if cycle[name]]


@pytest.mark.parametrize("profiles", [True, False], ids=["profiles", "no profiles"])
@pytest.mark.parametrize(("seed", "name"), [(0, "three-by-five"), (1, "three-by-five"), (2, "fours-odd"), (3, "fours-odd")])
def test_inferences(seed, name, profiles):
    config = networks.EVERY[name]
    engine, image, inputs, transfers = run(seed, profiles, config)
    header, layers, seen = decode.header(image), decode.parse(image), engine.seen

    # Every accumulator word is swept once, before anything else.
    assert [cycle["sweep_word"] for cycle in seen if cycle["sweep"]] == list(range(config.accumulator_words))

    # The last input stands in memory, and both outputs are what stood in the output's place.
    count, base = header["input_words"], header["input_base"]
    assert engine.memory[base : base + count] == inputs[-count:]
    place = engine.memory[header["output_base"] : header["output_base"] + header["output_words"]]
    assert transfers.values["o"][-header["output_words"] :] == place

    # Each layer: its record, rows and channels in place before it runs, its cycles as predicted.
    runs = [index for index, cycle in enumerate(seen) if cycle["running"] and not seen[index - 1]["running"]]
    assert len(runs) == len(layers) * INFERENCES
    before = 0
    for number, start in enumerate(runs):
        parsed = layers[number % len(layers)]
        part = seen[before:start]
        assert {name: seen[start]["layer"][name] for name in parsed.layer} == parsed.layer
        channels = list(zip((parsed.bias & 0xFFFFFFFF).tolist(), parsed.multiplier.tolist(), strict=True))
        assert arrived(part, "table_write") == [(y, *ROW.pack(row)) for y, row in enumerate(parsed.rows)]
        if config.data_ports == 2:
            # CHANNELs while the layer runs.
            assert not any(cycle["load"] for cycle in part)
            end = next(index for index in range(start, len(seen)) if not seen[index]["running"])
            loads = seen[start:end]
            assert sum(cycle["load"] for cycle in loads) == cycles.loading(parsed)
            assert all(cycle["owns_memory"] == cycle["load"] for cycle in loads)
        else:
            loads = part
        for place, name in enumerate(("load_bias", "load_multiplier")):
            assert arrived(loads, name) == [(index, both[place]) for index, both in enumerate(channels)]
        assert all(cycle["load"] for cycle in loads if cycle["load_bias"] or cycle["load_multiplier"])
        assert sum(cycle["divide"] for cycle in part) == parsed.layer["dynamic"]
        end = next(index for index in range(start, len(seen)) if not seen[index]["running"])
        counted = sum(cycle["counting"] for cycle in seen[before:end])
        assert counted == cycles.setup(parsed, image.config) + end - start
        assert seen[end]["layers_done"] == number % len(layers) + 1
        before = end

    assert sum(cycle["begin"] for cycle in seen) == INFERENCES
    size = PROFILE.words * len(layers)
    records = engine.memory[header["profile_base"] : header["profile_base"] + size]
    assert (records == [100 + index for index in range(PROFILE.words)] * len(layers)) == profiles
    writes = sum(cycle["write"] for cycle in seen)
    assert writes == (header["input_words"] + profiles * size) * INFERENCES


@pytest.mark.parametrize(("name", "gap"), [("three-by-five", 5), ("fours-odd", 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_norm_of_the_input(seed, name, gap):
    """The norm is cleared before an input, taken when the last of its words has been counted, four cycles after it."""
    engine, _, _, transfers = run(seed, config=networks.EVERY[name])
    seen = engine.seen
    begin = next(index for index, cycle in enumerate(seen) if cycle["begin"])
    loads = [index for index, cycle in enumerate(seen[:begin]) if cycle["loading"] and cycle["write"]]
    assert begin - loads[-1] == 4
    assert all(after - before >= gap for before, after in pairwise(loads))
    assert any(cycle["norm_clear"] for cycle in seen[: loads[0]])
    assert not any(cycle["norm_clear"] for cycle in seen[loads[0] : begin + 1])
    assert seen[begin + 1]["norm_clear"] and seen[begin + 1]["norm_take"]
    if len(transfers.times["i"]) > 1:
        assert np.diff(transfers.times["i"]).min() == gap
