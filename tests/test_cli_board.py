"""Commands that talk to a board, against the model of one behind a pseudo-terminal: what they say, and what they refuse."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from networks import random_network

from galton.cli.monitor import Seen, picture
from galton.cli.ports import latency
from galton.compiler import compile as compile_network
from galton.config import named
from galton.errors import PortError
from galton.format import MEMORY_DATA, REGISTERS
from galton.image import Image
from galton.link.flash import flash_image
from galton.link.line import SerialLine

CONFIG = named("tiny")


@pytest.fixture
def image(tmp_path) -> Path:
    """A file with an image for tiny."""
    path = tmp_path / "net.galton"
    compile_network(random_network(1, CONFIG), CONFIG).image.save(path)
    return path


@pytest.fixture
def port(terminal) -> str:
    """The port of a board of configuration tiny."""
    terminal.bus.digest = CONFIG.digest
    return terminal.path


def test_load_writes_the_memories(capsys, terminal, port, image) -> None:
    code, out, _ = call(capsys, "load", image, "--port", port, "--json")
    facts = json.loads(out)
    assert (code, facts["configuration"], facts["digest"]) == (0, "tiny", f"{CONFIG.digest:08x}")
    assert (facts["clock"], facts["repeated"], facts["boot_failed"]) == (24e6, 0, False)
    program_words = Image.load(image).program.tolist()
    assert [terminal.bus.memory[MEMORY_DATA, place] for place in range(len(program_words))] == program_words
    code, out, _ = call(capsys, "load", image, "--port", port)
    assert code == 0
    assert f"at {port}: tiny, 24 MHz\nLoaded random-1 in" in out


def test_load_writes_a_file_for_the_flash(capsys, image, tmp_path) -> None:
    path = tmp_path / "net.bin"
    assert call(capsys, "load", image, "--flash", path)[0] == 0
    assert path.read_bytes() == flash_image(Image.load(image))
    code, out, _ = call(capsys, "load", image, "--flash", path, "--json")
    assert (code, json.loads(out)["bytes"]) == (0, path.stat().st_size)


@pytest.mark.parametrize("options", [(), ("--port", "nowhere", "--flash", "net.bin")])
def test_load_wants_one_destination(capsys, image, options) -> None:
    code, _, err = call(capsys, "load", image, *options)
    assert code == 2
    assert "Give either --port or --flash" in err


def test_counters(capsys, terminal, port) -> None:
    code, out, _ = call(capsys, "counters", "--port", port, "--json")
    facts = json.loads(out)
    assert (code, facts["counters"]["events"]) == (0, 0xABCD0000 + REGISTERS["events"])
    assert facts["status"] == {"busy": 0, "saturated": 0, "layer": 0}
    code, out, _ = call(capsys, "counters", "--port", port)
    assert code == 0
    assert "at rest, 0 layers done" in out
    assert f"{facts['counters']['cycles']:,}" in out


def test_a_board_that_does_not_say_its_clock() -> None:
    facts = {"port": "here", "board": "mine", "configuration": "tiny", "boot_failed": False, "clock": 0.0}
    assert latency(facts, 480) is None
    assert latency(facts | {"clock": 24e6}, 480) == 20e-6
    status, counters = {"busy": 0, "layer": 1, "saturated": 0}, {"cycles": 480}
    seen = Seen(time.monotonic(), 1, 1, status, counters, counters)
    assert "ms an inference" not in str(picture(facts, seen, 0).renderables)
    assert "0.020 ms an inference" in str(picture(facts | {"clock": 24e6}, seen, 0).renderables)


def test_run_is_for_a_board_that_holds_the_image(capsys, terminal, port, image, tmp_path) -> None:
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, np.zeros((1, *Image.load(image).meta["input"]["shape"])))
    code, _, err = call(capsys, "run", image, inputs, "--port", port, "--loaded")
    assert code == 1
    assert f"The board at {port} does not hold random-1: load it" in err


@pytest.mark.parametrize("option", [["--loaded"], ["--board", "icebreaker"]])
def test_what_is_for_a_board_needs_its_port(capsys, image, option) -> None:
    code, _, err = call(capsys, "run", image, image, *option)
    assert code == 2
    assert f"{option[0]} is for a board: give its --port" in err


def test_serve_knows_its_boards(capsys) -> None:
    code, out, err = call(capsys, "serve", "nonesuch", "--json")
    assert (code, json.loads(out)["error"]) == (2, "UnknownName")
    assert "There is no board 'nonesuch'; the known ones are icebreaker" in err


@pytest.mark.parametrize(("leads", "stays"), [("/dev/pts/99999", False), ("/nowhere", True), ("here", True)])
def test_a_link_that_is_in_the_way_of_another(capsys, monkeypatch, tmp_path, leads, stays) -> None:
    """Before the board is built; a terminal that is gone is in nobody's way."""
    (tmp_path / "here").touch()
    (tmp_path / "link").symlink_to(leads)

    def build(name: str, flash: bytes) -> None:
        raise PortError("built")

    monkeypatch.setattr("galton_boards.simulated.line", build)
    code, _, err = call(capsys, "serve", "icebreaker", "--link", tmp_path / "link")
    assert (code, (tmp_path / "link").is_symlink()) == ((2, True) if stays else (1, False))
    assert (f"something called {tmp_path / 'link'} already" in err) == stays


