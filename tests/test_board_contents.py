"""Contents of block RAMs, replaced in routed designs."""

import dataclasses
import json
import re

import pytest
from amaranth.back import rtlil
from networks import random_network

from galton.compiler import compile
from galton.config import CONFIGS, named
from galton.errors import GaltonError, ImageError
from galton_boards import boards, contents
from galton_boards.device import ECP5, HX, nextpnr
from galton_boards.wrapper import FewPins
from galton_hw.memory import DualPortMemory, OnePortMemory
from galton_sim import yosys
from galton_sim.yosys import SynthesisError

HX8K = dataclasses.replace(HX, arguments=("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"))
DEVICES = {"ecp5": ECP5, "hx8k": HX8K}


def routed_text(device, blocks):
    """Marked blocks as a router would write them, among others."""
    form = contents.FAMILIES[device.router]
    head = ".bram_init {}\n" if device is ECP5 else ".ram_data {} 21\n"
    shown = {name: "".join(form.shown(contents.pattern(name, form)[key]) for key in form.parameters) for name in blocks}
    other = shown[blocks[0]].replace("0", "1")
    return "".join(head.format(at) + text for at, text in enumerate([*shown.values(), other])) + ".sym 3 core\n"


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_patterns_give_way_to_contents(device):
    blocks = ["a.0", "a.1", "b.0"]
    text = routed_text(device, blocks)
    done = contents.replaced(text, device, contents.zeros(blocks, device))
    assert len(done) == len(text) and done.endswith(".sym 3 core\n")
    sections = re.split(r"^\..*$", done, flags=re.MULTILINE)[1:]
    assert [bool(set(section) - set("0 \n")) for section in sections] == [False, False, False, True, False]
    assert contents.replaced(text, device, {}) == text
    with pytest.raises(SynthesisError, match="2 of 3 memory blocks were found"):
        contents.replaced(text, device, contents.zeros(["a.0", "b.0", "c.0"], device))


def test_only_blocks_of_the_named_memories_are_marked(tmp_path):
    form = contents.FAMILIES[ECP5.router]
    zero = contents.zeros(["any"], ECP5)["any"]
    cells = {
        "linked.core.memory.bank_0.storage.0.0": {"type": "DP16KD", "parameters": zero | {"GSR": "DISABLED"}},
        "linked.core.memories.storage.0.0": {"type": "DP16KD", "parameters": zero},
        "linked.core.memory.chosen": {"type": "LUT4", "parameters": {"INIT": "01"}},
    }
    file = tmp_path / "top.json"
    file.write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    contents.mark(file, ECP5, contents.roots(named("ecp5-25"), "linked.core"))
    marked = json.loads(file.read_text())["modules"]["top"]["cells"]
    changed = [name for name in cells if marked[name] != cells[name]]
    assert changed == ["linked.core.memory.bank_0.storage.0.0"]
    assert marked[changed[0]]["parameters"] == contents.pattern(changed[0], form) | {"GSR": "DISABLED"}


@pytest.mark.parametrize("name", ["hx8k", "ecp5-25", "ecp5-25-ternary", "ecp5-85"])
def test_memories_hold_what_a_host_would_write(name):
    config = CONFIGS[name]
    image = compile(random_network(1, config, operations=5_000), config).image
    parts = contents.stored(config, image)
    assert list(parts["memory"].init) == image.program.tolist()
    assert isinstance(parts["memory"], DualPortMemory) == (config.data_ports == 2)
    for group, entries in enumerate(image.weights):
        part = parts[f"group_{group}.weights"]
        assert list(part.init) == entries and (part.depth, part.width) == (config.weight_words, config.entry_bits)
    assert not any(part.init for part in contents.stored(config, None).values())


def test_images_that_no_bitstream_holds():
    image = compile(random_network(1, named("up5k"), operations=5_000), "up5k").image
    with pytest.raises(GaltonError, match=r"single-port RAMs, which no bitstream fills.*galton flash icebreaker --network"):
        contents.check(image, boards.find("icebreaker"))
    small = compile(random_network(1, named("hx8k"), operations=2_000), "hx8k").image
    with pytest.raises(GaltonError, match="No bitstream fills the memories of tang-nano-9k: use `galton load`"):
        contents.check(small, boards.find("tang-nano-9k"))
    contents.check(small, boards.find("hx8k-breakout"))
    with pytest.raises(ImageError, match="compile it again with --target ulx3s-25f"):
        contents.check(image, boards.find("ulx3s-25f"))


def sections(text, device):
    return sorted(match[1] for match in contents.FAMILIES[device.router].section.finditer(text))


@pytest.mark.build
@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_a_patched_design_has_the_contents_of_a_fresh_one(device, tmp_path):
    """The same memories, synthesized and routed with their words, and routed with patterns that are then replaced."""
    words = [pow(3, place, (1 << 32) - 5) for place in range(1500)]

    def parts(init):
        weights = OnePortMemory(2048, 16, init=[word & 0xFFFF for word in init])
        memory = OnePortMemory(600, 32, init=init[:600]) if device is HX8K else DualPortMemory(2048, 32, init=init)
        return {"memory": memory, "group_0.weights": weights}

    texts = {}
    for name, init in (("fresh", words), ("marked", [])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "top.il").write_text(rtlil.convert(FewPins(contents.Apart(parts(init))), name="top", emit_src=False))
        yosys.run(f"read_rtlil top.il\n{device.synthesis} -json top.json\n", folder)
        if name == "marked":
            contents.mark(folder / "top.json", device, ["core.memory", "core.group_0.weights"])
        options, suffix = device.family.routed
        nextpnr(device, folder, *options, "--timing-allow-fail")
        texts[name] = (folder / f"top.{suffix}").read_text()
    made = {f"core.{place}": values for place, values in contents.contents(parts(words), device).items()}
    patched = contents.replaced(texts["marked"], device, made)
    assert sections(patched, device) == sections(texts["fresh"], device)
    assert len(sections(patched, device)) == len(made) > 5
