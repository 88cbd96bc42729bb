"""The golden model: executes the packed words of an image, bit for bit as a core does, for many inputs at once.

It sees the image and nothing else: records say where tensors lie and how rows, columns and segments are walked, entries say what
is added where. Inputs are raw integers; the data memory of every input is an array of bytes, so misplaced tensors show.

Sums are matrix products in floating point, one per input row and label, which is exact: float32 where no sum of magnitudes can
reach 2^24, float64 below 2^53, and no order of exact additions rounds. Accumulators wrap at their width as the hardware's would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import streaming
from galton.decode import ParsedLayer, Row, Weights, header, parse, segment_entries, vector_ends
from galton.errors import CalibrationError, ImageError
from galton.format import SHIFTS, TOTAL_BITS, WORD_BYTES
from galton.image import Image
from galton.network import Ints

Floats = NDArray[Any]

CHUNK_BYTES = 1 << 24
"""Room for the arrays of the inputs that are executed together."""
FLOAT32_LIMIT, FLOAT64_LIMIT = 1 << 24, 1 << 53


@dataclass(frozen=True)
class LayerTrace:
    """What happened in one layer, for n inputs.

    counts: (n, rows, columns, stored channels) signed, of every activation. sent: of that shape, whether it goes to a group: it
    is not 0, or the last one of a vector of an elementwise layer that has others. rows, columns: whether events of an input row
    and column reach any group: rows with segments, labels with taps. norms: (n,) T of the input. saturations: (n,) counts of
    such rows and columns that were cut. outputs: (n, rows, columns, stored channels) raw outputs.
    """

    name: str
    counts: NDArray[np.int16]
    sent: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    norms: Ints
    saturations: Ints
    outputs: NDArray[np.int16]

    @property
    def events(self) -> Ints:
        """Events of each input, (n,): counts other than 0 that go to a group."""
        events: Ints = np.count_nonzero(self.counts[:, self.rows][:, :, self.columns], axis=(1, 2, 3))
        return events


def run(image: Image, raw: NDArray[Any]) -> Ints:
    """Raw outputs (n, rows, columns, channels) in real channel order of raw inputs (n, rows, columns, channels).

    Raises CalibrationError for inputs of the wrong shape or range, ImageError for an image that no core could run.
    """
    return Machine(image).run(raw)


def trace(image: Image, raw: NDArray[Any]) -> list[LayerTrace]:
    """What happened in each layer.

    Raises CalibrationError and ImageError as `run` does.
    """
    return Machine(image).trace(raw)


class Machine:
    """An image made ready to run.

    Raises ImageError for an image that no core could run.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.header = header(image)
        self.layers = parse(image)
        weights = Weights(image)
        self.plans = [_Plan(layer, weights) for layer in self.layers]
        last, order = self.layers[-1], image.meta["output"]["order"]
        if not all(0 <= place < last.output_shape[2] for place in order):
            raise ImageError(
                f"META's channel order goes beyond the {last.output_shape[2]} stored channels. Compile the network again"
            )
        self.input_shape = tuple(image.meta["input"]["shape"])
        if prod(self.input_shape) != prod(self.layers[0].input_shape):
            raise ImageError(
                f"META's input {self.input_shape} is not the program's {self.layers[0].input_shape}. Compile the network again"
            )
        if self.image.meta["output"]["shape"][:2] != list(last.output_shape[:2]):
            raise ImageError(f"META's output is not the program's {last.output_shape}. Compile the network again")

    def run(self, raw: NDArray[Any]) -> Ints:
        """As the function `run`."""
        outputs = np.concatenate([self._execute(part, lambda _: None) for part in self._parts(raw)])
        real: Ints = outputs[..., self.image.meta["output"]["order"]]
        return real

    def trace(self, raw: NDArray[Any]) -> list[LayerTrace]:
        """As the function `trace`."""
        parts: list[list[LayerTrace]] = []
        for part in self._parts(raw):
            parts.append([])
            self._execute(part, parts[-1].append)
        return [_joined(layer) for layer in zip(*parts, strict=True)]

    def _parts(self, raw: NDArray[Any]) -> Iterator[Ints]:
        """The inputs, checked, in chunks that bound the memory."""
        meta, shape = self.image.meta["input"], self.input_shape
        if raw.ndim != 4 or raw.shape[1:] != shape or not len(raw):
            raise CalibrationError(f"The network takes raw inputs of shape {('n', *shape)} with n at least 1, not {raw.shape}")
        if not np.issubdtype(raw.dtype, np.integer):
            raise CalibrationError(f"Raw inputs are integers, not {raw.dtype}; CompiledNetwork.run takes real ones")
        if raw.min() < meta["low"] or raw.max() > meta["high"]:
            raise CalibrationError(f"Raw inputs are in {meta['low']}..{meta['high']}, not {raw.min()}..{raw.max()}")
        room = self.image.config.data_bytes + max(plan.bytes for plan in self.plans)
        step = max(1, CHUNK_BYTES // room)
        for start in range(0, len(raw), step):
            yield raw[start : start + step].astype(np.int64)

    def _execute(self, raw: Ints, observe: Callable[[LayerTrace], None]) -> Ints:
        """Raw outputs in stored order; `observe` gets every layer's trace."""
        memory = np.zeros((len(raw), self.image.config.data_bytes), np.uint8)
        program = self.image.program.astype("<u4").view(np.uint8)
        memory[:, : len(program)] = program
        _write(memory, self.header["input_base"] * WORD_BYTES, raw.reshape(len(raw), -1))
        for plan in self.plans:
            observe(plan.execute(memory))
        last = self.layers[-1]
        return _read(memory, self.header["output_base"], last.output_shape, bool(last.layer["signed_output"]))


class _Plan:
    """One layer, its weights as matrices."""

    def __init__(self, parsed: ParsedLayer, weights: Weights) -> None:
        self.parsed = parsed
        self.config = weights.config
        self.width = self.config.groups * self.config.lanes
        columns: dict[tuple[int, ...], list[Ints]] = {}
        for row in parsed.rows:
            if row["segments"] and _key(row) not in columns:
                columns[_key(row)] = [weights.columns(parsed, row, label) for label in parsed.labels]
        reach = self._reach(columns)
        if reach >= FLOAT64_LIMIT:
            raise ImageError(f"Layer {parsed.name} can sum to {reach}. Compile the network again")
        kind = np.float32 if reach < FLOAT32_LIMIT else np.float64
        self.kind = np.dtype(kind)
        self.weights: dict[tuple[int, ...], list[Floats]] = {
            key: [part.astype(kind) for part in parts] for key, parts in columns.items()
        }
        height, wide, channels = parsed.input_shape
        products = max([0, *(part[0].size for parts in self.weights.values() for part in parts)]) * wide
        self.bytes = 32 * height * wide * channels + 8 * (products + parsed.layer["ring_words"] * self.width)

    def _reach(self, columns: dict[tuple[int, ...], list[Ints]]) -> int:
        """The largest sum of magnitudes that any accumulator can gather."""
        layer = self.parsed.layer
        gathered = np.zeros((layer["ring_rows"], self.parsed.vectors, self.config.groups, self.config.lanes), np.int64)
        most, drained = 0, 0
        for row in self.parsed.rows:
            for _ in range(row["done"]):
                gathered[drained % layer["ring_rows"]] = 0
                drained += 1
            for part in columns[_key(row)] if row["segments"] else []:
                sums = np.abs(part)
                if self.parsed.elementwise:
                    sums = sums.sum(axis=2).swapaxes(0, 1)
                else:
                    sums = sums.sum(axis=0).reshape(sums.shape[1], -1, *gathered.shape[1:]).sum(axis=1)
                for segment, amount in enumerate(sums):
                    gathered[(row["ring_start"] // layer["row_words"] + segment) % layer["ring_rows"]] += amount
            most = max(most, int(gathered.max()))
        return most * self.config.count_limit

    def execute(self, memory: NDArray[np.uint8]) -> LayerTrace:
        """Run the layer for every input whose data memory is a row of `memory`."""
        parsed, layer, n = self.parsed, self.parsed.layer, len(memory)
        raw = _read(memory, layer["input_base"], parsed.input_shape, bool(layer["signed_input"])).reshape(n, -1)
        activation = parsed.activation
        counts, cut = streaming.counts(raw, activation, self.config.count_bits)
        counts = counts.reshape(n, *parsed.input_shape)
        values = counts.astype(self.kind)
        accumulators = np.zeros((n, layer["ring_words"] * self.width), self.kind)
        residual = None
        if layer["residual"]:
            residual = _read(memory, layer["residual_base"], parsed.map_shape, bool(layer["signed_residual"]))
        drain = _Drain(parsed, self.width, self.config.accumulator_bits, self._multipliers(raw), residual)
        claimed = 0
        for y, row in enumerate(parsed.rows):
            for _ in range(row["done"]):
                drain.row(accumulators)
            claimed += row["claim"]
            if claimed - drain.drained > layer["ring_rows"]:
                raise ImageError(
                    f"Layer {parsed.name} needs {claimed - drain.drained} rows in its ring at row {y}: it would wait for ever"
                )
            if row["segments"]:
                for label, weights in zip(parsed.labels, self.weights[_key(row)], strict=True):
                    products = self._products(values[:, y, label :: parsed.stride_x], weights)
                    self._accumulate(accumulators, products, row, label)
        outputs = np.stack(drain.rows, axis=1).reshape(n, *parsed.output_shape)
        _write(memory, layer["output_base"] * WORD_BYTES, outputs.reshape(n, -1))
        columns = np.isin(np.arange(parsed.input_shape[1]) % parsed.stride_x, parsed.labels)
        rows = np.array([row["segments"] > 0 for row in parsed.rows[:-1]])
        norms = streaming.norms(raw, activation.dead_zone)
        saturations = np.count_nonzero(cut.reshape(counts.shape)[:, rows][:, :, columns], axis=(1, 2, 3))
        kept = (counts.astype(np.int16), self._sent(counts), rows, columns, norms, saturations, outputs.astype(np.int16))
        return LayerTrace(parsed.name, *kept)

    def _sent(self, counts: Ints) -> NDArray[np.bool_]:
        """See LayerTrace."""
        sent: NDArray[np.bool_] = counts != 0
        if self.parsed.elementwise:
            ends = np.flatnonzero(vector_ends(self.parsed, self.config))
            sent[..., ends] = np.logical_or.reduceat(sent, np.concatenate([[0], ends[:-1] + 1]), axis=-1)
        return sent

    def _products(self, counts: Floats, weights: Floats) -> Floats:
        """What one row's counts (n, columns of a label, channels) give: (n, columns, segments, taps, numbers of a pixel)."""
        n, columns, channels = counts.shape
        pixel = self.parsed.vectors * self.width
        if not self.parsed.elementwise:
            products = counts.reshape(-1, channels) @ weights.reshape(channels, -1)
            return products.reshape(n, columns, weights.shape[1], -1, pixel)
        groups, lanes = self.config.groups, self.config.lanes
        owned = counts.reshape(n, columns, groups, -1)
        spare = self.parsed.vectors * lanes - owned.shape[3]
        placed = np.pad(owned, ((0, 0), (0, 0), (0, 0), (0, spare))).reshape(n, columns, groups, -1, lanes)
        parts = placed.swapaxes(2, 3)[:, :, None, None] * weights.transpose(1, 2, 0, 3, 4)
        return parts.reshape(n, columns, *weights.shape[1:3], pixel)

    def _accumulate(self, accumulators: Floats, products: Floats, row: Row, label: int) -> None:
        """Add a row's products where they belong."""
        layer, vectors = self.parsed.layer, self.parsed.vectors
        n, columns, _, _, pixel = products.shape
        first = int(self.parsed.starts[label])
        for segment in range(row["segments"]):
            base = (row["ring_start"] + segment * layer["row_words"]) % layer["ring_words"] + first
            for tap in range(products.shape[3]):
                start = (base + tap * vectors) * self.width
                target = accumulators[:, start : start + columns * pixel].reshape(n, columns, pixel)
                target += products[:, :, segment, tap]

    def _multipliers(self, raw: Ints) -> Ints:
        """Multipliers (n or 1, 1, channels) for inputs (n, size)."""
        layer, multiplier = self.parsed.layer, self.parsed.multiplier[None, None]
        if not layer["dynamic"]:
            return multiplier
        norms = streaming.effective_norms(raw, self.parsed.activation)[:, None, None]
        result: Ints = (multiplier * (norms >> layer["norm_shift"])) >> SHIFTS[layer["multiplier_shift"]]
        return result


class _Drain:
    """Takes accumulator rows in order, rescales, adds the residual (n, rows, columns, channels) if there is one, clamps, pools.

    rows: raw output rows (n, columns, stored channels) so far. drained: rows taken.
    """

    def __init__(self, parsed: ParsedLayer, width: int, accumulator_bits: int, multiplier: Ints, residual: Ints | None) -> None:
        self.parsed, self.width, self.accumulator_bits, self.multiplier = parsed, width, accumulator_bits, multiplier
        self.residual = residual
        self.drained = 0
        self.rows: list[Ints] = []

    def row(self, accumulators: Floats) -> None:
        """Drain and clear the next row."""
        parsed, layer = self.parsed, self.parsed.layer
        n, lanes = len(accumulators), self.width // (layer["output_channels"] // layer["group_channels"])
        start = self.drained % layer["ring_rows"] * layer["row_words"]
        whole = accumulators[:, start * self.width : (start + layer["row_words"]) * self.width]
        shape = (n, parsed.map_shape[1], parsed.vectors, -1, lanes)
        size = parsed.map_shape[1] * parsed.vectors * self.width
        mapped = whole[:, layer["left_words"] * self.width :][:, :size].reshape(shape)
        pixels = mapped.transpose(0, 1, 3, 2, 4).reshape(n, shape[1], -1, parsed.vectors * lanes)[..., : layer["group_channels"]]
        sums = _wrap(pixels.reshape(n, shape[1], -1).astype(np.int64), self.accumulator_bits)
        whole[:] = 0
        added = 0 if self.residual is None else self.residual[:, self.drained] * layer["residual_multiplier"]
        totals = _wrap(sums * self.multiplier + parsed.bias + added, TOTAL_BITS)
        raw = np.clip(totals >> parsed.shift, layer["low"], layer["high"])
        pool_y, pool_x = parsed.pool
        raw = raw.reshape(n, -1, pool_x, raw.shape[2]).max(axis=2)
        if self.drained % pool_y:
            np.maximum(self.rows[-1], raw, out=self.rows[-1])
        else:
            self.rows.append(raw)
        self.drained += 1


def _key(row: Row) -> tuple[int, ...]:
    """What a row's weights depend on."""
    return row["weight_base"], row["segments"], row["short"]


def _wrap(values: Ints, bits: int) -> Ints:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    wrapped: Ints = ((values + half) & ((1 << bits) - 1)) - half
    return wrapped


def _read(memory: NDArray[np.uint8], base: int, shape: tuple[int, ...], signed: bool) -> Ints:
    """Tensors (n, *shape) from word `base` of each data memory."""
    size = prod(shape)
    stored = memory[:, base * WORD_BYTES : base * WORD_BYTES + size]
    values: Ints = (stored.view(np.int8) if signed else stored).reshape(len(memory), *shape).astype(np.int64)
    return values


def _write(memory: NDArray[np.uint8], place: int, values: Ints) -> None:
    """Bytes (n, size) from byte `place` of each data memory, the last word filled up with zeros."""
    end = place + values.shape[1]
    memory[:, place:end] = values.astype(np.uint8)
    memory[:, end : -(-end // WORD_BYTES) * WORD_BYTES] = 0


def _joined(parts: tuple[LayerTrace, ...]) -> LayerTrace:
    """The traces of one layer, chunk behind chunk."""
    batched = ("counts", "sent", "norms", "saturations", "outputs")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in batched}
    return LayerTrace(parts[0].name, rows=parts[0].rows, columns=parts[0].columns, **joined)


__all__ = ["LayerTrace", "Machine", "ParsedLayer", "parse", "run", "segment_entries", "trace"]
