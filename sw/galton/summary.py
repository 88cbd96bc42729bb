"""What an image holds, as JSON values: memories, layers, certificates, digests."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from math import prod
from typing import Any

from galton.decode import header, parse
from galton.format import FORMAT_VERSION, WORD_BYTES
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

    The data memory counts all up to the end of the last tensor: program, counters where they are kept, tensors.
    """
    config = image.config
    rows = [memory("data", tensors_end(image) * WORD_BYTES, config.data_bytes, len(image.program) * WORD_BYTES)]
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


def tensors_end(image: Image) -> int:
    """Words below the end of the last tensor."""
    layers = parse(image)
    tensors = [(header(image)["input_base"], layers[0].input_shape)]
    tensors += [(parsed.layer["output_base"], parsed.output_shape) for parsed in layers]
    return max(base + -(-prod(shape) // WORD_BYTES) for base, shape in tensors)
