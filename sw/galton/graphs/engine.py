"""Passes of the quantized network, each layer fitted when it is met: to all that it takes, which may need the layer itself."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from galton import choices
from galton.calibration import Inputs
from galton.config import LARGEST_WEIGHT
from galton.errors import CalibrationError, GaltonError, UnquantizedWarning, UnsupportedLayer
from galton.graphs import sites
from galton.graphs.checks import left_in_float
from galton.graphs.expansion import prepare
from galton.graphs.fit import Member, Plan, Site, bare, emulate
from galton.graphs.module import EmulatedModule
from galton.input_grid import on_grid


@dataclass
class Call:
    """What a layer was called with, and whether that is the network's own input."""

    values: Tensor
    outermost: bool


def quantize(
    module: nn.Module, inputs: Inputs, options: dict[str, Any], reason: str, input_range: tuple[float, float] | None = None
) -> EmulatedModule:
    """The quantized network of any graph; `options` as galton.choices completes them, `reason` why it is not for the accelerator.

    module: as `plain` gives it, its weights finite. input_range: of the network's only argument.
    Raises CalibrationError, UnsupportedLayer where no layer can be quantized.
    """
    plain = _prepared(module, inputs.first(2))
    if inputs.single is not None and input_range is None and options["activations"] != "float":
        inputs = inputs.map(partial(on_grid, network=plain))
    taken = run(plain, inputs)
    if not taken:
        raise UnsupportedLayer("The network calls no layer with weights that can be quantized: nothing is left to do")
    choices.check_layers(options["layers"], list(taken))
    choices.check_layers(options["skip"], list(taken), [name for name, _ in plain.named_parameters()])
    copied = copy.deepcopy(plain)
    found = plans(plain, copied, taken, options, len(inputs), input_range)
    left = left_in_float(plain, inputs.first(2), [member.real for site in found for member in site.members], options["skip"])
    if left:
        listed = "\n".join(f"  {name}" for name in left)
        warnings.warn(
            f"These weights are not those of a layer that is called as one, and stay in float:\n{listed}\n"
            "Use nn.Linear, nn.Conv2d and the like to have them quantized",
            UnquantizedWarning,
            stacklevel=3,
        )
    Passes(copied, found).run(inputs)
    measures = [site.measures for site in found if site.measures is not None]
    return EmulatedModule(copied, [site.plan.name for site in found], measures, options, reason, left)


def plans(
    plain: nn.Module,
    copied: nn.Module,
    taken: Mapping[str, list[Call]],
    options: dict[str, Any],
    count: int,
    input_range: tuple[float, float] | None,
) -> list[Site]:
    """The sites in order of their first call."""
    layers = {name: plain.get_submodule(name) for name in taken}
    driven = [name for name, layer in layers.items() if isinstance(layer, sites.DRIVEN)]
    work = {name: multiplies(layers[name], taken[name]) for name in driven}
    mean = sum(work.values()) / max(len(work), 1)
    first, last = driven[:1], driven[-1:]
    fine = set((first if options["skip_first_activation"] else []) + (last if options["skip_last_activation"] else []))
    groups: dict[Any, list[str]] = {}
    for name, layer in layers.items():
        if not choices.matches(name, options["skip"]):
            key = (id(layer.weight), isinstance(layer, sites.TRANSPOSED), getattr(layer, "groups", 1))
            groups.setdefault(key, []).append(name)
    result = []
    for names in groups.values():
        name = next((name for name in names if name in driven), names[0])
        own = choices.for_layer(options, name)
        own["weight_limit"] = LARGEST_WEIGHT if own["wide_last"] and name in last else own["weight_limit"]
        total = sum(work.get(name, 0) for name in names)
        ranges = {name: input_range for name in names if input_range is not None and all(call.outermost for call in taken[name])}
        plan = Plan(name, own, fine, ranges, count, total / mean if mean else 0.0, total)
        members = [
            Member(name, layers[name], copied.get_submodule(name), [call.values for call in taken[name]]) for name in names
        ]
        result.append(Site(plan, members))
    return result


