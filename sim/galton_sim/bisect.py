"""Where hardware and golden model first part: the layer, and the place in its output.

A program that ends after layer k is a legal one, whose output is that layer's tensor. So any tensor can be had from hardware, and
the layer at fault is the one whose tensor differs while all that it takes and adds agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from galton import decode, golden
from galton.errors import HardwareMismatch
from galton.format import CHANNEL, LAYER, NETWORK, ROW, WORD_BYTES
from galton.image import Image
from galton_sim.simulate import simulate

Ints = NDArray[np.int64]
Run = Callable[[Image, Ints], Ints]
"""Raw outputs of an image for raw inputs, by hardware."""


@dataclass(frozen=True)
class Difference:
    """A layer whose output differs, for one input.

    hardware, golden: its output (rows, columns, stored channels); hardware is None where it gave none. failure: why.
    pixels: of a row, whose channels are walked side by side. group_channels: stored channels of a group; lanes: of a group.
    """

    layer: str
    index: int
    hardware: Ints | None
    golden: Ints
    pixels: int
    group_channels: int
    lanes: int
    failure: str = ""

    @cached_property
    def places(self) -> Ints:
        """(row, column, stored channel) of every value that differs, in order."""
        return np.argwhere(self.golden != self.hardware) if self.hardware is not None else np.zeros((0, 3), np.int64)

    def __str__(self) -> str:
        if self.hardware is None:
            return f"Layer {self.layer} (number {self.index}) gives nothing in hardware: {self.failure}"
        row, column, channel = (int(number) for number in self.places[0])
        side = column % self.pixels * self.golden.shape[2]
        group, within = divmod(side + channel, self.group_channels)
        values = f"{self.hardware[row, column, channel]} in hardware, {self.golden[row, column, channel]} in the golden model"
        return (
            f"Layer {self.layer} (number {self.index}) is the first that differs, in {len(self.places)} of {self.golden.size} "
            f"values; the first at row {row}, column {column}, channel {channel} (group {group}, lane {within % self.lanes}): "
            f"{values}"
        )


def truncated(image: Image, index: int) -> Image:
    """The image of a network that ends with layer `index`, whose output has its stored channels in their order."""
    layers = decode.parse(image)
    program, position = image.program.copy(), NETWORK.words
    for parsed in layers[:index]:
        position += LAYER.words + ROW.words * len(parsed.rows) + CHANNEL.words * len(parsed.bias)
    last = layers[index]
    values, words = {**last.layer, "last": 1}, -(-prod(last.output_shape) // WORD_BYTES)
    header = {**decode.header(image), "output_base": last.layer["output_base"], "output_words": words}
    program[position : position + LAYER.words] = LAYER.pack(values)
    program[: NETWORK.words] = NETWORK.pack(header)
    shape = list(last.output_shape)
    output = {**image.meta["output"], "shape": shape, "order": list(range(shape[2]))}
    output |= {"low": last.layer["low"], "high": last.layer["high"]}
    return replace(image, program=program, meta={**image.meta, "output": output, "layers": image.meta["layers"][: index + 1]})


def locate(
    image: Image,
    raw: Ints,
    run: Run | None = None,
    progress: Callable[[str], None] = lambda layer: None,
    *,
    text: str | None = None,
) -> Difference | None:
    """The layer at fault for one raw input (1, rows, columns, channels); None where the network's output agrees.

    run: gives outputs in hardware, by default the core's Verilog, or `text` where it is given. progress: called with the name of
    each layer that is run to. Layers are halved until one differs behind one that agrees; where a tensor that it takes differs,
    the search goes on before that one.
    """
    hardware = run or (lambda truncated_image, inputs: simulate(truncated_image, inputs, text=text).outputs)
    layers, traces = decode.parse(image), golden.trace(image, raw)
    sources = tensors(image)
    known: dict[int, Difference | None] = {-1: None}

    def difference(index: int) -> Difference | None:
        """Of the output of a layer; the network's input is number -1."""
        if index not in known:
            progress(layers[index].name)
            expected = traces[index].outputs[0].astype(np.int64)
            parsed = layers[index]
            kind = parsed.pixels, parsed.layer["group_channels"], image.config.lanes
            try:
                found = hardware(truncated(image, index), raw)[0]
                differs = bool((found != expected).any())
                known[index] = Difference(parsed.name, index, found, expected, *kind) if differs else None
            except HardwareMismatch as error:
                known[index] = Difference(parsed.name, index, None, expected, *kind, str(error))
        return known[index]

    last = len(layers) - 1
    if difference(last) is None:
        return None
    while True:
        good = -1
        while last - good > 1:
            middle = (good + last) // 2
            if difference(middle) is None:
                good = middle
            else:
                last = middle
        wrong = [index for index in sources[last] if difference(index) is not None]
        if not wrong:
            return difference(last)
        last = min(wrong)


def tensors(image: Image) -> list[list[int]]:
    """For each layer, the layers whose outputs it takes and adds, -1 for the network's input: the last that wrote there."""
    written = {decode.header(image)["input_base"]: -1}
    found = []
    for index, parsed in enumerate(decode.parse(image)):
        bases = [parsed.layer["input_base"], *([parsed.layer["residual_base"]] if parsed.layer["residual"] else [])]
        found.append([written.get(base, index - 1) for base in bases])
        written[parsed.layer["output_base"]] = index
    return found
