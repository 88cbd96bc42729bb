"""Settings for each layer under one budget of effective multiply-accumulates, by what they cost and lose on calibration inputs.

One pass of the quantizer tries every candidate on each layer, against the inputs that the quantized network gives it. That tells
its effective share of the dense multiply-accumulates and the relative error of its outputs. The choice of the least sum of
errors whose work is within the budget is a knapsack with one item of each layer; dynamic programming over the work finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from galton.errors import CalibrationError, GaltonError
from galton.quantizers import Options, Quantizer, named
from galton.quantizers.moments import Moments, grouped, moments, outputs_error, power

RESOLUTION = 4000
"""Units that the budget is counted in; a layer's work is rounded up to whole ones."""
ROUNDS = 3
LADDER = (0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.85, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)
CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "mcq": tuple({"k_weights": k} for k in LADDER),
    "gpfq": tuple({"k_weights": k} for k in LADDER),
    "galton": tuple({"extra": {"price": price}} for price in (0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8)),
}
"""What a budget is divided with, for each method that has a knob for its work."""

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]


class Reporting(Protocol):
    """A quantized network."""

    def report(self) -> Mapping[str, Any]:
        """Its measures, `effective` among them."""


T = TypeVar("T", bound=Reporting)


@dataclass(eq=False)
class Probe:
    """A quantizer that notes what each candidate costs and loses in each layer.

    work: multiplies of each layer over the mean layer's. shares, errors: of each candidate, added up over a layer's matrices.
    """

    quantizer: Quantizer
    candidates: Sequence[Mapping[str, Any]]
    work: dict[str, float] = field(default_factory=dict)
    shares: dict[str, Reals] = field(default_factory=dict)
    errors: dict[str, Reals] = field(default_factory=dict)

    def __call__(self, weights: Reals, options: Options) -> tuple[Ints, Reals]:
        rows = None if options.rows is None else options.rows()
        if rows is None or isinstance(rows, Moments):
            return self.quantizer(weights, options)
        found = moments(rows, centred=options.corrected)
        _ = found.c
        known = replace(options, rows=lambda: found)
        live = (rows.quantized != 0).mean(axis=1)
        whole = power(grouped(weights, found), rows, centred=options.corrected)
        pairs = [self.tried(weights, replace(known, **arguments(options, own)), found, live, whole) for own in self.candidates]
        name = options.name
        self.work[name] = options.work
        for kept, values in zip((self.shares, self.errors), np.array(pairs).T, strict=True):
            kept[name] = kept.get(name, np.zeros(len(values))) + values
        return self.quantizer(weights, known)

    def tried(self, weights: Reals, options: Options, found: Moments, live: Reals, whole: float) -> tuple[float, float]:
        """Effective share and relative error of one candidate's outputs.

        live: how often each input is not zero, (groups, n). whole: power of the float layer's outputs.
        """
        integers, steps = self.quantizer(weights, options)
        cut = np.clip(integers, -options.limit, options.limit)
        share = ((grouped(cut, found) != 0) * live[:, None]).mean()
        error = outputs_error(weights, cut, steps, found, fitted=options.corrected).sum()
        return float(share), float(max(1 + error / whole, 0.0) ** 0.5) if whole > 0 else 0.0


def arguments(options: Options, own: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate as fields of Options."""
    found: dict[str, Any] = {"extra": {**options.extra, **own.get("extra", {})}}
    return found | ({"k": own["k_weights"]} if "k_weights" in own else {})


def kept(budget: float, options: Mapping[str, Any], quantize: Callable[[dict[str, Any]], T]) -> T:
    """What `quantize` makes of `options` with `layers` that keep the budget; those that `options` has stay as they are.

    What layers take depends on those before, which are then others than in the pass that told the costs: where the budget is not
    kept, it is tightened by as much, up to ROUNDS times.
    """
    check(budget, options)
    found = Probe(named(options["method"]), candidates(options["method"]))
    quantize({**options, "method": found})
    target = budget
    for turn in range(ROUNDS):
        result = quantize({**options, "layers": {**divided(found, target), **options["layers"]}})
        reached = result.report()["effective"]
        if reached <= budget or turn == ROUNDS - 1:
            break
        target *= budget / reached
    return result


def candidates(method: str) -> tuple[dict[str, Any], ...]:
    """The settings of a method that a budget is divided with.

    Raises GaltonError for a method without a knob.
    """
    if method not in CANDIDATES:
        raise GaltonError(f"budget needs a method with a knob for its work, {', '.join(CANDIDATES)}, not {method!r}")
    return CANDIDATES[method]


def check(budget: Any, options: Mapping[str, Any]) -> None:
    """Raise GaltonError or CalibrationError for a budget that is none or cannot be kept by any means."""
    if not (isinstance(budget, int | float) and 0 < budget <= 1):
        raise GaltonError(f"budget must be a share of the dense multiply-accumulates in 0..1, not {budget!r}")
    candidates(options["method"])
    if not options["calibrated"]:
        raise CalibrationError("A budget is divided by errors on calibration data: give some, or no budget")


def divided(found: Probe, budget: float) -> dict[str, dict[str, Any]]:
    """The candidates that keep the budget with the least error, as `layers` of galton.quantize.

    Raises GaltonError where even the sparsest take more.
    """
    names = list(found.work)
    shares, errors = (np.stack([table[name] for name in names]) for table in (found.shares, found.errors))
    chosen = allocate([found.work[name] for name in names], shares, errors, budget)
    return {name: dict(found.candidates[place]) for name, place in zip(names, chosen, strict=True)}


def allocate(multiplies: Sequence[float], shares: Reals, errors: Reals, budget: float) -> list[int]:
    """The candidate of each layer, with the least sum of errors whose work is within the budget.

    Parameters
    ----------
    multiplies: of each layer, dense, in any unit. shares, errors: (layers, candidates), the effective share of a layer's
        multiplies and what it loses. budget: share of all multiplies together.

    Raises GaltonError where even the cheapest candidates take more.
    """
    work = np.asarray(multiplies, np.float64)
    parts = shares * (work / work.sum())[:, None]
    least = float(parts.min(axis=1).sum())
    units = np.ceil(parts * (RESOLUTION / budget) - 1e-9).astype(np.int64)
    if int(units.min(axis=1).sum()) > RESOLUTION:
        raise GaltonError(
            f"A budget of {budget:.3g} of the dense multiply-accumulates cannot be kept: the sparsest weights take {least:.3g}. "
            "A larger dead_zone or a smaller k_activations makes activations sparser"
        )
    best = np.zeros(RESOLUTION + 1)
    choices = []
    for costs, losses in zip(units, errors, strict=True):
        reached = np.full((len(costs), RESOLUTION + 1), np.inf)
        for place, (cost, loss) in enumerate(zip(costs, losses, strict=True)):
            if cost <= RESOLUTION:
                reached[place, cost:] = best[: RESOLUTION + 1 - cost] + loss
        choices.append(reached.argmin(axis=0))
        best = reached.min(axis=0)
    left, found = RESOLUTION, []
    for costs, chosen in zip(reversed(units), reversed(choices), strict=True):
        found.append(int(chosen[left]))
        left -= int(costs[found[-1]])
    return found[::-1]
