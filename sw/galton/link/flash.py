"""What a board's flash must hold for the board to load an image by itself at power-up (docs/link.md)."""

from __future__ import annotations

from collections.abc import Iterable

from galton.format import BYTE_BITS, CONTROL, REGISTERS, boot_word
from galton.image import Image
from galton.link.blocks import write_requests
from galton.link.frames import END, Request, packed
from galton.words import memories

REVERSED = bytes(int(f"{value:0{BYTE_BITS}b}"[::-1], 2) for value in range(1 << BYTE_BITS))
"""Bytes with their bits turned round: a flash gives the high bit first, a serial line the low one."""


def flash_image(image: Image) -> bytes:
    """The bytes that load `image` and enable the core; they go to the board's address for images in its flash."""
    requests = [request for load in memories(image) for request in write_requests(load)]
    requests.append(Request(REGISTERS["control"], words=CONTROL.pack({"enable": 1})))
    return recorded(image.config.digest, requests)


def recorded(digest: int, requests: Iterable[Request]) -> bytes:
    """Requests as a core of the configuration with this digest reads them from its flash: no zero byte before the first one."""
    frames = b"".join(request.pack(index % (1 << BYTE_BITS)) for index, request in enumerate(requests))
    return (packed([boot_word(digest)]) + frames.removeprefix(END)).translate(REVERSED)
