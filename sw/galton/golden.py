"""The golden model: executes the packed words of an image, bit for bit as a core does, for many inputs at once.

It sees the image and nothing else: records say where tensors lie and how rows, columns and segments are walked, entries say what
is added where. Inputs are raw integers; the data memory of every input is an array of bytes, so misplaced tensors show, and so
does what is overwritten before it was read (galton.execute).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galton import execute, streaming
from galton.decode import ParsedLayer, Row, Weights, header, parse, segment_entries, vector_ends
from galton.errors import ImageError
from galton.format import FRACTION_BITS, SHIFTS, WORD_BYTES
from galton.image import Image
from galton.network import Ints
from galton.words import check_inputs

CHUNK_BYTES = 1 << 24
"""Room for the data memories of the inputs that are executed together."""


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
        shape = tuple(image.meta["input"]["shape"])
        if prod(shape) != prod(self.layers[0].input_shape):
            raise ImageError(f"META's input {shape} is not the program's {self.layers[0].input_shape}. Compile the network again")
        if self.image.meta["output"]["shape"][:2] != list(last.output_shape[:2]):
            raise ImageError(f"META's output is not the program's {last.output_shape}. Compile the network again")

    def run(self, raw: NDArray[Any]) -> Ints:
        """As the function `run`."""
        outputs = np.concatenate([self._execute(part, None) for part in self._parts(raw)])
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
        check_inputs(self.image, raw)
        step = max(1, CHUNK_BYTES // self.image.config.data_bytes)
        for start in range(0, len(raw), step):
            yield raw[start : start + step].astype(np.int64)

    def _execute(self, raw: Ints, observe: Callable[[LayerTrace], None] | None) -> Ints:
        """Raw outputs in stored order; `observe`, if any, gets every layer's trace."""
        memory = np.zeros((len(raw), self.image.config.data_bytes), np.uint8)
        program = self.image.program.astype("<u4").view(np.uint8)
        memory[:, : len(program)] = program
        _write(memory, self.header["input_base"] * WORD_BYTES, raw.reshape(len(raw), -1))
        for plan in self.plans:
            trace = plan.execute(memory, traced=observe is not None)
            if observe is not None and trace is not None:
                observe(trace)
        last = self.layers[-1]
        return _read(memory, self.header["output_base"], last.output_shape, bool(last.layer["signed_output"]))


