"""im2col rows at drawn places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from galton import patches


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 2))])
def test_all_places_are_the_rows_of_unfold(groups, stride, dilation) -> None:
    maps = torch.rand(3, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    found = patches.sample_rows(maps, -maps, (3, 2), stride=stride, padding=(1, 0, 2, 1), dilation=dilation, groups=groups)
    wanted = F.unfold(F.pad(maps, (2, 1, 1, 0)), (3, 2), dilation, 0, stride)
    rows = wanted.transpose(1, 2).reshape(-1, groups, 24 // groups).transpose(0, 1).numpy()
    assert np.array_equal(found.quantized, rows)
    assert np.array_equal(found.real, -rows)


def test_drawn_places_are_the_same_in_both() -> None:
    maps = torch.rand(5, 3, 9, 9, 9, generator=torch.Generator().manual_seed(0))
    found = patches.sample_rows(
        maps, 2 * maps, (2, 3, 1), stride=(1, 1, 1), padding=(0, 0, 1, 1, 0, 0), dilation=(1, 1, 1), share=100 / patches.ROWS
    )
    assert found.quantized.shape == (1, 100, 18)
    assert np.array_equal(found.real, 2 * found.quantized)
    assert len(np.unique(found.quantized[0], axis=0)) == 100
