"""The generated Verilog against the golden model and the cycle model: outputs bit by bit, counters one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galton.image import Image

if TYPE_CHECKING:
    from galton.roofline import LayerCycles

Ints = NDArray[np.int64]
Profiles = list[list[dict[str, int]]]


@dataclass(frozen=True)
class Verified:
    """What a simulation gave, and how it compares.

    outputs: raw (n, rows, columns, channels) from Verilog. profiles: fields of PROFILE by inference and layer.
    cycles: of each inference, from its first input word to its last output word. speed: simulated cycles per second.
    wrong: inferences whose outputs differ from the golden model; mispredicted: inferences whose counters differ from the
    cycle model's. layers: where the cycles went, by the hardware's counters. Without counters in the image
    (compile --no-profile) there are no profiles, nothing to predict, and `layers` are the model's.
    """

    names: list[str]
    outputs: Ints
    profiles: Profiles
    cycles: list[int]
    speed: float
    wrong: list[int]
    mispredicted: list[int]
    layers: list[LayerCycles]

    @property
    def mismatches(self) -> int:
        """How many are wrong."""
        return len(self.wrong)

    @property
    def mispredictions(self) -> int:
        """How many are mispredicted."""
        return len(self.mispredicted)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return self.mismatches == self.mispredictions == 0

    def means(self) -> list[dict[str, float]]:
        """For each layer, the mean of every counter."""
        layers = list(zip(*self.profiles, strict=True))
        return [{key: float(np.mean([one[key] for one in layer])) for key in layer[0]} for layer in layers]

    def facts(self) -> dict[str, Any]:
        """The same as JSON values, with means over inferences."""
        return {
            "mismatches": self.mismatches,
            "mispredictions": self.mispredictions,
            "cycles": float(np.mean(self.cycles)),
            "speed": self.speed,
            "layers": [{"name": name, **mean} for name, mean in zip(self.names, self.means(), strict=False)],
        }


def verify(image: Image, raw: Ints, progress: Callable[[int, int], None] | None = None, text: str | None = None) -> Verified:
    """Simulate the core's Verilog on raw inputs (n, rows, columns, channels) and compare.

    `progress` is called with inferences done and inferences in all; `text` is the Verilog where it is at hand.
    Raises MissingTool and HardwareMismatch as galton_sim does.
    """
    from galton import cycles, roofline
    from galton_sim.simulate import simulate

    result = simulate(image, raw, progress=progress, text=text)
    model = cycles.Model(image, raw)
    predicted, profiled = model.profiles(), bool(result.profiles[0])
    return Verified(
        names=[layer["name"] for layer in image.meta["layers"]],
        outputs=result.outputs,
        profiles=result.profiles,
        cycles=result.cycles,
        speed=result.total_cycles / result.seconds,
        wrong=np.flatnonzero((result.outputs != model.outputs()).reshape(len(raw), -1).any(axis=1)).tolist(),
        mispredicted=[index for index, real in enumerate(result.profiles) if profiled and real != predicted[index]],
        layers=roofline.measured(model, result.profiles if profiled else predicted),
    )
