"""Compiled networks on the generated Verilog, for those who have not left Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galton.errors import MissingTool

if TYPE_CHECKING:
    from galton.compiler import CompiledNetwork


def simulate(compiled: CompiledNetwork, inputs: Any, *, out_of_range: str = "saturate", **options: Any) -> Any:
    """Real outputs of the generated Verilog for real inputs, shaped as by `CompiledNetwork.run`, which they equal bit for bit.

    out_of_range: as of `CompiledNetwork.run`. options: those of galton_sim.simulate.simulate.

    Raises what it raises, and MissingTool where galton is installed without it.
    """
    try:
        run = import_module("galton_sim.simulate").simulate
    except ModuleNotFoundError as error:
        raise MissingTool(f"Simulation needs {error.name}: pip install 'galton[sim]'") from error
    return compiled.run(inputs, out_of_range=out_of_range, execute=lambda image, raw: run(image, raw, **options).outputs)
