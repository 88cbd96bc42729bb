"""Where each input pixel's taps land: kernel, stride and padding as the numbers of LAYER and ROW.

Each axis by itself. Along an axis with kernel K, stride s and p zeros in front, input place x meets the kernel in phase o = (x +
p) mod s: taps o, o + s, o + 2 s, ... at outputs X, X - 1, ... with X = (x + p) div s. There are n(o) = ceil((K - o) / s) of them,
which is ceil(K / s) or one less ("short"). Everything is stored by ascending output, that is by descending tap.

Vertically, segments outside the map are never walked. Horizontally they land in border columns beside the map.

Where there are several groups, each walks its own kernel columns only: those from the first to the last one that has a weight of
its channels, see docs/decisions/0014. A group meets a label in `kernel_columns` taps, or in one less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from galton.config import Config
from galton.format import MAXIMUM_STRIDE
from galton.network import Layer


def taps(kernel: int, stride: int, phase: int) -> list[int]:
    """The kernel places that `phase` meets, descending."""
    return list(range(phase, kernel, stride))[::-1]


@dataclass(frozen=True)
class Walk:
    """What one input row does.

    phase: (y + padding top) mod stride. skipped, segments: kernel rows above the map, and in it. short: one kernel row less than
    ceil(kernel / stride). done: as in format.ROW.
    """

    phase: int
    skipped: int
    segments: int
    short: bool
    done: int


@dataclass(frozen=True)
class OwnTaps:
    """What an input column of one label does in one group.

    taps: kernel columns, descending; those from the kernel's width on have no weights. first: output column of the first tap,
    less (x + padding) div stride.
    """

    taps: tuple[int, ...]
    first: int


@dataclass(frozen=True)
class Geometry:
    """A stored layer on a configuration. Columns and rows count pixels, words count accumulators of L lanes in one group."""

    layer: Layer
    config: Config

    @property
    def group_channels(self) -> int:
        """Stored output channels of a group."""
        return len(self.layer.weights) // self.config.groups

    @property
    def vectors(self) -> int:
        """Accumulator words of a pixel and group."""
        return -(-self.group_channels // self.config.lanes)

    @cached_property
    def planes(self) -> int:
        """Entries of a vector: two where a weight needs them."""
        return 2 if int(abs(self.layer.weights).max()) > self.config.weight_limit else 1

    @property
    def kernel_rows(self) -> int:
        """Kernel rows that an input row with all of them meets."""
        return -(-int(self.layer.weights.shape[1]) // self.layer.stride[0])

    @cached_property
    def _kernels(self) -> list[tuple[int, int]]:
        """The first kernel column of each group, less than the stride, and the one after its last."""
        groups, width = self.config.groups, int(self.layer.weights.shape[2])
        used = np.any(self.layer.weights.any(axis=(1, 3)).reshape(groups, -1, width), axis=1)
        if groups == 1 or self.layer.elementwise or not used.any():
            return [(0, width)] * groups
        columns = [np.flatnonzero(used[group]).tolist() for group in range(groups)]
        return [(min(own[0], self.layer.stride[1] - 1), own[-1] + 1) if own else (0, 0) for own in columns]

    @cached_property
    def kernel_columns(self) -> int:
        """Most kernel columns that an input column meets in a group."""
        return max(-(-(end - first) // self.layer.stride[1]) for first, end in self._kernels)

    @cached_property
    def own(self) -> list[list[OwnTaps]]:
        """What columns do, by label and group: `kernel_columns` taps, or one less.

        First taps lie in two neighbouring output columns at most, those of short labels in the next ones. Where kernels would
        make it three, groups that begin in the last one get a tap without weights before.
        """
        most, stride = self.kernel_columns, self.layer.stride[1]
        found = [[self._own(self.column_phase(label), kernel, most - 1) for kernel in self._kernels] for label in range(stride)]
        short = [all(len(own.taps) < most for own in groups) for groups in found]
        lowest = min(own.first - less for groups, less in zip(found, short, strict=True) for own in groups if own.taps)
        for label, groups in enumerate(found):
            for group, own in enumerate(groups):
                if own.taps and own.first - short[label] > lowest + 1:
                    groups[group] = self._own(self.column_phase(label), self._kernels[group], most)
        return found

    def _own(self, phase: int, kernel: tuple[int, int], least: int) -> OwnTaps:
        """What columns of a phase do in a group, in `least` taps or more."""
        (first, end), stride = kernel, self.layer.stride[1]
        nearest = first + (phase - first) % stride
        count = max(len(range(nearest, end, stride)), least)
        return OwnTaps(tuple(range(nearest, nearest + count * stride, stride))[::-1], 1 - count - (phase < first))

    @property
    def tap_vectors(self) -> int:
        """Vectors that an event meets at each tap: all of a pixel's, or its own in elementwise layers."""
        return 1 if self.layer.elementwise else self.vectors

    @property
    def entries_long(self) -> int:
        """Entries of a dense segment."""
        return self.kernel_columns * self.tap_vectors * self.planes

    @property
    def entries_short(self) -> int:
        """Entries of a dense segment in a short phase."""
        return (self.kernel_columns - 1) * self.tap_vectors * self.planes

    @property
    def pitch(self) -> int:
        """From a segment's address to the next one's."""
        return 1 if self.config.sparse else self.entries_long

    def column_phase(self, label: int) -> int:
        """The phase of the columns with x mod stride = label."""
        return (label + self.layer.padding[2]) % self.layer.stride[1]

    def column_taps(self, label: int, group: int) -> tuple[int, ...]:
        """The kernel columns of a label in a group, descending; those from the kernel's width on have no weights."""
        return self.own[label][group].taps

    def is_short(self, label: int) -> bool:
        """Whether the columns of a label have a tap less in every group."""
        return all(len(own.taps) < self.kernel_columns for own in self.own[label])

    @cached_property
    def labels(self) -> list[int]:
        """The labels that occur and have taps."""
        occurring = range(min(self.layer.stride[1], self.layer.input_shape[1]))
        return [label for label in occurring if any(own.taps for own in self.own[label])]

    @cached_property
    def _first(self) -> int:
        """Output column of the earliest first tap, less (x + padding) div stride, and less one of short labels."""
        firsts = (own.first - self.is_short(label) for label in self.labels for own in self.own[label] if own.taps)
        return min(firsts, default=1 - self.kernel_columns)

    @property
    def _before(self) -> int:
        """Output column of column 0's first tap in a long phase."""
        return self.layer.padding[2] // self.layer.stride[1] + self._first

    @property
    def left(self) -> int:
        """Columns left of the map."""
        return max(0, -self._before)

    @property
    def right(self) -> int:
        """Columns right of the map."""
        width, pad, stride = self.layer.input_shape[1], self.layer.padding[2], self.layer.stride[1]
        reached = [
            (x + pad) // stride + own.first + len(own.taps) - 1
            for x in range(max(0, width - stride), width)
            for own in self.own[x % stride]
            if own.taps
        ]
        return max([0, *(column - (self.layer.map_shape[1] - 1) for column in reached)])

    @property
    def row_words(self) -> int:
        """Accumulator words of an output row."""
        return (self.left + self.layer.map_shape[1] + self.right) * self.vectors

    @property
    def start(self) -> int:
        """Accumulator word of column 0's first tap in a long phase."""
        return (self._before + self.left) * self.vectors

    @property
    def advance(self) -> int:
        """Bit label: the next column begins a new output column."""
        stride = self.layer.stride[1]
        return sum(1 << label for label in range(stride) if self.column_phase(label) == stride - 1)

    @property
    def short(self) -> int:
        """Bit label: the columns of this label have one kernel column less."""
        return sum(self.is_short(label) << label for label in range(self.layer.stride[1]))

    @property
    def fewer(self) -> int:
        """Bit MAXIMUM_STRIDE group + label: the group has one kernel column less, of a label that is not short."""
        return self._marked(lambda label, own: not self.is_short(label) and len(own.taps) < self.kernel_columns)

    @property
    def late(self) -> int:
        """Bit MAXIMUM_STRIDE group + label: the group's first tap is one output column further to the right."""
        return self._marked(lambda label, own: bool(own.taps) and own.first - self.is_short(label) > self._first)

    def _marked(self, mark: Callable[[int, OwnTaps], bool]) -> int:
        """The bits of the labels and groups that are marked."""
        places = [(label, group, own) for label in self.labels for group, own in enumerate(self.own[label])]
        return sum(mark(label, own) << (MAXIMUM_STRIDE * group + label) for label, group, own in places)

    @cached_property
    def walks(self) -> tuple[Walk, ...]:
        """What each input row does; the last one ends the layer."""
        stride, pad, kernel = self.layer.stride[0], self.layer.padding[0], self.layer.weights.shape[1]
        height, rows = self.layer.input_shape[0], self.layer.map_shape[0]
        spans = []
        for y in range(height):
            reach, phase = divmod(y + pad, stride)
            met = len(taps(kernel, stride, phase))
            first, last = max(0, reach - met + 1), min(rows - 1, reach)
            spans.append((phase, met, first, max(0, last - first + 1), first - (reach - met + 1)))
        complete = [0] * rows
        for y, (_, _, first, segments, _) in enumerate(spans):
            for row in range(first, first + segments):
                complete[row] = y + 1
        for row in range(1, rows):
            complete[row] = max(complete[row], complete[row - 1])
        walks = [
            Walk(phase, skipped if segments else 0, segments, met < self.kernel_rows, complete.count(y))
            for y, (phase, met, _, segments, skipped) in enumerate(spans)
        ]
        return (*walks, Walk(0, 0, 0, False, complete.count(height)))

    @property
    def phases(self) -> list[int]:
        """The row phases that any row walks, ascending."""
        return sorted({walk.phase for walk in self.walks if walk.segments})

    def row_taps(self, phase: int) -> list[int]:
        """The kernel rows of a row phase, descending."""
        return taps(self.layer.weights.shape[1], self.layer.stride[0], phase)

    @property
    def done_at_once(self) -> int:
        """Most output rows that one input row finds done, up to the last one that has segments."""
        active = [y for y, walk in enumerate(self.walks) if walk.segments]
        return max((walk.done for walk in self.walks[: max(active, default=-1) + 1]), default=0)

    @cached_property
    def least_ring_rows(self) -> int:
        """Output rows that must be held at once."""
        return max(1, *(walk.segments for walk in self.walks))
