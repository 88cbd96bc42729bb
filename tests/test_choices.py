"""Settings of galton.quantize: what a method takes, what a layer replaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import galton
from galton import choices, quantizers
from galton.errors import GaltonError

SOURCES = Path(quantizers.__file__).parent


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval(), torch.randn(40, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "gptq", "extra": {"prize": 1}}, r"method 'gptq' has no 'prize'; it takes\n  damping: .*\n  regress: "),
        ({"method": "nearest", "extra": {"damping": 1}}, "method 'nearest' has no 'damping'; it takes nothing"),
        ({"method": "gptq", "layers": {"0": {"extra": {"rank": 3}}}}, "method 'gptq' has no 'rank'"),
        ({"layers": {"0": {"method": "gptq", "extra": {"rank": 3}}}}, "method 'gptq' has no 'rank'"),
    ],
)
def test_unknown_extra_is_refused_with_the_known_ones(network, settings, message):
    with pytest.raises(GaltonError, match=message):
        galton.quantize(*network, **settings)


def test_extra_belongs_to_its_method(network):
    options = {"method": "galton", "extra": {"price": 0.3}, "layers": {"2": {"method": "gptq"}, "0": {"extra": {"price": 0.1}}}}
    found = galton.quantize(*network, **options).options
    assert choices.for_layer(found, "0")["extra"] == {"price": 0.1}
    assert choices.for_layer(found, "2")["extra"] == {}


def test_the_table_lists_what_the_methods_read():
    for method, known in quantizers.EXTRA.items():
        module = quantizers.METHODS[method].partition(":")[0].rpartition(".")[2]
        source = (SOURCES / f"{module}.py").read_text()
        assert all(re.search(f'"{name}"', source) for name in known), method
