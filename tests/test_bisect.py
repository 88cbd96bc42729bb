"""Faults in one layer of what hardware is given, and whether the search names the layer and the place."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from networks import EVERY, random_inputs, random_network, residual_network

from galton import decode, golden
from galton.cli import main as program
from galton.compiler import compile
from galton.errors import HardwareMismatch
from galton.format import CHANNEL, LAYER, NETWORK, ROW
from galton.image import Image
from galton_sim import bisect, simulate

NETWORKS = {"chain": random_network, "sums": residual_network}


def other_bias(image: Image, index: int) -> Image:
    """The image with another bias in the first channel of a layer."""
    position = NETWORK.words
    layers = decode.parse(image)
    for parsed in layers[:index]:
        position += LAYER.words + ROW.words * len(parsed.rows) + CHANNEL.words * len(parsed.bias)
    position += LAYER.words + ROW.words * len(layers[index].rows)
    program = image.program.copy()
    bias = CHANNEL.unpack(program[position : position + CHANNEL.words].tolist())
    # Far enough for the raw output to change, and away from where it may be cut.
    bias["bias"] += (-40 if bias["bias"] > 0 else 40) << layers[index].shift
    program[position : position + CHANNEL.words] = CHANNEL.pack(bias)
    return replace(image, program=program)


def run_with_fault(index: int, part: Image, raw: np.ndarray) -> np.ndarray:
    """Outputs of the first layers of a network, one of whose layers, where it is among them, has another bias."""
    return golden.run(other_bias(part, index) if index < len(part.meta["layers"]) else part, raw)


def first_difference(image: Image, faulty: Image, raw: np.ndarray) -> tuple[int, np.ndarray, np.ndarray] | None:
    """The first layer whose outputs differ, found layer by layer, and its outputs."""
    for index, (due, found) in enumerate(zip(golden.trace(image, raw), golden.trace(faulty, raw), strict=True)):
        if (due.outputs != found.outputs).any():
            return index, due.outputs[0], found.outputs[0]
    return None


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", ["tiny", "ecp5-25", "ecp5-85"])
def test_the_layer_and_the_place_are_those_of_the_fault(name, kind) -> None:
    told = 0
    for seed in range(3):
        network = NETWORKS[kind](seed, EVERY[name])
        image, raw = compile(network, EVERY[name]).image, random_inputs(seed, network, 1)
        for index in range(len(network.layers)):
            faulty = other_bias(image, index)
            found = bisect.locate(image, raw, partial(run_with_fault, index))
            expected = first_difference(image, faulty, raw)
            if found is None:
                assert (golden.run(image, raw) == golden.run(faulty, raw)).all()
                continue
            assert expected is not None
            told += 1
            assert found.index == index == expected[0]
            assert found.layer == network.layers[index].name
            assert (found.golden.reshape(-1) == expected[1].reshape(-1)).all()
            assert (found.hardware.reshape(-1) == expected[2].reshape(-1)).all()
            places = np.argwhere(found.golden != found.hardware)
            assert (found.places == places).all()
            row, column, channel = places[0]
            assert f"row {row}, column {column}, channel {channel} " in str(found)
    assert told >= 3


def test_without_a_fault_there_is_no_difference() -> None:
    network = random_network(2, EVERY["tiny"])
    image = compile(network, "tiny").image
    assert bisect.locate(image, random_inputs(2, network, 1), golden.run) is None


def test_a_truncated_network_gives_every_layer_s_tensor() -> None:
    network = residual_network(3, EVERY["tiny"])
    image, raw = compile(network, "tiny").image, random_inputs(3, network, 2)
    for index, trace in enumerate(golden.trace(image, raw)):
        assert (golden.run(bisect.truncated(image, index), raw) == trace.outputs).all()


def test_a_layer_that_hangs_is_named() -> None:
    network = residual_network(5, EVERY["tiny"])
    image, raw = compile(network, "tiny").image, random_inputs(5, network, 1)

    def run(part: Image, inputs: np.ndarray) -> np.ndarray:
        if len(part.meta["layers"]) > 1:
            raise HardwareMismatch("it did not end")
        return golden.run(part, inputs)

    found = bisect.locate(image, raw, run)
    assert str(found) == f"Layer {network.layers[1].name} (number 1) gives nothing in hardware: it did not end"


@pytest.mark.cosim
def test_the_command_names_the_layer_and_writes_both_sides(tmp_path, capsys) -> None:
    network = random_network(4, EVERY["tiny"])
    image, raw = compile(network, "tiny").image, random_inputs(4, network, 3)
    image.save(tmp_path / "net.galton")
    np.save(tmp_path / "raw.npy", raw)
    text = simulate.core_text(image.config)
    same = ["simulate", str(tmp_path / "net.galton"), str(tmp_path / "raw.npy"), "--raw", "--bisect"]
    assert program.run(same) == 0
    assert "Nothing differs: all outputs and all counters agree" in capsys.readouterr().out
    (tmp_path / "broken.v").write_text(mutated(text))
    assert program.run([*same, "--verilog", str(tmp_path / "broken.v")]) == 1
    said = capsys.readouterr().out
    place = re.search(r"Inference (\d+): Layer (\S+) .* row (\d+), column (\d+), channel (\d+) ", said)
    assert place is not None
    dump = np.load(tmp_path / "net.mismatch.npz")
    row, column, channel = map(int, place.groups()[2:])
    assert dump["hardware"][row, column, channel] != dump["golden"][row, column, channel]
    names = [layer.name for layer in network.layers]
    traced = golden.trace(image, dump["input"][None])[names.index(place[2])]
    assert (dump["golden"].reshape(-1) == traced.outputs.reshape(-1)).all()


def mutated(text: str) -> str:
    """The Verilog of a core that stores its biases with a bit turned over."""
    start = text.index("module \\galton_core.drain.rescale.biases_0 ")
    end = text.index("endmodule", start)
    wrong = text[start:end].replace("<= write_data;", "<= write_data ^ 32'h00200000;")
    assert wrong != text[start:end]
    return text[:start] + wrong + text[end:]
