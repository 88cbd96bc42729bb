"""What `run` and `simulate` say about outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from galton.cli.common import Array
from galton.errors import CalibrationError
from galton.ranges import Cut


def finish(outputs: Array, path: Path | None, labels: Array | None, cut: Cut | None = None) -> dict[str, Any]:
    """Write the outputs where `path` is given; what to report, `lines` being the same for people. `cut`: of the inputs.

    Raises CalibrationError where there is not one label for each input.
    """
    facts: dict[str, Any] = {"inputs": len(outputs), "shape": list(outputs.shape)}
    scores = outputs.reshape(len(outputs), -1)
    lines = [f"{len(outputs):,} inputs, outputs of shape {outputs.shape[1:]}"]
    if cut is not None:
        facts["saturated_inputs"] = {"values": cut.values, "inputs": cut.inputs}
    if labels is not None:
        if labels.shape != (len(outputs),):
            raise CalibrationError(f"There are {len(outputs)} inputs, but labels of shape {labels.shape}")
        facts["right"] = int((scores.argmax(axis=1) == labels).sum())
        facts["accuracy"] = facts["right"] / len(outputs)
        lines.append(f"accuracy {100 * facts['accuracy']:.2f} %: {facts['right']} of {len(outputs)} right")
    if path is None:
        facts["outputs"] = outputs.tolist()
        shown = np.array2string(scores[:5], precision=4, suppress_small=True, threshold=100)
        lines += [shown, *(["..."] if len(scores) > 5 else [])]
    else:
        with path.open("wb") as file:
            np.save(file, outputs)
        facts["file"] = str(path)
        lines.append(f"Wrote {path}")
    return {**facts, "lines": lines}
