"""Pooling operators as float layers, and averages, sums and maxima over rows and columns."""

from __future__ import annotations

from collections.abc import Callable

from galton.calls import Call, Unsupported
from galton.format import MAXIMUM_POOL, MAXIMUM_STRIDE, MAXIMUM_WINDOW
from galton.layers import NO_PADDING, AveragePool, Borders, Flatten, FloatLayer, MaxPool, Pad, Pair, Regroup


def max_pool(call: Call) -> list[FloatLayer]:
    window = call.pair("kernel_size")
    stride = call.pair("stride") if call["stride"] else window
    if window == (1, 1) and max(stride) <= MAXIMUM_STRIDE:
        return [AveragePool(call.name, window, stride, NO_PADDING, 1)]
    if stride != window:
        raise Unsupported(f"max-pool windows of {window} at stride {stride}", "MaxPool2d with stride equal to kernel_size")
    if call.pair("dilation") != (1, 1):
        raise Unsupported("max-pool with dilation", "MaxPool2d with dilation=1")
    rows, columns = call.pair("padding")
    below, right = (
        result * step - size - pad
        for size, result, step, pad in zip(call.shape[2:], call.output_shape[2:], window, (rows, columns), strict=True)
    )
    borders = (rows, max(below, 0), columns, max(right, 0))
    if not any(borders):
        return pooling(call, window)
    if not call.positive:
        what = "padding" if rows or columns else "ceil_mode where windows pass the border"
        raise Unsupported(f"max-pool with {what} of values below 0", "a ReLU before it, or MaxPool2d with neither")
    # What is never below 0 has its maximum among zeros, too.
    return [Pad(call.name, borders), *pooling(call, window)]


def pooling(call: Call, window: Pair) -> list[FloatLayer]:
    if max(window) > MAXIMUM_POOL:
        raise Unsupported(f"a max-pool window of {window}", f"windows up to {MAXIMUM_POOL}x{MAXIMUM_POOL}")
    return [MaxPool(call.name, window)] if window != (1, 1) else []


def average_pool(call: Call) -> list[FloatLayer]:
    window = call.pair("kernel_size")
    stride = call.pair("stride") if call["stride"] else window
    rows, columns = call.pair("padding")
    if (rows or columns) and not (call["count_include_pad"] or call.arguments.get("divisor_override")):
        raise Unsupported("average-pool with count_include_pad=False", "AvgPool2d with count_include_pad=True or without padding")
    sides = zip(call.shape[2:], call.output_shape[2:], (rows, columns), window, stride, strict=True)
    if any((size + 2 * pad - side) // step + 1 != result for size, result, pad, side, step in sides):
        raise Unsupported("average-pool with ceil_mode where windows pass the border", "AvgPool2d with ceil_mode=False")
    return averaging(call, window, stride, (rows, rows, columns, columns), call.arguments.get("divisor_override"))


def averaging(
    call: Call, window: Pair, stride: Pair, padding: Borders = NO_PADDING, divisor: int | None = None
) -> list[FloatLayer]:
    """An average. A row under one window, and windows side by side, may be wider than the machine's windows and strides."""
    top, bottom, left, right = padding
    rows, columns = call.shape[2] + top + bottom, call.shape[3] + left + right
    divisor = divisor or window[0] * window[1]
    down = _step(window[0], stride[0], rows - window[0], MAXIMUM_WINDOW)
    across = _step(window[1], stride[1], columns - window[1], MAXIMUM_STRIDE)
    if max(*window, down) <= MAXIMUM_WINDOW and across <= MAXIMUM_STRIDE:
        nothing = window == (down, across) == (1, 1) and padding == NO_PADDING and divisor == 1
        return [] if nothing else [AveragePool(call.name, window, (down, across), padding, divisor)]
    if window == (rows, columns) and padding == NO_PADDING and rows * columns <= MAXIMUM_WINDOW**2:
        # The whole map as one row, and that as another map.
        lines = -(-rows * columns // MAXIMUM_WINDOW)
        length = -(-rows * columns // lines)
        rest = lines * length - rows * columns
        pads = [Pad(call.name, (0, 0, 0, rest))] if rest else []
        pooled = AveragePool(call.name, (lines, length), (lines, 1), NO_PADDING, divisor)
        return [Regroup(call.name, 1, rows * columns), *pads, Regroup(call.name, lines, length), pooled]
    if max(*window, down) <= MAXIMUM_WINDOW and window[1] == stride[1] and columns % window[1] == 0 and not left + right:
        # Over rows, then over columns, each window a row of its own.
        height, width = (rows - window[0]) // down + 1, columns // window[1]
        first = AveragePool(call.name, (window[0], 1), (down, 1), padding, 1)
        second = AveragePool(call.name, (1, window[1]), (1, 1), NO_PADDING, divisor)
        before = [] if window[0] == down == 1 and padding == NO_PADDING else [first]
        return [*before, Regroup(call.name, height * width, window[1]), second, Regroup(call.name, height, width)]
    raise Unsupported(
        f"average-pool windows of {window} at stride {stride}",
        f"windows up to {MAXIMUM_WINDOW}x{MAXIMUM_WINDOW}, at strides up to {MAXIMUM_STRIDE} or side by side",
    )


def _step(window: int, stride: int, spare: int, limit: int) -> int:
    """The stride along an axis; where there is only one window, the largest one that leaves it at that."""
    return stride if stride <= spare else max(spare + 1, min(window, limit))


def adaptive_pool(average: bool) -> Callable[[Call], list[FloatLayer]]:
    """Adaptive pooling whose output divides the map."""

    def handle(call: Call) -> list[FloatLayer]:
        sizes, results = call.shape[2:], call.output_shape[2:]
        if any(size % result for size, result in zip(sizes, results, strict=True)):
            raise Unsupported(
                f"adaptive pooling of {sizes} to {results}, which does not divide it", "a size that divides the map"
            )
        window = (sizes[0] // results[0], sizes[1] // results[1])
        return averaging(call, window, window) if average else pooling(call, window)

    return handle


def reduction(name: str) -> Callable[[Call], list[FloatLayer]]:
    """mean, sum or amax over rows, columns or both."""

    def handle(call: Call) -> list[FloatLayer]:
        dimensions = {call.axis(dimension) for dimension in call["dim"] or range(len(call.given))}
        if len(call.shape) != 4 or not dimensions <= {2, 3}:
            given = sorted(dimension % len(call.given) for dimension in call["dim"] or range(len(call.given)))
            raise Unsupported(f"{name} over dimensions {given}", "rows and columns, or AdaptiveAvgPool2d(1)")
        rows, columns = (call.shape[axis] if axis in dimensions else 1 for axis in (2, 3))
        pooled = (
            pooling(call, (rows, columns))
            if name == "amax"
            else averaging(call, (rows, columns), (1, 1), divisor=1 if name == "sum" else None)
        )
        if call["keepdim"]:
            return pooled
        if len(call.result) == 2:
            return [*pooled, Flatten(call.name)]
        return [*pooled, Regroup(call.name, 1, call.result[2])]

    return handle
