"""Images and tensors as the 32-bit words that a core takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import decode
from galton.errors import CalibrationError
from galton.format import MEMORY_DATA, MEMORY_TABLE, MEMORY_WEIGHTS, PROFILE, WORD_BYTES
from galton.image import Image


@dataclass(frozen=True)
class Memory:
    """What to write over the bus: `words` into the memory `select` from `address` on, `chunks` words to an address."""

    select: int
    address: int
    words: Sequence[int] | NDArray[np.uint32]
    chunks: int = 1


def memories(image: Image) -> list[Memory]:
    """What the bus must write before an image can run."""
    chunks = image.config.entry_chunks
    loads = [Memory(MEMORY_DATA, 0, image.program)]
    loads += [Memory(MEMORY_WEIGHTS + group, 0, words.reshape(-1), chunks) for group, words in enumerate(image.chunks)]
    loads += [Memory(MEMORY_TABLE + group, 0, table) for group, table in enumerate(image.table)]
    return [load for load in loads if len(load.words)]


def check_inputs(image: Image, raw: NDArray[Any]) -> None:
    """Raise CalibrationError unless `raw` are integers (n, rows, columns, channels) of the image's shape and range, n above 0."""
    shape, low, high = tuple(image.meta["input"]["shape"]), image.meta["input"]["low"], image.meta["input"]["high"]
    if raw.ndim != 4 or raw.shape[1:] != shape or not len(raw):
        raise CalibrationError(f"The network takes raw inputs of shape {('n', *shape)} with n at least 1, not {raw.shape}")
    if raw.dtype.kind not in "iu":
        raise CalibrationError(f"Raw inputs are integers, not {raw.dtype}; CompiledNetwork.run takes real ones")
    if raw.min() < low or raw.max() > high:
        raise CalibrationError(f"Raw inputs are in {low}..{high}, not {raw.min()}..{raw.max()}")


def input_words(raw: NDArray[Any]) -> NDArray[np.uint32]:
    """Raw tensors (n, rows, columns, channels) as words (n, words), little end first, the last one filled up with zeros."""
    flat = raw.reshape(len(raw), -1).astype(np.uint8)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % WORD_BYTES)))
    return padded.view("<u4").astype(np.uint32)


def real_outputs(image: Image, words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Output words (n, words) as raw tensors (n, rows, columns, channels) in real channel order."""
    last = decode.parse(image)[-1]
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
    values = octets.view(np.int8) if last.layer["signed_output"] else octets
    stored = values[:, : int(np.prod(last.output_shape))].reshape(len(words), *last.output_shape)
    return stored[..., image.meta["output"]["order"]].astype(np.int64)


def profiles(words: Sequence[int]) -> list[dict[str, int]]:
    """PROFILE records, a layer each, as each layer's own share of the counters, which run through an inference."""
    records = [PROFILE.unpack(words[place:]) for place in range(0, len(words), PROFILE.words)]
    before = [dict.fromkeys(record, 0) for record in records[:1]] + records[:-1]
    return [{name: record[name] - last[name] for name in record} for last, record in zip(before, records, strict=True)]
