"""What is measured: tasks by configurations by variants, each with its trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galton.bench.tables import words
from galton.bench.tiny.tasks import MONTE_CARLO, QUOTED, Settings, Task
from galton.bench.tiny.trials import Trial
from galton.config import CONFIGS, Config

SIMULATED: tuple[Config, ...] = (
    CONFIGS["asic"],
    Config(
        "asic-sparse",
        groups=2,
        lanes=16,
        step_bits=2,
        accumulator_words=2048,
        weight_words=1 << 15,
        table_words=1 << 12,
        data_words=1 << 15,
        rows=512,
        channels=1024,
    ),
)
"""Configurations without a device, dense and sparse, large enough for every network, that verification adds."""
ENOUGH = 3
"""Configurations that every network is verified on."""


@dataclass(frozen=True)
class Entry:
    """A row of a table to be."""

    task: Task
    variant: str
    settings: Mapping[str, Any]
    config: Config
    trial: Trial


def entries(tasks: Iterable[Task], configs: Sequence[Config], given: Sequence[Settings], data: Path, output: Path) -> list[Entry]:
    """Every variant of every task on every configuration.

    given: settings in place of the tasks' own. data: the data folder. output: where results are kept.
    """
    found = []
    for config in configs:
        for task in tasks:
            own = {variant: task.setting(config.name, variant) for variant in (QUOTED, MONTE_CARLO)}
            for variant, settings in {words(one): dict(one) for one in given}.items() if given else own.items():
                trial = Trial(task.network, settings, task.calibration, task.limit, str(data), str(output / "networks"))
                found.append(Entry(task, variant, settings, config, trial))
    return found


def to_verify(planned: Sequence[Entry], fits: Mapping[tuple[str, str], bool]) -> list[tuple[Trial, Config]]:
    """What is to run in Verilog: each trial on the configurations that it fits, and the first one of a network on simulated ones
    until it has ENOUGH.

    fits: whether a trial, by its key, fits a configuration, by its name.
    """
    found = {(one.trial.key, one.config.name): (one.trial, one.config) for one in planned if fits[one.trial.key, one.config.name]}
    for network in dict.fromkeys(one.task.network for one in planned):
        own = [one.trial for one in planned if one.task.network == network]
        held = {name for key, name in found if key in {trial.key for trial in own}}
        for config in SIMULATED[: max(ENOUGH - len(held), 0)]:
            found[own[0].key, config.name] = (own[0], config)
    return list(found.values())
