"""Random events of a group, and the segments that an expander makes of them: the model behind the tests of both."""

from __future__ import annotations

from galton.format import ROW

DONE_BITS = next(field.bits for field in ROW.fields if field.name == "done")
RING = {"row_words": 12, "ring_words": 48, "ring_rows": 4}
"""A ring of a few rows. Words from 48 on are outside it."""


def draw_marker(rng):
    """An event that begins a row: done, segments."""
    segments = rng.choice([1, 1, 2, 3])
    return {
        "marker": 1,
        "last": rng.getrandbits(1),
        "start": rng.randrange(2) | segments << DONE_BITS,
        "column": rng.getrandbits(4),
    }


def draw_count(rng, least, limit):
    """A count of a magnitude from `least` on, as magnitude and sign."""
    return {"magnitude": rng.randint(least, limit), "negative": rng.getrandbits(1)}


def draw_events(rng, rows, starts, columns, count_limit=255, events=6):
    """Rows of events behind their markers: weight (table) addresses in `starts`, accumulator columns in `columns`."""
    found = []
    for _ in range(rows):
        found.append(draw_marker(rng))
        for _ in range(rng.randrange(events + 1)):
            event = {"counts": [draw_count(rng, 1, count_limit)], "short": rng.getrandbits(1)}
            found.append({**event, "start": rng.choice(starts), "column": rng.choice(columns)})
    return found


def draw_vectors(rng, rows, starts, columns, config, count_limit=255):
    """Rows of an elementwise layer's events: those bundles of each vector that have a count, and the last one."""
    width = config.scan_width
    bundles = -(-config.lanes // width)
    found = []
    for event in draw_events(rng, rows, starts, columns, count_limit):
        if event.get("marker"):
            found.append(event)
            continue
        last = rng.choice([bundles - 1, bundles - 1, rng.randrange(bundles)])
        chosen = [bundle for bundle in range(last) if rng.random() < 0.6]
        for bundle in [*chosen, last]:
            empty = bundle == last and chosen and rng.random() < 0.4
            counts = [draw_count(rng, 0, 0 if empty else count_limit) for _ in range(min(width, config.lanes - bundle * width))]
            if not empty:
                counts[rng.randrange(len(counts))]["magnitude"] = rng.randint(1, count_limit)
            found.append({**event, "bundle": bundle, "last": int(bundle == last), "counts": counts})
    return found


def signed(count):
    return -count["magnitude"] if count["negative"] else count["magnitude"]


def segments_of(events, layer, table, config):
    """The segments that events become, with the counts of their lanes; `table` is None where columns are dense."""
    segments = done = 0
    gathered = [0] * config.lanes
    for event in events:
        if event.get("marker"):
            segments, more = event["start"] >> DONE_BITS, event["start"] & ((1 << DONE_BITS) - 1)
            done += more
            yield {"marker": 1, "entries": 0, "done": more}
            continue
        counts = [signed(event["counts"][0])] * config.lanes
        if layer["elementwise"]:
            for place, count in enumerate(event["counts"]):
                gathered[event["bundle"] * config.scan_width + place] = signed(count)
            if not event["last"]:
                continue
            counts, gathered = gathered, [0] * config.lanes
        for index in range(segments):
            start = event["start"] + index * layer["pitch"]
            entries = layer["entries_short" if event["short"] else "entries_long"]
            if table is not None:
                start, entries = table[start]["start"], table[start]["entries"]
            column = event["column"] + event.get("late", 0) * layer["accumulator_skip"]
            word = (done + index) * layer["row_words"] % layer["ring_words"] + column
            common = {"first": int(index == 0), "counts": counts}
            if not layer["elementwise"]:
                common |= event["counts"][0]
            yield {"marker": 0, "start": start, "entries": entries, "word": word, **common}
