"""Where everything lives in the data memory: program, profile records, tensors.

Layers run one after the other, so only a layer's input and output are alive together. Tensors lie alternately at the lower and at
the upper
end of what is free: any two neighbours fit whenever their sizes together do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from galton.config import Config
from galton.format import CHANNEL, LAYER, NETWORK, PROFILE, ROW, WORD_BYTES
from galton.network import Network


def tensor_words(shape: tuple[int, int, int]) -> int:
    """Words of a tensor of bytes."""
    return -(-prod(shape) // WORD_BYTES)


def program_size(network: Network) -> int:
    """Words of the program of a stored network."""
    rows = sum(layer.input_shape[0] + 1 for layer in network.layers)
    channels = sum(len(layer.weights) for layer in network.layers)
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


def place(network: Network, config: Config, *, profile: bool) -> Placement:
    """The placement of a stored network; it lies within the memory if and only if `needed` words are there."""
    program = program_size(network)
    fixed = program + (PROFILE.words * len(network.layers) if profile else 0)
    words = tuple(tensor_words(shape) for shape in (network.input_shape, *(layer.output_shape for layer in network.layers)))
    tensors = tuple(config.data_words - size if index % 2 else fixed for index, size in enumerate(words))
    pairs = (first + second for first, second in pairwise(words))
    return Placement(tensors, words, program if profile else 0, fixed, fixed + max(pairs))
