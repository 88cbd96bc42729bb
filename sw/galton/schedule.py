"""The compiled loop of the cycle model: in which cycle every item, event, segment and entry of a layer moves."""

from __future__ import annotations

import numpy as np

from galton.loops import compiled

FIFO_LATENCY = 2
"""Cycles from an event's way into a group's FIFO to its earliest way out."""


@compiled
def walk(  # type: ignore[no-untyped-def]
    rows,
    times,
    woken,
    whole,
    first,
    lengths,
    entries,
    elementwise,
    first_item,
    ring_rows,
    output_rows,
    fifo_depth,
    distance,
    loaded,
    offsets,
    owner,
    last_fetch,
    row_end,
):
    """Cycles of running a layer until its last fetch is over, and stalls for FIFOs, for the ring, and for the drain.

    Cycle 0 is the layer's first cycle of running. Arrays are int64, `woken` and `whole` bool.

    rows: (rows + 1, 2), ROW.segments and ROW.done. times, woken, whole, first, lengths, entries: of cycles.Events. elementwise,
    ring_rows, output_rows: of LAYER. first_item: cycle in which the first item reaches the dispatch (cycles.FIRST_ITEM).
    fifo_depth, distance: Config.fifo_depth, Config.group_distance. loaded: first cycle in which the drain may see a row. offsets,
    owner, last_fetch, row_end: offsets, groups, last and end of cycles.Fetches.
    """
    groups, per_row = entries.shape[2], len(offsets)
    # When the last fifo_depth items left each group's FIFO.
    left = np.full((groups, fifo_depth), -1, np.int64)
    pushed, popped, copied = np.zeros(groups, np.int64), np.full(groups, -1, np.int64), np.zeros(groups, np.int64)
    # The expander's last segment: when it was made and when the walker took it; when the walker can take the next one.
    made, taken, free = np.full(groups, -1, np.int64), np.full(groups, -1, np.int64), np.zeros(groups, np.int64)
    # The drain: first fetch and last fetch of each row, and how far each walker has gone through the fetches.
    begun, drained_at = np.zeros(output_rows, np.int64), np.zeros(output_rows, np.int64)
    announced, waiting, paused = 0, loaded, 0
    at_row, at_fetch = np.zeros(groups, np.int64), np.zeros(groups, np.int64)

    time = first_item
    fifo_stalls, ring_stalls, drain_stalls = 0, 0, 0
    for y in range(len(rows)):
        segments, done = rows[y, 0], rows[y, 1]
        start, end = (first[y], first[y + 1]) if y + 1 < len(rows) else (0, 0)
        base = time
        for event in range(start - 1, end):
            marker = event == start - 1
            time = base if marker else base + times[event]
            leaves = time
            for group in range(groups):
                if marker or woken[event, group]:
                    leaves = max(leaves, left[group, pushed[group] % fifo_depth] + 1 + distance)
            fifo_stalls += leaves - time
            ready = 0
            for group in range(groups):
                if not (marker or woken[event, group]):
                    continue
                earliest = max(leaves + FIFO_LATENCY + distance, popped[group] + 1)
                if elementwise and not marker:
                    # The vector before has been copied from where this one's lanes are gathered.
                    earliest = max(earliest, copied[group])
                popped[group] = earliest
                for segment in range(1 if marker else (segments if whole[event] else 0)):
                    count = 0 if marker else entries[event, segment, group]
                    made[group] = max(earliest, made[group] + 1, taken[group])
                    taken[group] = max(made[group] + 1, free[group])
                    if segment == 0 or not elementwise:
                        popped[group] = made[group]
                    if elementwise and not marker and segment == 0:
                        copied[group] = taken[group] + 1
                    if count == 0:
                        free[group] = taken[group] + 1
                        continue
                    # Fetches up to the cycle of taking hit an idle walker or an earlier segment.
                    issued, upto = taken[group] + count, taken[group]
                    row, fetch = at_row[group], at_fetch[group]
                    while row < announced:
                        mine = owner[fetch, 0] <= group and group < owner[fetch, 1]
                        cycle = begun[row] + offsets[fetch] + distance
                        if cycle > issued:
                            break
                        if mine and cycle > upto:
                            issued += 1
                            drain_stalls += 1
                        fetch += 1
                        if fetch == per_row:
                            row, fetch = row + 1, 0
                    at_row[group], at_fetch[group] = row, fetch
                    free[group] = issued
                left[group, pushed[group] % fifo_depth] = popped[group]
                pushed[group] += 1
                ready = max(ready, taken[group])
            base = leaves + 1 if marker else base + leaves - time
            if marker:
                for _ in range(done):
                    # A row begins a cycle after the drain sees it, and waits for the last fetch's activations.
                    begun[announced] = max(max(waiting, ready + 1 + distance) + 1, paused)
                    drained_at[announced] = begun[announced] + last_fetch
                    waiting, paused = drained_at[announced] + 1, begun[announced] + row_end
                    announced += 1
                claimed = announced + segments
                if claimed > ring_rows and y + 1 < len(rows):
                    room = drained_at[claimed - ring_rows - 1] + 1 + distance
                    if room > base:
                        ring_stalls += room - base
                        base = room
        if y + 1 < len(rows):
            time = base + lengths[y]
    return paused + 1, fifo_stalls, ring_stalls, drain_stalls
