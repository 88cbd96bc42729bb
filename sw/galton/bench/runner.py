"""Runs cells in parallel, on this machine or on a Dask cluster, and keeps every finished one as a file of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from galton import processors
from galton.bench.cells import measure
from galton.bench.scoring import Row, plain
from galton.errors import GaltonError

LOCAL = "local:"
TIMEOUT = "10s"
"""How long a scheduler may take to answer."""


class Work(Protocol):
    """What a row is computed of: a cell, or anything else that can be pickled and has a key."""

    @property
    def key(self) -> str:
        """A name that only equal work shares."""


Measure = Callable[[Any, int], Row]
"""The row of a piece of work, its key among the values, with so many threads."""


def run(
    cells: Sequence[Work],
    folder: Path,
    *,
    jobs: int = 1,
    dask: str | None = None,
    fresh: bool = False,
    done: Callable[[Row], None] = lambda row: None,
    by: Measure | None = None,
    store: str = "cells",
) -> list[Row]:
    """The rows of `cells`, in their order; those that `folder` holds already are not computed again unless `fresh`.

    A cell that failed is tried again. What is finished stays in the folder when the run is interrupted.

    Parameters
    ----------
    jobs: processes on this machine; ignored with dask.
    dask: address of a scheduler, whose workers have Galton and the data folder, or "local:N" for N workers here.
    done: called with each row, stored or computed, in the order in which they come.
    by: a function of a module, that measures; by default galton.bench.cells.measure. store: where in `folder` the rows are.

    Raises GaltonError for a scheduler that cannot be reached.
    """
    place = folder / store
    place.mkdir(parents=True, exist_ok=True)
    wanted = {cell.key: cell for cell in cells}
    rows = {} if fresh else {key: row for key, row in stored(place) if key in wanted and "failure" not in row}
    for row in rows.values():
        done(row)
    for row in computed([cell for key, cell in wanted.items() if key not in rows], by or measure, jobs, dask):
        write(place / f"{row['key']}.json", row)
        rows[row["key"]] = row
        done(row)
    return [rows[key] for key in wanted]


def stored(store: Path) -> Iterator[tuple[str, Row]]:
    """The rows in a folder by key; a file that was cut off is no row."""
    for path in sorted(store.glob("*.json")):
        try:
            row = json.loads(path.read_text())
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("key") == path.stem:
            yield path.stem, row


def write(path: Path, row: Row) -> None:
    """Write a row at once, so that a run that is stopped leaves no half of one."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(row, default=plain))
    unfinished.replace(path)


def computed(cells: Sequence[Work], by: Measure, jobs: int, dask: str | None) -> Iterable[Row]:
    """Rows as they are finished."""
    if not cells:
        return
    from joblib import Parallel, delayed

    with ExitStack() as stack:
        if dask is not None:
            jobs = stack.enter_context(cluster(dask))
        threads = max(1, processors.count() // jobs) if dask is None else 1
        yield from Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="all", batch_size=1)(
            delayed(by)(cell, threads) for cell in cells
        )


@contextmanager
def cluster(address: str) -> Iterator[int]:
    """Joblib on a Dask cluster while it lasts; gives the number of the cluster's threads.

    Raises GaltonError where there is none.
    """
    from distributed import Client, LocalCluster
    from joblib import parallel_config

    with ExitStack() as stack:
        if address.startswith(LOCAL):
            number = address.removeprefix(LOCAL)
            if not number.isdigit() or int(number) < 1:
                raise GaltonError(f"--dask takes the address of a scheduler or {LOCAL}N with N workers, not {address!r}")
            options: dict[str, Any] = {"n_workers": int(number), "threads_per_worker": 1, "processes": True}
            address = stack.enter_context(LocalCluster(**options, dashboard_address=None, host="127.0.0.1")).scheduler_address
        try:
            client = stack.enter_context(Client(address, timeout=TIMEOUT))
        except (OSError, ValueError) as error:
            raise GaltonError(f"There is no Dask scheduler at {address}: {error}") from error
        count = sum(client.nthreads().values())
        if not count:
            raise GaltonError(f"The Dask scheduler at {address} has no workers")
        stack.enter_context(parallel_config(backend="dask", wait_for_workers_timeout=30))
        yield count