class _Plan:
    """One layer, as the compiled loops take it."""

    def __init__(self, parsed: ParsedLayer, weights: Weights) -> None:
        self.parsed, self.config = parsed, weights.config
        self._check_ring()
        layer, width = parsed.layer, self.config.groups * self.config.lanes
        keys = list(dict.fromkeys(_key(row) for row in parsed.rows if row["segments"]))
        rows = {_key(row): row for row in parsed.rows}
        found: list[Ints] = [np.zeros(0, np.int64)]
        offset = np.zeros((max(1, len(keys)), parsed.stride_x), np.int64)
        taps = np.zeros(parsed.stride_x, np.int64)
        for place, key in enumerate(keys):
            for label in parsed.labels:
                offset[place, label] = sum(map(len, found))
                found.append(weights.columns(parsed, rows[key], label).reshape(-1))
        for label in parsed.labels:
            taps[label] = parsed.spans(label).max() * (1 if parsed.elementwise else width)
        labels = np.arange(parsed.input_shape[1]) % parsed.stride_x
        mode = parsed.activation.mode

        group, owned = np.divmod(np.arange(layer["output_channels"]), layer["group_channels"])

        def field(name: str) -> Ints:
            return np.array([row[name] for row in parsed.rows], np.int64)

        self.steps = execute.Steps(
            input_base=layer["input_base"] * WORD_BYTES,
            output_base=layer["output_base"] * WORD_BYTES,
            residual_base=layer["residual_base"] * WORD_BYTES if layer["residual"] else -1,
            columns=parsed.input_shape[1],
            channels=parsed.input_shape[2],
            mode=("bypass", "monte_carlo", "rounding").index(mode),
            residue=parsed.activation.residue,
            dead_zone=parsed.activation.dead_zone,
            count_limit=self.config.count_limit,
            accumulator_bits=self.config.accumulator_bits,
            signed_input=bool(layer["signed_input"]),
            signed_output=bool(layer["signed_output"]),
            signed_residual=bool(layer["signed_residual"]),
            elementwise=parsed.elementwise,
            done=field("done"),
            segments=field("segments"),
            ring_start=field("done").cumsum() % layer["ring_rows"] * layer["row_words"] * width,
            key=np.array([keys.index(_key(row)) if row["segments"] else 0 for row in parsed.rows], np.int64),
            label=np.where(np.isin(labels, parsed.labels), labels, -1),
            start=parsed.starts * width,
            taps=taps,
            offset=offset,
            weights=np.concatenate(found).astype(np.int32),
            row_size=layer["row_words"] * width,
            ring_size=layer["ring_words"] * width,
            left=layer["left_words"] * width,
            width=width,
            vectors=parsed.vectors,
            vector=owned // self.config.lanes,
            lane=group * self.config.lanes + owned % self.config.lanes,
            map_columns=parsed.map_shape[1],
            bias=parsed.bias,
            residual_multiplier=layer["residual_multiplier"],
            shift=parsed.shift,
            low=layer["low"],
            high=layer["high"],
            pool_y=parsed.pool[0],
            pool_x=parsed.pool[1],
        )

    def _check_ring(self) -> None:
        """Raises ImageError where a row has more segments than the ring has rows, and would wait for ever."""
        for y, row in enumerate(self.parsed.rows):
            if row["segments"] > self.parsed.layer["ring_rows"]:
                raise ImageError(
                    f"Layer {self.parsed.name} needs {row['segments']} rows in its ring at row {y}: it would wait for ever. "
                    "Compile the network again"
                )

    def execute(self, memory: NDArray[np.uint8], *, traced: bool) -> LayerTrace | None:
        """Run the layer for every input whose data memory is a row of `memory`; its trace if `traced`."""
        parsed, layer, activation, n = self.parsed, self.parsed.layer, self.parsed.activation, len(memory)
        steps, multipliers = np.full(n, activation.step, np.int64), np.broadcast_to(parsed.multiplier, (n, len(parsed.bias)))
        raw = np.zeros((n, 0), np.int64)
        if traced or activation.dynamic:
            raw = _read(memory, layer["input_base"], parsed.input_shape, bool(layer["signed_input"])).reshape(n, -1)
        if activation.dynamic:
            norms = streaming.effective_norms(raw, activation)
            steps = (np.int64(activation.samples) << FRACTION_BITS) // norms
            scaled = parsed.multiplier * (norms[:, None] >> layer["norm_shift"])
            multipliers = scaled >> SHIFTS[layer["multiplier_shift"]]
        counts = np.zeros((n, prod(parsed.input_shape) if traced else 0), np.int16)
        saturations = np.zeros(n, np.int64)
        execute.layer(self.steps, memory, steps, np.ascontiguousarray(multipliers), counts, saturations, traced)
        if not traced:
            return None
        signed = counts.reshape(n, *parsed.input_shape)
        columns = np.isin(np.arange(parsed.input_shape[1]) % parsed.stride_x, parsed.labels)
        rows = np.array([row["segments"] > 0 for row in parsed.rows[:-1]])
        outputs = _read(memory, layer["output_base"], parsed.output_shape, bool(layer["signed_output"])).astype(np.int16)
        norms = streaming.norms(raw, activation.dead_zone)
        return LayerTrace(parsed.name, signed, self._sent(signed), rows, columns, norms, saturations, outputs)

    def _sent(self, counts: NDArray[np.int16]) -> NDArray[np.bool_]:
        """See LayerTrace."""
        sent: NDArray[np.bool_] = counts != 0
        if self.parsed.elementwise:
            ends = np.flatnonzero(vector_ends(self.parsed, self.config))
            sent[..., ends] = np.logical_or.reduceat(sent, np.concatenate([[0], ends[:-1] + 1]), axis=-1)
        return sent


def _key(row: Row) -> tuple[int, ...]:
    """What a row's weights depend on."""
    return row["weight_base"], row["segments"], row["short"]


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
