"""Methods compared at equal effective work, sample by sample.

A front of a method is what none of its own cells beats: more score at no more work. Between two points of a front, work and
every sample's score are interpolated in a straight line: a network drawn from the two at random would have them on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from galton.bench import markdown
from galton.bench.scores import Difference, Floats, unpack
from galton.bench.scoring import Row
from galton.bench.tables import front, write_csv

CHAMPION = "galton"
"""The method that the others are compared with."""
SURE = 2.0
"""Standard errors from which on a difference counts."""
WORK = "effective"
COLUMNS = ("network", "peer", "setting", "work", "difference", "error", "unit")


@dataclass(frozen=True)
class Front:
    """A method's front on one network, by rising cost. rows: its cells; costs: (points,); scores: (points, samples)."""

    rows: tuple[Row, ...]
    costs: tuple[float, ...]
    scores: Floats

    @staticmethod
    def of(rows: Sequence[Row], cost: str = WORK) -> Front:
        """The front of rows of one method, network and set of samples; failures are left out."""
        good = [row for row in rows if "failure" not in row]
        best = tuple(good[place] for place in front([(row[cost], row["score"]) for row in good]))
        scores = np.array([unpack(row["scores"]) for row in best])
        return Front(best, tuple(float(row[cost]) for row in best), scores)

    def at(self, cost: float) -> Floats | None:
        """Scores of the samples at a cost; the best point's beyond the front, None below its cheapest point."""
        if not self.rows or cost < self.costs[0]:
            return None
        above = int(np.searchsorted(self.costs, cost))
        if above == len(self.rows):
            return np.asarray(self.scores[-1])
        low, high = self.costs[above - 1] if above else cost, self.costs[above]
        share = (cost - low) / (high - low) if high > low else 1.0
        return np.asarray((1 - share) * self.scores[max(above - 1, 0)] + share * self.scores[above])

    def cost_of(self, score: float) -> float | None:
        """The least cost at which the mean score is reached; None where it is not."""
        if not self.rows:
            return None
        means = self.scores.mean(axis=1)
        if means[0] >= score:
            return self.costs[0]
        for (low, high), (before, after) in zip(pairwise(self.costs), pairwise(means), strict=True):
            if after >= score:
                return float(low + (high - low) * (score - before) / (after - before))
        return None


def contests(rows: Sequence[Row], champion: str) -> list[Row]:
    """The champion against each other method, network by network: its front less the scores at the points of the other's front.

    points: those that were compared; cheaper: those below the champion's cheapest point, which were not. difference: mean over
    the points, with the paired standard error over the samples; worst and best: of one point, with setting and work. verdict:
    "better", "worse", "mixed" where points differ both ways by more than SURE errors, "tied", or "not compared".
    """
    found: list[Row] = []
    good = [row for row in rows if "failure" not in row]
    for network in dict.fromkeys(row["network"] for row in good if row["method"] == champion):
        own = [row for row in good if row["network"] == network]
        ours = Front.of([row for row in own if row["method"] == champion])
        found += [
            {"network": network, "peer": peer, **contest(ours, Front.of([row for row in own if row["method"] == peer]))}
            for peer in dict.fromkeys(row["method"] for row in own if row["method"] != champion)
        ]
    return found


def contest(ours: Front, theirs: Front) -> Row:
    """The numbers of one contest, as `contests` says."""
    gains, points = [], []
    for row, cost, scores in zip(theirs.rows, theirs.costs, theirs.scores, strict=True):
        reached = ours.at(cost)
        if reached is None:
            continue
        if len(reached) != len(scores):
            raise ValueError(f"{row['network']}: {len(reached)} and {len(scores)} samples cannot be paired")
        gains.append(reached - scores)
        gain = Difference.of(gains[-1])
        points.append({"setting": row["setting"], "work": cost, "difference": gain.mean, "error": gain.error})
    cheaper = len(theirs.rows) - len(points)
    if not points:
        return {"points": [], "cheaper": cheaper, "verdict": "not compared", "unit": _unit(ours, theirs)}
    mean = Difference.of(np.mean(gains, axis=0))
    return {
        "points": points,
        "cheaper": cheaper,
        "difference": mean.mean,
        "error": mean.error,
        "worst": min(points, key=lambda point: point["difference"]),
        "best": max(points, key=lambda point: point["difference"]),
        "verdict": verdict(mean, points),
        "unit": _unit(ours, theirs),
    }


def verdict(mean: Difference, points: Sequence[dict[str, Any]]) -> str:
    """In one word, from the mean and the points."""
    won = [point for point in points if point["difference"] > SURE * point["error"]]
    lost = [point for point in points if point["difference"] < -SURE * point["error"]]
    if won and lost:
        return "mixed"
    if won or mean.mean > SURE * mean.error:
        return "better"
    return "worse" if lost or mean.mean < -SURE * mean.error else "tied"


def _unit(*fronts: Front) -> str:
    return next((row["unit"] for side in fronts for row in side.rows), "%")


def write(rows: Sequence[Row], folder: Path, champion: str = CHAMPION) -> list[Path]:
    """equal_work.csv, a line for each point of a contest, and tables.md, contests and results, in `folder`."""
    found = contests(rows, champion)
    table, text = folder / "equal_work.csv", folder / "tables.md"
    write_csv(table, COLUMNS, [{**one, **point} for one in found for point in one["points"]])
    parts = (markdown.contests(found, champion), markdown.results(rows)) if found else (markdown.results(rows),)
    text.write_text("\n".join(parts))
    return [table, text]
