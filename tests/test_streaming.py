"""The vectorised streaming quantizer against the contract's loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from galton import arith, streaming
from galton.network import Activation

ACTIVATIONS = st.builds(
    Activation,
    mode=st.sampled_from(["monte_carlo", "rounding"]),
    step=st.integers(1, 65535),
    samples=st.sampled_from([0, 1, 9, 300]),
    residue=st.integers(0, 65535),
    dead_zone=st.integers(0, 30),
) | st.builds(Activation, dead_zone=st.integers(0, 30))


@settings(deadline=None)
@given(ACTIVATIONS, st.integers(1, 8), st.lists(st.lists(st.integers(-128, 255), min_size=7, max_size=7), min_size=1, max_size=4))
def test_equals_the_loop(activation, count_bits, rows):
    raw = np.array(rows, np.int64)
    counts, saturated = streaming.counts(raw, activation, count_bits)
    for index, row in enumerate(rows):
        norm = arith.norm(row, activation.dead_zone)
        expected, cut = arith.quantize_stream(
            row,
            bypass=activation.mode == "bypass",
            carry=activation.mode == "monte_carlo",
            step=arith.dynamic_step(norm, activation.samples) if activation.dynamic else activation.step,
            residue=activation.residue,
            dead_zone=activation.dead_zone,
            count_bits=count_bits,
        )
        assert counts[index].tolist() == expected
        assert saturated[index].sum() == cut
        assert streaming.norms(raw, activation.dead_zone)[index] == norm
        assert streaming.effective_norms(raw, activation)[index] == arith.effective_norm(norm, activation.samples)


def test_inputs_do_not_share_a_residue():
    activation = Activation("monte_carlo", step=20_000)
    raw = np.random.default_rng(0).integers(0, 256, (5, 1000))
    alone = [streaming.counts(raw[index : index + 1], activation)[0][0] for index in range(5)]
    assert (streaming.counts(raw, activation)[0] == np.array(alone)).all()


def test_long_streams_do_not_overflow():
    raw = np.full((1, 1 << 16), 255)
    counts, _ = streaming.counts(raw, Activation("monte_carlo", step=65535, residue=65535))
    assert counts.sum() == (65535 + 65535 * 255 * (1 << 16)) >> 16
