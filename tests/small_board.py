"""What several tests of boards share: a board with a small core, and a network for it; compiled once, and kept on disk."""

from __future__ import annotations

from networks import random_inputs, random_network

from galton.compiler import compile
from galton.config import named
from galton_hw.link.core import LinkedCore
from galton_hw.link.uart import MINIMUM_DIVIDER

CLOCK = 24e6
CONFIG = named("tiny")
LINKED = LinkedCore(CONFIG, divider=MINIMUM_DIVIDER, board=7, clock=CLOCK, boot=0x4_0000)
_NETWORK = random_network(18, CONFIG, operations=60_000)
SMALL = compile(_NETWORK, CONFIG).image, random_inputs(18, _NETWORK, 3)
