"""The networks of the bench: folds, metrics, scores as stored, and what the source of a cell is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from galton.bench import cells, inputs, scores, sources, subjects
from galton.bench.cells import Cell
from galton.bench.scores import Difference, Samples
from galton.bench.subjects import Subject

DATA = Path(__file__).parents[2] / "shared" / "data"
SAID = {
    "lenet300100": 98.2, "lenet5": 99.1, "vggsmall": 84.9, "resnet20": 87.7, "resnet20_lossless": 90.0, "resnet8": 85.5,
    "resnet8_training": 92.65, "kws": 91.5,
}  # fmt: skip
"""Accuracy of the float networks, as their source says or as measured on these inputs before."""


def crossed(count: int) -> Subject:
    """Samples that are their own numbers."""
    values = torch.arange(count)[:, None].float()
    return Subject("toy", nn.Identity(), values, values, torch.arange(count), crossed=True)


@pytest.mark.parametrize("limit", [None, 23, 3])
def test_crossed_folds_measure_each_sample_once_by_a_network_that_has_not_seen_it(limit) -> None:
    folds = crossed(100).folds(500, limit)
    measured = np.concatenate([fold.places for fold in folds])
    assert sorted(measured) == list(range(limit or 100))
    for fold in folds:
        assert len(fold.calibration) == 80
        assert not set(fold.calibration.flatten().long().tolist()) & set(fold.places.tolist())
    assert all(len(fold.calibration) == 30 for fold in crossed(100).folds(30, limit))


def test_a_tenth_of_crossed_samples_calibrates_and_is_left_out() -> None:
    (fold,) = crossed(100).folds(10, None)
    assert fold.calibration.flatten().tolist() == list(range(10))
    assert fold.places.tolist() == list(range(10, 100))


def test_scores_are_higher_for_better_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    floats = torch.randn(6, 4, generator=generator)
    tested = Samples(torch.zeros(6, 4), torch.tensor([0, 1, 2, 3, 0, 1]), floats)
    answers = (floats.argmax(1) == tested.targets).numpy()
    assert scores.right(tested, floats).tolist() == (100.0 * answers).tolist()
    assert (
        scores.agreeing(tested, floats + torch.tensor([0, 0, 0, 99.0])).tolist()
        == (100.0 * (floats.argmax(1) == 3).numpy()).tolist()
    )
    assert scores.anomaly_kept(tested, floats).tolist() == [0.0] * 6
    assert scores.anomaly_kept(tested, floats * 2**0.5) == pytest.approx(-100.0)
    sequences = Samples(torch.zeros(2, 3), torch.tensor([[0, 1, 2], [3, 0, 1]]), torch.zeros(2, 3, 4))
    even = scores.log_likelihood(sequences, torch.zeros(2, 3, 4))
    assert even == pytest.approx(-np.log(4))
    sure = 3 * torch.nn.functional.one_hot(sequences.targets, 4).float()
    assert (scores.log_likelihood(sequences, sure) > even).all()


@pytest.mark.parametrize("values", [[0, 100, 100, 0, 100], [100, 100], [-1.5, -2.25, 0.5], [0.0]])
def test_scores_are_stored_and_found_again(values) -> None:
    assert scores.unpack(scores.pack(np.array(values, float))).tolist() == values


def test_a_difference_has_the_paired_error() -> None:
    found = Difference.of(np.array([0.0, 100.0, 0.0, -100.0, 100.0]))
    assert (found.mean, found.error) == (20.0, pytest.approx(np.std([0, 100, 0, -100, 100], ddof=1) / 5**0.5))
    assert Difference.of(np.array([3.0])) == Difference(3.0, 0.0)


def test_the_source_of_a_cell_is_what_it_runs() -> None:
    reached = sources.reached(["galton.bench.cells", "galton.quantizers.gptq"])
    assert {"galton.quantization", "galton.fitting", "galton.golden", "galton.bench.inputs", "galton.quantizers.gptq"} <= reached
    assert not reached & {"galton.cli.main", "galton.bench.figures", "galton.quantizers.maly_saab", "galton.quantizers.galton"}


def test_a_changed_source_changes_the_keys_of_the_cells_that_run_it(monkeypatch) -> None:
    work = [Cell("digits", "gptq"), Cell("digits", "nearest"), Cell("digits", "nearest", {"layers": {"*": {"method": "gptq"}}})]
    before = [cell.key for cell in work]
    kept = sources.source
    changed = "galton.quantizers.gptq"
    monkeypatch.setattr(sources, "source", lambda name: kept(name) + b"#" if name == changed else kept(name))
    sources.digest.cache_clear()
    after = [cell.key for cell in work]
    sources.digest.cache_clear()
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, False]


def test_no_data_at_all(monkeypatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    subject = Subject("toy", network, torch.empty(0), torch.rand(20, 1, 6, 6), torch.arange(20) % 4)
    monkeypatch.setattr(subjects, "load", lambda name, data: subject)
    subjects.float_outputs.cache_clear()
    found = cells.measure(Cell("toy", "gptq", {"activations": "float"}, calibration=0))
    subjects.float_outputs.cache_clear()
    assert "failure" not in found
    assert found["tested"] == 20
    assert 0 < found["output_error"] < 0.5


def test_made_sounds_are_rebuilt_as_well_as_the_source_of_the_network_says() -> None:
    if "toycar" not in subjects.available(DATA):
        pytest.skip(f"There is no data folder at {DATA}")
    subject = subjects.load("toycar", DATA)
    with torch.no_grad():
        errors = (subject.network(subject.inputs) - subject.inputs).square().mean(dim=1)
    assert subject.inputs.shape == (500, inputs.FRAMES * inputs.BANDS)
    assert 8 < float(errors.mean()) < 13


LARGE = ("vggsmall", "resnet20", "resnet20_lossless")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.cosim if name in LARGE else ()) for name in subjects.SOURCES]
)
def test_networks_of_the_data_folder_do_what_their_source_says(name) -> None:
    if name not in subjects.available(DATA):
        pytest.skip(f"There is no data folder at {DATA}")
    if name == "efficientnet":
        pytest.skip("EfficientNet-Lite0 takes many seconds; galton bench targets runs it")
    subject = subjects.load(name, DATA)
    floats = subjects.float_outputs(name, DATA, 20 if subject.metric in (scores.AGREEMENT, scores.ANOMALY) else 200)
    tested = Samples(subject.inputs[: len(floats)], subject.targets[: len(floats)], floats)
    found = float(subject.metric.score(tested, floats).mean())
    if subject.metric is scores.ACCURACY:
        said = SAID[name]
        assert found == pytest.approx(said, abs=3 * 100 * (said / 100 * (1 - said / 100) / len(floats)) ** 0.5)
    elif subject.metric is scores.LIKELIHOOD:
        assert found == pytest.approx(-1.604, abs=0.1)
    else:
        assert found == subject.metric.score(tested, floats).max() in (0.0, 100.0)
