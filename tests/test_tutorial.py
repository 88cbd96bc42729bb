"""The tutorial notebook runs, and says again what is written in it, numbers aside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("mlxtend")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

PATH = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
LARGEST = 300_000
"""Bytes."""


def printed(notebook):
    """What each code cell printed: words as they are, numbers and bars as #: training differs from one machine to the next."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            text = "".join(output["text"] for output in cell.outputs if output.output_type == "stream")
            texts.append(set(re.sub(r"[-+]?[\d.,]*\d|#+", "#", text).split()))
    return texts


def test_the_tutorial_is_small_and_was_run():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    assert PATH.stat().st_size < LARGEST
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert sum(output.output_type == "display_data" for cell in code for output in cell.outputs) == 1


@pytest.mark.cosim
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tutorial_runs_and_says_the_same(tmp_path):
    notebook = nbformat.read(PATH, as_version=4)
    before = printed(notebook)
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    missing = [old - new for old, new in zip(before, printed(notebook), strict=True)]
    assert not any(missing), missing
    assert any("True" in text for text in before)
    assert not any("False" in text for text in before)
    assert {file.name for file in tmp_path.iterdir()} >= {"digits.galton", "digits.galtonq", "digits.onnx"}
