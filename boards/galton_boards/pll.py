"""Settings of phase-locked loops: iCE40's SB_PLL40 (Lattice TN-02052) and ECP5's EHXPLLL (Lattice FPGA-TN-02200).

Of the settings within the data sheet's ranges, the nearest output is taken, of these the fastest phase detector: it has the
least jitter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TOLERANCE = 0.005
"""Largest relative difference of the clock from the one that is wanted."""


@dataclass(frozen=True)
class Settings:
    """Dividers of a loop: of the input (`reference`), of what is fed back (`feedback`), of the oscillator (`output`).

    frequency: of the output, detector: of the phase detector, oscillator: all in Hz.
    """

    reference: int
    feedback: int
    output: int
    frequency: float
    detector: float
    oscillator: float


def _ice40(source: float) -> Iterator[Settings]:
    """SIMPLE feedback: f = source / (DIVR + 1) * (DIVF + 1) / 2**DIVQ."""
    for reference in range(1, 17):
        detector = source / reference
        if not 10e6 <= detector <= 133e6:
            continue
        for feedback in range(1, 129):
            oscillator = detector * feedback
            if 533e6 <= oscillator <= 1066e6:
                for output in (1 << bit for bit in range(1, 7)):
                    yield Settings(reference, feedback, output, oscillator / output, detector, oscillator)


def _ecp5(source: float) -> Iterator[Settings]:
    """Feedback from CLKOP: f = source / CLKI_DIV * CLKFB_DIV; the oscillator runs CLKOP_DIV times as fast."""
    for reference in range(1, 129):
        detector = source / reference
        if not 3.125e6 <= detector <= 400e6:
            continue
        for feedback in range(1, 81):
            for output in range(2, 129):
                frequency = detector * feedback
                if 400e6 <= frequency * output <= 800e6:
                    yield Settings(reference, feedback, output, frequency, detector, frequency * output)


FAMILIES = {"ice40": _ice40, "ecp5": _ecp5}


def settings(family: str, source: float, wanted: float) -> Settings:
    """The dividers that make `wanted` Hz of `source` Hz. Raises ValueError where nothing is near enough."""
    found = min(
        FAMILIES[family](source),
        key=lambda way: (abs(way.frequency - wanted), -way.detector, abs(way.oscillator - 600e6)),
        default=None,
    )
    if found is None or abs(found.frequency / wanted - 1) > TOLERANCE:
        raise ValueError(f"No setting of the PLL makes {wanted / 1e6:g} MHz of {source / 1e6:g} MHz")
    return found


def ice40_filter(detector: float) -> int:
    """FILTER_RANGE of SB_PLL40 for a frequency of the phase detector."""
    return sum(detector >= limit for limit in (17e6, 26e6, 44e6, 66e6, 101e6)) + 1


ECP5_INPUTS = {"RST": 0, "STDBY": 0, "PHASESEL0": 0, "PHASESEL1": 0, "PHASEDIR": 1, "PHASESTEP": 1, "PHASELOADREG": 1}
ECP5_INPUTS |= {"PLLWAKESYNC": 0, "ENCLKOP": 0}
"""Of EHXPLLL, at rest."""


def ecp5_cell(way: Settings) -> tuple[dict[str, int | str], dict[str, str]]:
    """Parameters and attributes of EHXPLLL, those of its analogue loop filter among them, as prjtrellis' ecppll chooses them."""
    parameters: dict[str, int | str] = {
        "PLLRST_ENA": "DISABLED",
        "INTFB_WAKE": "DISABLED",
        "STDBY_ENABLE": "DISABLED",
        "DPHASE_SOURCE": "DISABLED",
        **{f"OUTDIVIDER_MUX{output}": f"DIV{output}" for output in "ABCD"},
        "CLKI_DIV": way.reference,
        "CLKOP_ENABLE": "ENABLED",
        "CLKOP_DIV": way.output,
        "CLKOP_CPHASE": way.output // 2 - 1,
        "CLKOP_FPHASE": 0,
        "FEEDBK_PATH": "CLKOP",
        "CLKFB_DIV": way.feedback,
    }
    frequencies = {"CLKI": way.detector * way.reference, "CLKOP": way.frequency}
    return parameters, {
        **{f"FREQUENCY_PIN_{pin}": f"{frequency / 1e6:g}" for pin, frequency in frequencies.items()},
        "ICP_CURRENT": "12",
        "LPF_RESISTOR": "8",
        "MFG_ENABLE_FILTEROPAMP": "1",
        "MFG_GMCREF_SEL": "2",
    }