REFUSED = {
    "another configuration": (lambda terminal: setattr(terminal.bus, "digest", 5), (), "has configuration digest 00000005"),
    "another kind of board": (
        lambda terminal: None,
        ("--board", "icebreaker"),
        "is ulx3s-85f, not icebreaker: is it the right port?",
    ),
    "no board of that name": (lambda terminal: None, ("--board", "nonesuch"), "There is no board 'nonesuch'"),
}


@pytest.mark.parametrize(("change", "options", "words"), REFUSED.values(), ids=REFUSED)
def test_the_wrong_board_is_refused(capsys, terminal, port, image, change, options, words) -> None:
    change(terminal)
    code, out, err = call(capsys, "load", image, "--port", port, *options, "--json")
    assert code == (2 if "nonesuch" in options else 1)
    assert words in err
    assert words in json.loads(out)["message"]
    assert not terminal.bus.memory


def test_a_port_that_is_in_use(capsys, port) -> None:
    line = SerialLine(port)
    code, out, err = call(capsys, "counters", "--port", port, "--json")
    line.close()
    assert (code, json.loads(out)["error"]) == (1, "PortError")
    assert f"Cannot open {port}" in err


@pytest.mark.parametrize(
    ("name", "code", "words"), [("sim:nonesuch", 2, "no board 'nonesuch'"), ("nowhere", 1, "Cannot open nowhere")]
)
def test_ports_that_are_not_there(capsys, name, code, words) -> None:
    found, _, err = call(capsys, "counters", "--port", name)
    assert (found, words in err) == (code, True)


def test_monitor_looks_on(capsys, terminal, port) -> None:
    code, out, _ = call(capsys, "monitor", "--port", port, "--for", "0")
    assert code == 0
    assert "at rest, 0 layers done" in out
    assert f"{0xABCD0000 + REGISTERS['events']:,}" in out
    code, out, _ = call(capsys, "monitor", "--port", port, "--for", "0", "--json")
    facts = json.loads(out)
    assert (code, facts["inferences"], facts["counters"]["events"]) == (0, 0, 0xABCD0000 + REGISTERS["events"])


def test_monitor_wants_image_and_inputs(capsys, port, image) -> None:
    code, _, err = call(capsys, "monitor", "--port", port, "--image", image)
    assert code == 2
    assert "--image and --inputs go together" in err


def test_selftest_of_a_board_that_is_too_new(capsys, terminal, port) -> None:
    terminal.bus.digest = 5
    code, out, _ = call(capsys, "selftest", "--port", port)
    assert code == 1
    assert "failed" in out
    assert "no configuration of this version has digest 00000005" in out
    code, out, _ = call(capsys, "selftest", "--port", port, "--json")
    assert (code, json.loads(out)["passed"]) == (1, False)