class Passes:
    """Runs the copy until every site is fitted.

    In each pass sites are fitted as they are met, up to one that is called again: that one is fitted to its first call and to the
    float network's others, then, at the end of the pass, to what it was really given; the sites behind it wait for the next pass.
    """

    def __init__(self, module: nn.Module, waiting: list[Site]) -> None:
        self.module, self.waiting = module, list(waiting)
        self.again: Site | None = None

    def run(self, inputs: Inputs) -> None:
        """Fit all sites."""
        handles = []
        for site in self.waiting:
            for member in site.members:

                def met(_: Any, arguments: Any, keywords: Any, site: Site = site, member: Member = member) -> Any:
                    return self.met(site, member, arguments, keywords)

                handles.append(member.layer.register_forward_pre_hook(met, with_kwargs=True))
        try:
            while self.waiting:
                before = len(self.waiting)
                inputs.map(Tensor.clone).run(self.module)
                self.repeat()
                if len(self.waiting) == before:
                    self.settle_unmet()
        finally:
            for handle in handles:
                handle.remove()

    def met(self, site: Site, member: Member, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """A layer of the copy is called."""
        if site is self.again:
            member.seen.append(first_argument(arguments, keywords).detach().clone())
        if self.again is not None or site not in self.waiting:
            return None
        with torch.no_grad():
            member.seen.append(first_argument(arguments, keywords).detach().clone())
            site.fit()
        if site.calls == 1 or not any(one.driven for one in site.members):
            self.settle(site)
        else:
            self.again = site
        # The layer's hook of its own is there from the next call on.
        return emulate(member.layer, arguments, keywords) if member.driven else None

    def repeat(self) -> None:
        """Fit the site that was called several times to what it was given."""
        site = self.again
        if site is None:
            return
        with torch.no_grad():
            site.fit()
        self.again = None
        self.settle(site)

    def settle(self, site: Site) -> None:
        """Nothing of it will change."""
        site.forget()
        self.waiting.remove(site)

    def settle_unmet(self) -> None:
        """Sites that the quantized network never calls, as their calls depend on the data: fitted to the float network's."""
        for site in list(self.waiting):
            with torch.no_grad():
                site.fit()
            self.settle(site)


def run(module: nn.Module, inputs: Inputs) -> dict[str, list[Call]]:
    """What each layer with weights takes, in order of its first call; copies, for what is changed in place later."""
    taken: dict[str, list[Call]] = {}
    handles = []
    given = inputs.map(Tensor.clone)
    for name, part in module.named_modules():
        if not isinstance(part, (*sites.DRIVEN, *sites.TABLES)):
            continue

        def keep(_: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], name: str = name) -> None:
            values = first_argument(arguments, keywords)
            taken.setdefault(name, []).append(Call(values.detach().clone(), values is given.single))

        handles.append(part.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        given.run(module)
    finally:
        for handle in handles:
            handle.remove()
    return taken


def first_argument(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Tensor:
    """The activations that a layer is called with."""
    values: Tensor = arguments[0] if arguments else keywords["input"]
    return values


def multiplies(layer: nn.Module, calls: list[Call]) -> int:
    """Dense multiply-accumulates of a driven layer over all calls: output places times the weights of one."""
    kernels = sites.kernels(layer)
    meta = bare(layer, kernels).to("meta")
    return sum(meta(call.values.to("meta")).numel() // len(kernels) * int(kernels.size) for call in calls)


def _prepared(module: nn.Module, example: Inputs) -> nn.Module:
    try:
        return prepare(module, example)
    except GaltonError:
        raise
    except Exception as error:
        several = "" if example.single is None else "; several arguments are ((one, other),) or dicts in an iterable"
        raise CalibrationError(f"The network does not take inputs of shape {example.shape}: {error}{several}") from error
