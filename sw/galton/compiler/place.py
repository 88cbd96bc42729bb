"""Where everything lives in the data memory: program, profile records, tensors.

Layers run one after the other, and a tensor is alive from the layer that gives it to the last one that takes or adds it. Tensors
that are alive together lie apart, but for a layer's output over what dies there: words that have been read may be overwritten.

- The drain begins an output row when every input row that it needs, and all before them, have been scanned (ROW.done), and words
  are written in ascending order. So an output may begin up to `lead` words above its layer's input, or anywhere below.
- A residual activation is read before the output that it becomes a part of, in the same order. So an output may lie exactly over
  the tensor that its layer adds, or below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from random import Random

from galton.compiler.geometry import Geometry
from galton.format import CHANNEL, LAYER, NETWORK, PROFILE, ROW, WORD_BYTES
from galton.network import Network

ORDERS = 64
"""Random orders that are tried."""

Gaps = dict[tuple[int, int], tuple[int, int]]
"""(first, second) to (low, high): `second` begins at most low words above `first`, or at least high."""


def tensor_words(shape: tuple[int, int, int]) -> int:
    """Words of a tensor of bytes."""
    return -(-prod(shape) // WORD_BYTES)


def program_size(geometries: Sequence[Geometry]) -> int:
    """Words of the program of stored layers as they are walked."""
    rows = sum(geometry.layer.input_shape[0] + 1 for geometry in geometries)
    channels = sum(len(geometry.layer.weights) for geometry in geometries)
    return NETWORK.words + LAYER.words * len(geometries) + ROW.words * rows + CHANNEL.words * channels


@dataclass(frozen=True)
class Placement:
    """Word addresses in the data memory.

    tensors: base of each tensor, the network's input first. profile: base of the PROFILE records, 0 for none.
    fixed: words below the tensors. needed: words that would do.
    """

    tensors: tuple[int, ...]
    words: tuple[int, ...]
    profile: int
    fixed: int
    needed: int

    def taken(self, network: Network, index: int) -> int:
        """Words under the tensors that layer `index` takes, adds or gives, and those that later layers need."""
        kept = [tensor for tensor in range(index + 2) if tensor == index + 1 or network.last_use(tensor) >= index]
        end = total = 0
        for base, size in sorted((self.tensors[tensor], self.words[tensor]) for tensor in kept):
            total += max(0, base + size - max(base, end))
            end = max(end, base + size)
        return total


def place(network: Network, geometries: Sequence[Geometry], *, profile: bool) -> Placement:
    """The placement of a stored network; it lies within the memory if and only if `needed` words are there."""
    program = program_size(geometries)
    fixed = program + (PROFILE.words * len(network.layers) if profile else 0)
    words = tuple(tensor_words(network.tensor_shape(tensor)) for tensor in range(len(network.layers) + 1))
    apart = gaps(network, geometries, words)
    mirrored = {
        (first, second): (words[first] - words[second] - high, words[first] - words[second] - low)
        for (first, second), (low, high) in apart.items()
    }
    found, needed = fitted(words, apart, range(len(words)))
    for order in _orders(words):
        if needed == least(network, words):
            break
        for upside_down, limits in enumerate((apart, mirrored)):
            starts, size = fitted(words, limits, order)
            if size < needed:
                needed = size
                found = [size - start - own for start, own in zip(starts, words, strict=True)] if upside_down else starts
    return Placement(tuple(fixed + start for start in found), words, program if profile else 0, fixed, fixed + needed)


def lead(geometry: Geometry) -> int:
    """How many words above its input a layer's output may begin, at most, where the input dies there; may be negative.

    A word is read once, whole, before its first activation goes anywhere, and written when its last activation is there.
    """
    layer = geometry.layer
    size, drained = tensor_words(layer.input_shape), 0
    leads = [size]
    for scanned, walk in enumerate(geometry.walks):
        drained += walk.done
        read = tensor_words((scanned, *layer.input_shape[1:]))
        if walk.done and read < size:
            rows = -(-drained // layer.pool[0])
            complete = rows * prod(layer.output_shape[1:]) // WORD_BYTES
            leads.append(read - (tensor_words(layer.output_shape) if rows == layer.output_shape[0] else complete))
    return min(leads)


def gaps(network: Network, geometries: Sequence[Geometry], words: Sequence[int]) -> Gaps:
    """What every two tensors that are alive together have to keep."""
    lives = [(tensor - 1, max(network.last_use(tensor), tensor - 1)) for tensor in range(len(words))]
    found = {}
    for second, (born, _) in enumerate(lives):
        for first in range(second):
            dies = lives[first][1]
            if dies < born:
                continue
            low = -words[second]
            if dies == born:
                over = [lead(geometries[born])] * (network.inputs[born] == first) + [0] * (network.residuals[born] == first)
                low = max(low, min(over))
            found[first, second] = (low, words[first])
    return found


def least(network: Network, words: Sequence[int]) -> int:
    """Words that no placement can do without: for some layer what later ones need, and the larger of what dies and its output."""
    most = 0
    for index in range(len(network.layers)):
        uses = {tensor: network.last_use(tensor) for tensor in range(index + 1)}
        kept = sum(words[tensor] for tensor, use in uses.items() if use > index)
        dying = sum(words[tensor] for tensor, use in uses.items() if use == index)
        most = max(most, kept + max(dying, words[index + 1]))
    return most


def _orders(words: Sequence[int]) -> Iterator[list[int]]:
    """Orders in which to place tensors: as they come, largest first, and some at random, the same ones every time."""
    order = list(range(len(words)))
    yield list(order)
    yield order[::-1]
    yield sorted(order, key=lambda tensor: -words[tensor])
    random = Random(0)
    for _ in range(ORDERS):
        random.shuffle(order)
        yield list(order)


def fitted(words: Sequence[int], apart: Gaps, order: Sequence[int]) -> tuple[list[int], int]:
    """Addresses from 0 on, each tensor in turn at the lowest that those before it leave; and the words they take."""
    starts = [0] * len(words)
    for place, tensor in enumerate(order):
        barred = []
        for other in order[:place]:
            if (limits := apart.get((other, tensor))) is not None:
                barred.append((starts[other] + limits[0], starts[other] + limits[1]))
            elif (limits := apart.get((tensor, other))) is not None:
                barred.append((starts[other] - limits[1], starts[other] - limits[0]))
        for low, high in sorted(barred):
            if low < starts[tensor] < high:
                starts[tensor] = high
    return starts, max(start + size for start, size in zip(starts, words, strict=True))
