"""Where everything lives in the data memory: program, profile records, tensors.

Layers run one after the other, and a tensor is alive from the layer that gives it to the last one that takes or adds it. In a
chain only a layer's input and output are alive together: tensors lie alternately at the lower and at the upper end of what is
free, and any two neighbours fit whenever their sizes together do. Elsewhere they are placed first fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from random import Random

from galton.config import Config
from galton.format import CHANNEL, LAYER, NETWORK, PROFILE, ROW, WORD_BYTES
from galton.network import Network

ORDERS = 64
"""Random orders that are tried."""


def tensor_words(shape: tuple[int, int, int]) -> int:
    """Words of a tensor of bytes."""
    return -(-prod(shape) // WORD_BYTES)


def program_size(network: Network, channels: int) -> int:
    """Words of the program of a stored network with so many CHANNEL records."""
    rows = sum(layer.input_shape[0] + 1 for layer in network.layers)
    return NETWORK.words + LAYER.words * len(network.layers) + ROW.words * rows + CHANNEL.words * channels


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

    def alive(self, network: Network, index: int) -> int:
        """Words of the tensors that must be kept while layer `index` runs, its output included."""
        kept = [tensor for tensor in range(index + 2) if tensor == index + 1 or network.last_use(tensor) >= index]
        return sum(self.words[tensor] for tensor in kept)


def place(network: Network, config: Config, *, profile: bool, channels: int | None = None) -> Placement:
    """The placement of a stored network; it lies within the memory if and only if `needed` words are there.

    channels: CHANNEL records, by default one for each stored output channel.
    """
    stored = sum(len(layer.weights) for layer in network.layers)
    program = program_size(network, stored if channels is None else channels)
    fixed = program + (PROFILE.words * len(network.layers) if profile else 0)
    words = tuple(tensor_words(network.tensor_shape(tensor)) for tensor in range(len(network.layers) + 1))
    # Tensor t is alive from the layer that gives it, t - 1, to its last use.
    lives = [(tensor - 1, max(network.last_use(tensor), tensor - 1)) for tensor in range(len(words))]
    starts, needed = min((fitted(words, lives, order) for order in _orders(words)), key=lambda found: found[1])
    ends = alternating(words, lives, config.data_words - fixed)
    if ends is not None and ends[1] <= needed:
        starts, needed = ends
    return Placement(tuple(fixed + start for start in starts), words, program if profile else 0, fixed, fixed + needed)


def _orders(words: Sequence[int]) -> Iterator[list[int]]:
    """Orders in which to place tensors: as they come, largest first, and some at random, the same ones every time."""
    order = list(range(len(words)))
    yield list(order)
    yield sorted(order, key=lambda tensor: -words[tensor])
    random = Random(0)
    for _ in range(ORDERS):
        random.shuffle(order)
        yield list(order)


def fitted(words: Sequence[int], lives: Sequence[tuple[int, int]], order: Sequence[int]) -> tuple[list[int], int]:
    """Addresses from 0 on, each tensor in turn at the lowest that none has that is alive with it; and the words they take."""
    starts = [0] * len(words)
    for place, tensor in enumerate(order):
        born, dies = lives[tensor]
        others = [other for other in order[:place] if lives[other][0] <= dies and born <= lives[other][1]]
        for other in sorted(others, key=lambda other: starts[other]):
            if starts[other] < starts[tensor] + words[tensor] and starts[tensor] < starts[other] + words[other]:
                starts[tensor] = starts[other] + words[other]
    return starts, max(start + size for start, size in zip(starts, words, strict=True))


def alternating(words: Sequence[int], lives: Sequence[tuple[int, int]], room: int) -> tuple[list[int], int] | None:
    """`fitted` for a chain: alternately at the lower and the upper end of `room` words; None where it is no chain."""
    if any(dies > tensor for tensor, (_, dies) in enumerate(lives[:-1])):
        return None
    starts = [room - size if tensor % 2 else 0 for tensor, size in enumerate(words)]
    return starts, max(first + second for first, second in pairwise(words))
