"""Command lines of galton_boards' modules: what a user gets for a mistake."""

import numpy as np
import pytest
from networks import random_inputs, random_network

from galton.compiler import compile
from galton.config import named
from galton_boards import netlist
from galton_sim.yosys import SynthesisError

GOOD = np.zeros((2, 3, 3, 2), np.int64)


@pytest.fixture
def image(tmp_path):
    """A file with an image for up5k."""
    path = tmp_path / "net.galton"
    compile(random_network(1, named("up5k"), operations=5_000), "up5k").image.save(path)
    return path


INPUTS = {
    "nothing": (b"", "is no .npy file of raw inputs"),
    "text": (b"digits", "is no .npy file of raw inputs"),
    "real numbers": (GOOD.astype(np.float32), "integers of shape"),
    "one input": (GOOD[0], "integers of shape"),
    "a scalar": (np.array(1), "integers of shape"),
    "another shape": (GOOD, "takes raw inputs of shape"),
}


@pytest.mark.parametrize(("content", "words"), INPUTS.values(), ids=INPUTS)
def test_wrong_inputs_of_a_netlist(capsys, tmp_path, image, monkeypatch, content, words):
    """Found before anything is synthesized."""
    monkeypatch.setattr(netlist, "gates", None)
    inputs = tmp_path / "inputs.npy"
    inputs.write_bytes(content) if isinstance(content, bytes) else np.save(inputs, content)
    for chip in (["--config", "up5k"], ["--board", "icebreaker"]):
        assert netlist.main([*chip, str(image), str(inputs)]) == 2
        assert words in capsys.readouterr().err


def test_every_board_has_a_netlist_but_those_without_models(capsys, tmp_path, monkeypatch):
    small = random_network(1, named("hx8k"), operations=2_000)
    compile(small, "hx8k").image.save(tmp_path / "net.galton")
    np.save(tmp_path / "inputs.npy", random_inputs(1, small, 1))
    files = [str(tmp_path / "net.galton"), str(tmp_path / "inputs.npy")]
    assert netlist.main(["--board", "tang-nano-9k", *files]) == 1
    assert "no models of himbaechel-gowin cells, only of ice40 and ecp5" in capsys.readouterr().err

    def synthesize(component, name, device):
        raise SynthesisError(device.synthesis)

    monkeypatch.setattr(netlist, "gates", synthesize)
    assert netlist.main(["--board", "hx8k-breakout", *files]) == 1
    assert "-device hx" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing", "."])
def test_an_image_that_is_no_file(capsys, tmp_path, name):
    assert netlist.main(["--config", "up5k", str(tmp_path / name), "inputs.npy"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "some"])
def test_how_many_inputs(capsys, image, count):
    with pytest.raises(SystemExit, match="2"):
        netlist.main(["--config", "up5k", str(image), "inputs.npy", "--count", count])
    assert f"{count!r} is no integer of 1 or more" in capsys.readouterr().err
