"""Settings by network."""

from __future__ import annotations

import inspect

from galton.bench import settings, subjects
from galton.quantization import quantize


def test_settings_are_arguments_for_networks_that_there_are() -> None:
    known = inspect.signature(quantize).parameters
    assert set(settings.CHOSEN) <= set(subjects.NAMES)
    assert all(name in known for own in settings.CHOSEN.values() for name in own)
    assert settings.of("vww")["dead_zone"] == 0.5
    assert settings.of("resnet8") == {}
