"""What `run` and `simulate` are given: an image, inputs for it, and what to make of the outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce, wraps
from math import prod
from pathlib import Path
from typing import Any

import click
import numpy as np

from galton.cli.common import INPUT_FILE, OUTPUT_FILE, Array, load_array
from galton.cli.inputs import Ints, range_option, raw_inputs, real_outputs
from galton.errors import CalibrationError
from galton.image import Image
from galton.ranges import Cut


@dataclass(frozen=True)
class Work:
    """file: of the `image`. values: raw inputs (n, rows, columns, channels); cut: what was cut of them; labels: of each, or None.

    raw: outputs are wanted as integers; output: where to write them, or None.
    """

    file: Path
    image: Image
    values: Ints
    cut: Cut
    labels: Array | None
    raw: bool
    output: Path | None

    def finish(self, outputs: Ints) -> dict[str, Any]:
        """Write raw outputs where that is asked for; what to report, `lines` being the same for people."""
        shown = outputs if self.raw else real_outputs(self.image, outputs)
        scores = shown.reshape(len(shown), -1)
        facts: dict[str, Any] = {"inputs": len(shown), "shape": list(shown.shape)}
        facts["saturated_inputs"] = {"values": self.cut.values, "inputs": self.cut.inputs}
        lines = [f"{len(shown):,} inputs, outputs of shape {shown.shape[1:]}"]
        if self.labels is not None:
            facts["right"] = right(outputs, self.labels)
            facts["accuracy"] = facts["right"] / len(shown)
            lines.append(f"accuracy {100 * facts['accuracy']:.2f} %: {facts['right']} of {len(shown)} right")
        if self.output is None:
            facts["outputs"] = shown.tolist()
            some = np.array2string(scores[:5], precision=4, suppress_small=True, threshold=100)
            lines += [some, *(["..."] if len(scores) > 5 else [])]
        else:
            with self.output.open("wb") as file:
                np.save(file, shown)
            facts["file"] = str(self.output)
            lines.append(f"Wrote {self.output}")
        return {**facts, "lines": lines}


def work_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments IMAGE and INPUTS and the options of a Work, passed as `prepare`, which reads the files."""

    @wraps(function)
    def command(
        image: Path,
        inputs: Path,
        output: Path | None,
        raw: bool,
        out_of_range: str,
        labels: Path | None,
        limit: int | None,
        **others: Any,
    ) -> Any:
        def prepare() -> Work:
            packed = Image.load(image)
            values, cut = raw_inputs(packed, load_array(inputs), raw, out_of_range, limit)
            true = None if labels is None else true_classes(packed, labels, len(values), limit)
            return Work(image, packed, values, cut, true, raw, output)

        return function(prepare=prepare, **others)

    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.argument("image", type=INPUT_FILE),
        click.argument("inputs", type=INPUT_FILE),
        click.option("-o", "--output", type=OUTPUT_FILE, help="Where to write the outputs, as .npy."),
        click.option("--raw", is_flag=True, help="Inputs and outputs are the integers of the core, not real numbers."),
        range_option,
        labels_option,
        limit_option,
    ]
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


def labels_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --labels, passed as `labels`."""
    return click.option("--labels", type=INPUT_FILE, help="True classes of the inputs, to report the accuracy.")(function)


def limit_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --limit, passed as `limit`."""
    return click.option("--limit", type=click.IntRange(1), help="Take only the first inputs.")(function)


def true_classes(image: Image, path: Path, count: int, limit: int | None = None) -> Array:
    """The classes in a file, the first `limit` of them, for `count` inputs of an image.

    Raises CalibrationError where there is not one class for each input, or one that the image's outputs cannot show.
    """
    labels = load_array(path)
    found = labels[:limit] if labels.ndim else labels
    if found.shape != (count,):
        raise CalibrationError(
            f"There are {count} inputs, but labels of shape {found.shape} in {path}: give each input one class"
        )
    classes = prod(image.meta["output"]["shape"])
    wrong = found[~((found >= 0) & (found < classes) & (found % 1 == 0))]
    if len(wrong):
        raise CalibrationError(f"Labels are classes, integers in 0..{classes - 1}; {path} holds {wrong[0]}")
    return found


def right(outputs: Ints, labels: Array) -> int:
    """How many of the outputs (n, rows, columns, channels) are largest at the class that is true."""
    return int((outputs.reshape(len(outputs), -1).argmax(axis=1) == labels).sum())
