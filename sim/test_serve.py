"""A simulated board behind a pseudo-terminal: programs that know nothing of it load and run networks there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from networks import random_inputs, random_network
from small_board import LINKED, SMALL

import galton
from galton import golden
from galton.cli import main as program
from galton.compiler import compile
from galton.config import named
from galton.link import connect
from galton.link.flash import flash_image
from galton.link.selftest import selftest
from galton_boards.boards import find
from galton_sim.board import SimulatedLine
from galton_sim.terminal import Terminal

pytestmark = pytest.mark.cosim


@pytest.fixture(params=[False, True], ids=["erased", "in the flash"])
def served(request) -> Iterator[tuple[str, bool]]:
    """A terminal that is being served, and whether the image was in the board's flash."""
    ended = threading.Event()
    with Terminal(SimulatedLine(LINKED, flash=flash_image(SMALL[0]) if request.param else b"")) as terminal:
        thread = threading.Thread(target=terminal.serve, args=(ended.is_set,))
        thread.start()
        yield terminal.path, request.param
        ended.set()
        thread.join()
        assert 0 < terminal.cycles


def test_run_on_the_command_line(capsys, tmp_path, served):
    (path, in_flash), (image, raw) = served, SMALL
    image.save(tmp_path / "net.galton")
    np.save(tmp_path / "inputs.npy", raw)
    files = [str(tmp_path / "net.galton"), str(tmp_path / "inputs.npy"), "--raw", "--port", path, "--json"]
    code = program.run(["run", *files, *["--loaded"] * in_flash])
    facts = json.loads(capsys.readouterr().out)
    assert code == 0
    assert facts["outputs"] == golden.run(image, raw).tolist()
    assert facts["board"]["configuration"] == "tiny"
    assert facts["cycles"] > 100
    assert program.run(["counters", "--port", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counters"]["cycles"] > 100


@pytest.fixture(scope="module")
def icebreaker() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`galton serve icebreaker`, and the port that it says."""
    command = [sys.executable, "-m", "galton", "serve", "icebreaker", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(process.stdout.readline())
        yield process, json.loads("".join(lines))["port"]
        process.kill()


def test_a_board_from_the_command_line(icebreaker):
    process, port = icebreaker
    config = named("icebreaker")
    network = random_network(1, config, operations=60_000)
    raw = random_inputs(1, network, 2)
    image = compile(network, config).image
    with connect(port) as board:
        board.load(image)
        assert np.array_equal(board.run(raw).outputs, golden.run(image, raw))
    process.send_signal(signal.SIGINT)
    facts = json.loads(process.stdout.read())
    assert process.wait() == 0
    assert facts["cycles"] > 100_000
    assert facts["speed"] > 0


@pytest.mark.parametrize("served", [False], indirect=True)
def test_selftest(capsys, served):
    assert program.run(["selftest", "--port", served[0], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["passed"]
    assert [check["name"] for check in facts["checks"] if not check["passed"]] == []
    assert len(facts["checks"]) == 9


@pytest.mark.parametrize("served", [False], indirect=True)
def test_monitor(capsys, tmp_path, served):
    image, raw = SMALL
    image.save(tmp_path / "net.galton")
    np.save(tmp_path / "inputs.npy", raw)
    work = ["--image", str(tmp_path / "net.galton"), "--inputs", str(tmp_path / "inputs.npy"), "--raw"]
    assert program.run(["monitor", "--port", served[0], "--for", "1", *work, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["inferences"] > 0
    assert facts["counters"].keys() == facts["sums"].keys()
    assert facts["results"][-1].startswith("input ")


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_selftest_of_whole_boards(name):
    with galton.connect(f"sim:{name}", number=find(name).number) as board:
        checks = list(selftest(board))
        assert board.identity.digest == named(name).digest
        assert board.identity.clock == find(name).clock
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 6 + 1 + named(name).groups
