"""Calibration data in every form, and what is said about bad data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from galton.calibration import as_bytes, check, gather, on_grid, step_of, to_pixels
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
    "three dimensions": (IMAGES[0], r"Calibration batch 0 has shape \(2, 3, 4\), expected \(n, channels, rows, columns\) or"),
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


def test_the_step_of_inputs_on_a_grid():
    grid = torch.arange(-211, 45)
    assert step_of(grid * 0.5847) == pytest.approx(0.5847, rel=1e-5)
    assert step_of(IMAGES / 255) == pytest.approx(1 / 255, rel=1e-5)
    assert step_of(torch.randn(100)) is None
    assert step_of(torch.randn(2000)) is None
    assert step_of(torch.ones(7)) is None


def test_features_with_an_offset_keep_their_step_where_few_are_cut():
    values = torch.randint(-60, 45, (300, 20), generator=torch.Generator().manual_seed(0)) * 0.5
    values[0, :3] = -211 * 0.5
    found = on_grid(values, lambda x: x[:, 4:])
    assert torch.equal(found, values.clamp(min=-64))
    assert torch.equal(found, as_bytes(found, 0.5))
    assert on_grid(values, lambda x: x) is values
    assert torch.equal(on_grid(values.clamp(min=-64), lambda x: 1 / 0), values.clamp(min=-64))
