"""The queues' constructor; what they do is tested with the whole core, in sim/test_buses.py."""

import pytest

from galton_hw.bus.queues import Queues


def test_a_depth_that_the_register_cannot_show_is_refused():
    with pytest.raises(ValueError, match="QUEUE shows less than 4096 words, not 4096"):
        Queues(4096)
