"""The step of inputs that lie on a grid, and which step raw inputs get."""

from __future__ import annotations

import pytest
import torch

from galton.input_grid import on_grid, rounded, step_of


def test_the_step_of_inputs_on_a_grid():
    grid = torch.arange(-211, 45)
    assert step_of(grid * 0.5847) == pytest.approx(0.5847, rel=1e-5)
    assert step_of(torch.arange(120) / 255) == pytest.approx(1 / 255, rel=1e-5)
    assert step_of(torch.randn(100)) is None
    assert step_of(torch.randn(2000)) is None
    assert step_of(torch.ones(7)) is None


def test_features_with_an_offset_keep_their_step_where_few_are_cut():
    values = torch.randint(-60, 45, (300, 20), generator=torch.Generator().manual_seed(0)) * 0.5
    values[0, :3] = -211 * 0.5
    found = on_grid(values, lambda x: x[:, 4:])
    assert torch.equal(found, values.clamp(min=-64))
    assert torch.equal(found, rounded(found, 0.5, -128, 127))
    assert on_grid(values, lambda x: x) is values
    assert torch.equal(on_grid(values.clamp(min=-64), lambda x: 1 / 0), values.clamp(min=-64))
