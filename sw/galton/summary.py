"""What an image holds, as JSON values: memories, layers, certificates, digests."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from itertools import pairwise
from math import prod
from typing import Any

from galton.decode import header, parse
from galton.format import FORMAT_VERSION, PROFILE, WORD_BYTES
from galton.image import Image


def describe(image: Image) -> dict[str, Any]:
    """Everything worth knowing about an image without running it."""
    data = image.to_bytes()
    return {
        "network": image.meta["network"],
        "configuration": image.config.name,
        "parameters": asdict(image.config),
        "digest": f"{image.config.digest:08x}",
        "format": FORMAT_VERSION,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "input": image.meta["input"],
        "output": image.meta["output"],
        "layers": image.meta["layers"],
        "memories": memories(image),
        "labels": image.meta["labels"],
    }


def memories(image: Image) -> list[dict[str, Any]]:
    """For each memory of the core: name, bytes used, bytes there are, and what of it comes with the image.

    The data memory counts the program, the counters where they are kept, and what the tensors need.
    """
    config = image.config
    counters = PROFILE.words * len(image.meta["layers"]) if header(image)["profile_base"] else 0
    needed = tensors_end(image, len(image.program) + counters)
    rows = [memory("data", needed * WORD_BYTES, config.data_bytes, len(image.program) * WORD_BYTES)]
    for group, (chunks, table) in enumerate(zip(image.chunks, image.table, strict=True)):
        suffix = f" of group {group}" if config.groups > 1 else ""
        used = bit_bytes(len(chunks), config.entry_bits)
        rows.append(memory(f"weights{suffix}", used, bit_bytes(config.weight_words, config.entry_bits), used))
        if config.sparse:
            rows.append(
                memory(f"table{suffix}", len(table) * WORD_BYTES, config.table_words * WORD_BYTES, len(table) * WORD_BYTES)
            )
    return rows


def memory(name: str, used: int, available: int, loaded: int) -> dict[str, Any]:
    """One row of `memories`."""
    return {"name": name, "used": used, "available": available, "loaded": loaded}


def bit_bytes(words: int, bits: int) -> int:
    """Bytes that hold that many words of that many bits."""
    return -(-words * bits // 8)


def tensors_end(image: Image, fixed: int) -> int:
    """Words that would do for what lies below `fixed` and for the tensors.

    Those of a chain lie at both ends of the memory and need what the largest two neighbours do; others lie above one another.
    """
    layers = parse(image)
    tensors = [(header(image)["input_base"], layers[0].input_shape)]
    tensors += [(parsed.layer["output_base"], parsed.output_shape) for parsed in layers]
    words = [-(-prod(shape) // WORD_BYTES) for _, shape in tensors]
    for (base, _), parsed in zip(tensors, layers, strict=False):
        taken = {parsed.layer["input_base"], parsed.layer["residual_base"] if parsed.layer["residual"] else base}
        if taken != {base}:
            return max(base + size for (base, _), size in zip(tensors, words, strict=True))
    return fixed + max(first + second for first, second in pairwise(words))
