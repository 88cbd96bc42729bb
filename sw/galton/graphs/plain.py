"""A float network as it computes when it is used: on the host, in eval mode, its weights plain parameters."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from galton.errors import GaltonError


def plain(module: Any) -> nn.Module:
    """A copy in float32 without torch.compile, DataParallel, parametrizations, weight-norm and pruning masks; names stay.

    Raises GaltonError for what is not a module, and for lazy modules that have no weights yet.
    """
    if not isinstance(module, nn.Module):
        raise GaltonError(f"The network is {type(module).__name__}, expected a torch.nn.Module")
    for name, values in module.named_parameters():
        if is_lazy(values):
            raise GaltonError(f"{name} has no values yet: run the network once, or load its weights, before quantizing it")
    computed = [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    memo = {id(value): value.detach().clone() for value in computed if not value.is_leaf}
    copied = unwrapped(copy.deepcopy(module, memo)).cpu().float().eval().requires_grad_(False)
    for part in list(copied.modules()):
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.max_norm is not None:
            # The table as every look-up would find it.
            part.weight.data.copy_(torch.renorm(part.weight, part.norm_type, 0, part.max_norm))
            part.max_norm = None
        if parametrize.is_parametrized(part):
            settle(part)
        for key, hook in list(part._forward_pre_hooks.items()):
            # weight_norm, spectral_norm and pruning compute the weight in such a hook, which can take itself out.
            remove = getattr(hook, "remove", None)
            if remove is not None:
                remove(part)
                del part._forward_pre_hooks[key]
    return copied.requires_grad_(False)


def settle(part: Any) -> None:
    """Parametrized weights of a copy as plain parameters, in place.

    torch.nn.utils.parametrize.remove_parametrizations takes the property off the class, which the copy shares with the original.
    """
    values = {name: getattr(part, name).detach().clone() for name in part.parametrizations}
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for name, value in values.items():
        part.register_parameter(name, nn.Parameter(value, requires_grad=False))


def unwrapped(module: nn.Module) -> nn.Module:
    """The network within the wrappers of torch.compile and DataParallel, here and in its parts; in place."""
    while isinstance(module, OptimizedModule | nn.DataParallel):
        module = module._orig_mod if isinstance(module, OptimizedModule) else module.module
    for name, part in list(module.named_children()):
        setattr(module, name, unwrapped(part))
    return module
