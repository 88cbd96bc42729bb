"""The machine's parameters: one frozen dataclass that the compiler, the models and the hardware generator share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from galton.format import FORMAT_VERSION, LAYER, MAXIMUM_KERNEL, MAXIMUM_STRIDE, NETWORK, ROW, WORD_BITS, WORD_BYTES


@dataclass(frozen=True)
class Config:
    """Parameters of one accelerator core.

    Parameters
    ----------
    name: lower-case identifier; it is not part of the digest.
    groups: G, groups of output channels that work side by side, 1..8.
    lanes: L, output channels that one entry updates, 1..32.
    weight_bits: bits of a lane's signed weight plane, 2..8 (with two planes at most 4).
    planes: 1, or 2 where a layer may use two entries a vector for weights of twice the width.
    step_bits: bits of an entry's address step, 0..8; 0 stores columns densely, without a table.
    count_bits: bits of a count's magnitude, 1..8.
    accumulator_bits: width of an accumulator, 17..32.
    accumulator_words, weight_words, table_words: depth per group, in words of L accumulators, entries, segments; 4..4096,
        2048..2^20, 2..2^20 or 0 without an address step.
    data_words: depth of the data memory (programs and tensors) in 32-bit words, 64..2^20.
    rows: ROW records of a layer, that is input rows and one more, 2..512.
    channels: most stored output channels of a layer, 2..2^14.
    fifo_depth: places in a group's event FIFO, a power of two, 4..256.
    scan_width: A, activations that the scan takes in a cycle, 1 or 4.
    drain_width: R, activations that the drain gives in a cycle, that is requantizers side by side, 1 or 4.

    Raises ValueError for a value outside its range.
    """

    name: str
    groups: int = 1
    lanes: int = 8
    weight_bits: int = 4
    planes: int = 2
    step_bits: int = 0
    count_bits: int = 8
    accumulator_bits: int = 20
    accumulator_words: int = 512
    weight_words: int = 16384
    table_words: int = 0
    data_words: int = 16384
    rows: int = 256
    channels: int = 256
    fifo_depth: int = 16
    scan_width: int = 1
    drain_width: int = 1

    def __post_init__(self) -> None:
        limits = {
            "groups": (1, MOST_GROUPS),
            "lanes": (1, 32),
            "weight_bits": (2, 8),
            "planes": (1, 2),
            "step_bits": (0, 8),
            "count_bits": (1, 8),
            "accumulator_bits": (17, 32),
            "accumulator_words": (4, 1 << 12),
            "weight_words": (1 << 11, 1 << NETWORK_ADDRESS_BITS),
            "table_words": (0, 1 << NETWORK_ADDRESS_BITS),
            "data_words": (64, 1 << NETWORK_ADDRESS_BITS),
            "rows": (2, 512),
            "channels": (2, 1 << 14),
            "fifo_depth": (4, 256),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} must be an integer in {low}..{high}, not {value!r}")
        for name in ("scan_width", "drain_width"):
            if getattr(self, name) not in WIDTHS:
                raise ValueError(f"{name} must be one of {WIDTHS}, not {getattr(self, name)!r}")
        if self.planes == 2 and self.weight_bits > 4:
            raise ValueError(f"weight_bits must be at most 4 with two planes, not {self.weight_bits}")
        if self.fifo_depth & (self.fifo_depth - 1):
            raise ValueError(f"fifo_depth must be a power of two, not {self.fifo_depth}")
        if min(self.table_words, 2) != 2 * self.sparse:
            raise ValueError(
                "table_words must be at least 2 where step_bits is positive, else 0: "
                f"step_bits is {self.step_bits}, table_words is {self.table_words}"
            )

    @property
    def sparse(self) -> bool:
        """Whether empty entries are left out and a table finds the segments."""
        return self.step_bits > 0

    @property
    def entry_bits(self) -> int:
        """Width of the weight memory: L weights, lane 0 lowest, then the step."""
        return self.lanes * self.weight_bits + self.step_bits

    @property
    def entry_chunks(self) -> int:
        """Bus writes that make an entry."""
        return -(-self.entry_bits // WORD_BITS)

    @property
    def weight_limit(self) -> int:
        """Largest magnitude of a weight in one plane."""
        return (1 << (self.weight_bits - 1)) - 1

    @property
    def wide_weight_limit(self) -> int:
        """Largest magnitude of a weight in as many planes as there are."""
        return self.weight_limit * ((1 << self.weight_bits) + 1) if self.planes == 2 else self.weight_limit

    @property
    def count_limit(self) -> int:
        """Largest magnitude of a count."""
        return (1 << self.count_bits) - 1

    @property
    def data_bytes(self) -> int:
        """Bytes of the data memory."""
        return self.data_words * WORD_BYTES

    @property
    def data_ports(self) -> int:
        """Ports of the data memory: scan and drain take turns at one, or each has its own where either takes words at once."""
        return 2 if max(self.scan_width, self.drain_width) > 1 else 1

    @property
    def group_distance(self) -> int:
        """Cycles on the way to a group, back, and within its lanes: on small chips there is no register."""
        return int(self.groups > 2)

    def fetched_groups(self, group_channels: int) -> int:
        """Groups whose accumulators the drain takes at once: several, where all their channels fit one bundle of drain_width."""
        room = self.drain_width // group_channels if group_channels <= self.lanes else 1
        return max(number for number in (1, 2, 4) if number == 1 or (number <= room and self.groups % number == 0))

    def bundles(self, group_channels: int) -> int:
        """Bundles of at most drain_width activations that make a pixel: no bundle goes on into another vector of lanes."""
        whole, rest = divmod(group_channels, self.lanes)
        pixel = whole * -(-self.lanes // self.drain_width) + -(-rest // self.drain_width)
        return self.groups // self.fetched_groups(group_channels) * pixel

    @property
    def most_bundles(self) -> int:
        """Most bundles that a pixel of any layer has."""
        return max(self.bundles(channels) for channels in range(1, max(1, self.channels // self.groups) + 1))

    @property
    def digest(self) -> int:
        """32 bits that name everything an image depends on; host, image and core must agree."""
        values = {key: value for key, value in asdict(self).items() if key != "name"}
        text = json.dumps({"format": FORMAT_VERSION, **values}, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


WIDTHS = (1, WORD_BYTES)
"""Of scan and drain: one activation a cycle, or a word of them."""

NETWORK_ADDRESS_BITS = NETWORK.field("input_base").bits
MOST_GROUPS = LAYER.field("fewer").bits // MAXIMUM_STRIDE
assert NETWORK_ADDRESS_BITS == LAYER.field("input_base").bits
assert MAXIMUM_KERNEL <= ROW.field("segments").range[1]

CONFIGS = {
    config.name: config
    for config in (
        Config(
            "tiny",
            lanes=2,
            step_bits=2,
            accumulator_words=256,
            weight_words=4096,
            table_words=2048,
            data_words=4096,
            rows=64,
            channels=128,
        ),
        Config(
            "hx8k",
            lanes=4,
            accumulator_words=256,
            weight_words=2048,
            data_words=1024,
            rows=64,
            channels=128,
        ),
        Config("up5k"),
        Config("ecp5-25", groups=2, weight_words=5632, data_words=10240),
        Config(
            "ecp5-25-ternary",
            groups=2,
            weight_bits=2,
            accumulator_words=128,
            weight_words=18432,
            data_words=6144,
            channels=1024,
        ),
        Config("ecp5-85", groups=8, weight_words=6144, data_words=18432, channels=1024, scan_width=4, drain_width=4),
        Config(
            "asic",
            groups=4,
            lanes=16,
            accumulator_words=2048,
            weight_words=1 << 14,
            data_words=1 << 15,
            rows=512,
            channels=1024,
            drain_width=4,
        ),
    )
}
"""The named configurations."""

LARGEST_WEIGHT = CONFIGS["up5k"].wide_weight_limit
"""What two planes of 4 bits hold, as all named configurations but the ternary one have them."""

BOARDS = {
    "icebreaker": "up5k",
    "icesugar": "up5k",
    "hx8k-breakout": "hx8k",
    "ulx3s-12f": "ecp5-25",
    "ulx3s-25f": "ecp5-25",
    "ulx3s-45f": "ecp5-25",
    "ulx3s-85f": "ecp5-85",
    "orangecrab": "ecp5-25",
    "orangecrab-85f": "ecp5-85",
    "ecpix-5": "ecp5-85",
    "ecpix-5-45f": "ecp5-25",
    "colorlight-5a-75b": "ecp5-25",
    "icepi-zero": "ecp5-25",
    "tang-nano-9k": "hx8k",
    "tang-nano-20k": "hx8k",
}
"""Boards that stand for a configuration; what else is known of them is in galton_boards.boards."""


def named(name: str) -> Config:
    """The configuration or board called `name`.

    Raises ValueError naming the known ones.
    """
    try:
        return CONFIGS[BOARDS.get(name, name)]
    except KeyError:
        known = ", ".join([*CONFIGS, *BOARDS])
        raise ValueError(f"There is no configuration {name!r}; the known ones are {known}") from None


__all__ = ["BOARDS", "CONFIGS", "LARGEST_WEIGHT", "Config", "named"]
