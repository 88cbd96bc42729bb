"""The README's commands are ones that exist; CI runs every one of them (tools/readme_commands.py --run)."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest
import torch

from galton.cli.main import galton
from galton.demo.model import make_model

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/readme_commands.py."""
    found = importlib.util.spec_from_file_location("readme_commands", ROOT / "tools" / "readme_commands.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_commands_are_found_and_joined(tool) -> None:
    text = "```sh\n# a comment\nmake x\n\nlong \\\n    line\n```\n```text\nnot this\n```\n- item\n  ```sh\n  third\n  ```\n"
    assert tool.commands(text) == ["make x", "long line", "third"]


@pytest.mark.parametrize("text", ["```sh\nmake x\n", "```sh\nmake x \\\n```\n"])
def test_a_block_that_never_ends_is_an_error(tool, text) -> None:
    with pytest.raises(ValueError, match="never ends"):
        tool.commands(text)


def test_the_readme_shows_the_two_commands_first(tool) -> None:
    assert tool.commands((ROOT / "README.md").read_text())[:2] == ["make demo", "make test"]


def test_every_command_of_the_readme_parses(tool) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = set()
    for line in tool.commands((ROOT / "README.md").read_text()):
        program, name, *arguments = shlex.split(line)
        if program == "make":
            assert name in targets
            continue
        assert program == ".venv/bin/galton"
        command = galton.get_command(click.Context(galton), name)
        assert command is not None, name
        accepted = {option for parameter in command.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("-")} <= accepted, line
        used.add(name)
    assert {"doctor", "quantize", "compile", "inspect", "run", "simulate", "verilog"} <= used


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.cosim
@pytest.mark.filterwarnings("ignore:.*give more calibration inputs")
def test_the_python_of_the_readme(tmp_path, monkeypatch) -> None:
    source = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    torch.manual_seed(0)
    images = torch.rand(20, 1, 28, 28)
    values = {"model": make_model().eval(), "calibration": images, "images": images[:2]}
    monkeypatch.chdir(tmp_path)
    exec(source, values)
    assert torch.equal(values["scores"], values["quantized"](images[:2]))
    assert torch.equal(values["scores"], values["same"])
    assert torch.equal(values["scores"], values["again"])
    assert (tmp_path / "digits.galton").exists()


def test_the_readme_s_transcript_ended_well() -> None:
    text = (ROOT / "README.md").read_text()
    transcript = text[text.index("<!-- transcript -->") :].split("```")[1]
    assert re.search(r"^0 mismatches in [1-9]\d\d inferences", transcript, re.MULTILINE)
    assert re.search(r"^0 mispredictions in [1-9]\d\d inferences", transcript, re.MULTILINE)
    assert "Report: build/demo/report.html" in transcript
