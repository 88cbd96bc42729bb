"""Two passes: the float network once, to keep what its layers take; then the quantized one, each layer fitted as it is met."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from galton import calibration as data
from galton import choices
from galton.errors import CalibrationError, GaltonError, UnsupportedLayer
from galton.graphs.fit import Call, Fitting, Plan
from galton.graphs.folding import prepare
from galton.graphs.module import EmulatedModule
from galton.graphs.sites import DRIVEN, STORED, kernels

Taken = dict[str, list[Call]]
"""By layer name."""

ELSEWHERE = (nn.Conv1d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Conv3d, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)


def unknown_to_the_accelerator(module: nn.Module) -> str:
    """The layers of kinds that never run on the accelerator, a line each."""
    return "\n".join(f"  {name or 'the network'}: {type(part).__name__}" for name, part in _layers(module, ELSEWHERE))


def quantize(module: nn.Module, calibration: Any, options: dict[str, Any], reason: str) -> EmulatedModule:
    """The quantized network of any graph; `options` as galton.choices completes them, `reason` why it is not for the accelerator.

    Raises CalibrationError, UnsupportedLayer where no layer can be quantized, GaltonError for weights that are not finite.
    """
    inputs = data.gather(calibration, options["samples"], maps=False)
    if not inputs.is_floating_point() and not any(isinstance(part, nn.Embedding) for part in module.modules()):
        inputs = inputs.float()
    check_finite(module)
    plain = _prepared(module, inputs[:2])
    if options["calibrated"] and options["activations"] != "float":
        inputs = data.on_grid(inputs, plain)
    taken = run(plain, inputs)
    sites = {name: part for name, part in _layers(plain, (*DRIVEN, *STORED)) if name in taken}
    if not sites:
        raise UnsupportedLayer("The network calls no layer with weights that can be quantized: nothing is left to do")
    choices.check_layers([*options["layers"], *options["skip"]], list(sites))
    chosen = [name for name in taken if name in sites and not choices.matches(name, options["skip"])]
    driven = [name for name in taken if isinstance(sites.get(name), DRIVEN)]
    work = {name: multiplies(sites[name], taken[name]) for name in driven}
    mean = sum(work.values()) / max(len(work), 1)
    copied = copy.deepcopy(plain)
    fittings = {}
    for name in chosen:
        own = choices.for_layer(options, name)
        fine = (own["skip_first_activation"] and name in driven[:1]) or (own["skip_last_activation"] and name in driven[-1:])
        own["weight_limit"] = choices.LARGEST_WEIGHT if own["wide_last"] and name in driven[-1:] else own["weight_limit"]
        plan = Plan(name, own, fine, work.get(name, 0) / mean if mean else 0.0, work.get(name, 0) / len(inputs))
        fittings[name] = Fitting(plan, sites[name], taken.pop(name), copied.get_submodule(name))
    with torch.no_grad():
        copied(inputs)
    found = [fitting.finished() for fitting in fittings.values()]
    names = list(fittings)
    return EmulatedModule(
        copied,
        {name: result.integers for name, result in zip(names, found, strict=True)},
        {name: result.steps for name, result in zip(names, found, strict=True)},
        [result.measures for result in found],
        options,
        reason,
    )


def check_finite(module: nn.Module) -> None:
    """Raise GaltonError for a parameter or buffer that is not finite."""
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        bad = torch.nonzero(~torch.isfinite(values))
        if len(bad):
            place = bad[0].tolist()
            owner, _, what = name.rpartition(".")
            raise GaltonError(
                f"{owner or 'The network'}: the {what} at {place} is {values[tuple(place)].item()}; "
                "repair or retrain that layer first"
            )


def run(module: nn.Module, inputs: Tensor) -> Taken:
    """What each layer with weights takes, in order of its first call; copies, for what is changed in place later."""
    taken: Taken = {}
    handles = []
    for name, part in _layers(module, (*DRIVEN, *STORED)):

        def keep(_: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], name: str = name) -> None:
            named = {key: _clone(value) for key, value in keywords.items()}
            taken.setdefault(name, []).append(Call(tuple(_clone(value) for value in arguments), named))

        handles.append(part.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        with torch.no_grad():
            module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return taken


def multiplies(layer: nn.Module, calls: list[Call]) -> int:
    """Dense multiply-accumulates of a driven layer over all calls: output places times the weights of one."""
    total = 0
    for call in calls:
        shape = _meta_shape(layer, call.first)
        channels = len(kernels(layer))
        total += shape.numel() // channels * int(kernels(layer).size)
    return total


def _meta_shape(layer: nn.Module, values: Tensor) -> torch.Size:
    """The shape of a layer's output, without computing it."""
    shape: torch.Size = copy.deepcopy(layer).to("meta")(values.to("meta")).shape
    return shape


def _prepared(module: nn.Module, example: Tensor) -> nn.Module:
    try:
        return prepare(module, example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = ", ".join(map(str, example.shape[1:]))
        raise CalibrationError(f"The network does not take inputs of shape (n, {shape}): {error}") from error


def _layers(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    """Layers of the kinds by name, those inside of one left out: it computes with their weights itself."""
    found = [(name, part) for name, part in module.named_modules() if isinstance(part, kinds)]
    inner = {id(child) for _, part in found for child in part.modules() if child is not part}
    return [(name, part) for name, part in found if id(part) not in inner]


def _clone(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
