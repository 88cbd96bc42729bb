"""Calibration data in every form, and what is said about bad data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from galton.calibration import check, collect, to_pixels
from galton.errors import CalibrationError

IMAGES = torch.arange(5 * 2 * 3 * 4, dtype=torch.float32).reshape(5, 2, 3, 4)
LABELS = torch.arange(5)

FORMS = {
    "tensor": IMAGES,
    "array": IMAGES.double().numpy(),
    "integers": IMAGES.to(torch.uint8),
    "pair": (IMAGES, LABELS),
    "list": [IMAGES[:2], IMAGES[2:]],
    "pairs": [(IMAGES[:2], LABELS[:2]), [IMAGES[2:].numpy(), LABELS[2:]]],
    "loader": DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2),
    "gradient": IMAGES.clone().requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(form):
    found = gather(FORMS[form], 100)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(found, IMAGES)
    assert torch.equal(gather(FORMS[form], 3), IMAGES[:3])


def test_no_more_batches_are_taken_than_needed():
    taken = []

    def batches():
        for index in range(5):
            taken.append(index)
            yield IMAGES[index : index + 1]

    assert len(gather(batches(), 2)) == 2
    assert taken == [0, 1]


def gather(data: Any, limit: int) -> torch.Tensor:
    """The only argument."""
    found = collect(data, limit, maps=True)
    assert found.single is not None
    assert len(found) == len(found.single)
    return found.single


def broken(value: float) -> torch.Tensor:
    images = IMAGES.clone()
    images[1, 0, 2, 3] = value
    return images


BAD = {
    "empty list": ([], "There is no calibration data: expected a tensor or array"),
    "empty tensor": (torch.zeros(0, 1, 4, 4), "There is no calibration data"),
    "number": (3, "Calibration data is int, expected a tensor"),
    "strings": (["a"], "Calibration batch 0 is str, expected a tensor"),
    "nan": ([IMAGES, broken(float("nan"))], r"Calibration batch 1 has nan at \[1, 0, 2, 3\], expected finite numbers"),
    "infinite": (broken(-float("inf")), r"Calibration batch 0 has -inf at \[1, 0, 2, 3\]"),
    "five dimensions": (IMAGES[None], r"Calibration batch 0 has shape \(1, 5, 2, 3, 4\), expected \(n, channels, rows"),
    "change": ([IMAGES, IMAGES[:, :1]], r"Calibration batch 1 has shape \(5, 1, 3, 4\), expected \(n, 2, 3, 4\)"),
    "complex": (IMAGES.to(torch.complex64), "Calibration batch 0 is complex"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_named(case):
    data, message = BAD[case]
    with pytest.raises(CalibrationError, match=message):
        gather(data, 100)


def test_shape_of_a_single_batch_is_checked():
    with pytest.raises(CalibrationError, match=r"The input has shape \(5, 2, 3, 4\), expected \(n, 2, 4, 4\)"):
        check(IMAGES, "The input", (2, 4, 4))


def test_pixels_have_their_channels_last():
    pixels = to_pixels(IMAGES)
    assert pixels.dtype == np.float64
    assert pixels.shape == (5, 3, 4, 2)
    assert pixels[1, 2, 3, 0] == IMAGES[1, 0, 2, 3]
    assert to_pixels(IMAGES[:, :, 0, 0]).shape == (5, 1, 1, 2)


SECOND = torch.arange(5)[:, None] > torch.arange(3)
SEVERAL = {
    "tuples": [((IMAGES[:2], SECOND[:2]), LABELS[:2]), ((IMAGES[2:], SECOND[2:]), LABELS[2:])],
    "alone": [((IMAGES, SECOND),)],
    "dicts": [{"images": IMAGES[:2], "mask": SECOND[:2]}, {"images": IMAGES[2:], "mask": SECOND[2:]}],
    "labelled dicts": [({"images": IMAGES, "mask": SECOND.numpy()}, LABELS)],
    "dict": {"images": IMAGES, "mask": SECOND},
}


@pytest.mark.parametrize("form", SEVERAL)
def test_several_arguments(form):
    found = collect(SEVERAL[form], 4)
    assert found.single is None
    assert (len(found), len(found.named)) == (4, 2 if "dict" in form else 0)
    assert torch.equal(found.leaves[0], IMAGES[:4])
    assert torch.equal(found.leaves[1], SECOND[:4])
    assert [len(values) for values in found.first(2).tensors] == [2, 2]
    assert found.shape == "(n, 2, 3, 4), (n, 3)"


def test_arguments_that_are_the_same_for_all():
    found = collect([{"x": IMAGES, "scale": 2.0, "table": torch.zeros(7)}] * 2, 100)
    assert (len(found), found.named["scale"], found.named["table"].shape) == (10, 2.0, (7,))
    masked = collect([((IMAGES, torch.full((5, 3), -torch.inf)),)], 100)
    assert masked.leaves[1].isinf().all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": IMAGES}, "batch 1 has other arguments than batch 0"),
        ({"x": IMAGES, "y": 3}, "batch 1 has other arguments than batch 0"),
        ({"x": IMAGES, "y": SECOND[:, :1]}, r"batch 1 has shape \(5, 1\), expected \(n, 3\)"),
        ({"x": broken(float("nan")), "y": SECOND}, r"batch 1, x, has nan at \[1, 0, 2, 3\]"),
    ],
)
def test_batches_that_do_not_belong_together(batch, message):
    with pytest.raises(CalibrationError, match=message):
        collect([{"x": IMAGES, "y": SECOND}, batch], 100)
