"""What the cycle model takes for granted about the hardware is what the hardware says of itself."""

from networks import EVERY

from galton import cycles, schedule
from galton_hw.divider import StepDivider
from galton_hw.drain import Drain
from galton_hw.fifo import Fifo
from galton_hw.quantizer import Quantizer
from galton_hw.relay import Relay
from galton_hw.rescale import Rescale
from galton_hw.scan import Scan
from galton_hw.serializer import Serializer


def test_the_cycle_model_and_the_hardware_agree():
    for config in (EVERY["tiny"], EVERY["quads"]):
        between = 2 * Relay.latency + Serializer.latency if config.scan_width > 1 else 0
        first = Scan(config).first_item + Quantizer(8, 1, width=config.scan_width).latency + between
        assert first == cycles.FIRST_ITEM[config.scan_width]
    assert Fifo.latency == schedule.FIFO_LATENCY
    for config in EVERY.values():
        assert Drain(config).finish_cycles == cycles.drain_finish(config)
    assert StepDivider.latency == cycles.DIVISION
    # The engine starts when the last multiplier is in place.
    assert Rescale.load_latency + 1 == cycles.LOAD_TAIL
