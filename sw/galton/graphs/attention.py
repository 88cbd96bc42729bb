"""Attention with its four matrices as linear layers: what quantizes a linear layer quantizes it."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """An nn.MultiheadAttention: softmax(query key^T / sqrt(d) + mask) value, head by head, then `out_proj`."""

    in_proj_bias = None
    """Read by torch's transformer layers, which then call this layer instead of computing with its weights themselves."""

    def __init__(self, layer: nn.MultiheadAttention) -> None:
        super().__init__()
        for name in ("embed_dim", "num_heads", "head_dim", "batch_first", "add_zero_attn"):
            setattr(self, name, getattr(layer, name))
        self.num_heads, self.batch_first, self.zero = layer.num_heads, layer.batch_first, layer.add_zero_attn
        self._qkv_same_embed_dim = False
        weights: Any = (
            (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
            if layer.in_proj_weight is None
            else layer.in_proj_weight.chunk(3)
        )
        biases: Any = (None,) * 3 if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
        self.query, self.key, self.value = (_linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
        self.out_proj = _linear(layer.out_proj.weight, layer.out_proj.bias)
        self.bias_k, self.bias_v = layer.bias_k, layer.bias_v

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As the layer that it stands for."""
        del is_causal  # a hint: the mask comes with it
        single = query.ndim == 2
        parts = [query, key, value]
        if single:
            parts = [part[None] for part in parts]
        elif not self.batch_first:
            parts = [part.transpose(0, 1) for part in parts]
        q, k, v = self.query(parts[0]), self.key(parts[1]), self.value(parts[2])
        count, wanted = len(q), q.shape[1]
        for extra_k, extra_v in self._extra(count):
            k, v = torch.cat([k, extra_k], dim=1), torch.cat([v, extra_v], dim=1)
        heads = [part.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in (q, k, v)]
        scores = heads[0] @ heads[1].transpose(2, 3) / math.sqrt(heads[0].shape[-1])
        for mask in self._masks(key_padding_mask, attn_mask, count):
            scores = scores + F.pad(mask, (0, scores.shape[-1] - mask.shape[-1]))
        shares = scores.softmax(dim=-1)
        outputs = self.out_proj((shares @ heads[2]).transpose(1, 2).reshape(count, wanted, -1))
        if single:
            outputs, shares = outputs[0], shares[0]
        elif not self.batch_first:
            outputs = outputs.transpose(0, 1)
        if not need_weights:
            return outputs, None
        return outputs, shares.mean(dim=-3) if average_attn_weights else shares

    def _extra(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values that are not computed from the input."""
        found = []
        if self.bias_k is not None and self.bias_v is not None:
            found.append((self.bias_k.expand(count, 1, -1), self.bias_v.expand(count, 1, -1)))
        if self.zero:
            zeros = self.out_proj.weight.new_zeros(count, 1, self.query.out_features)
            found.append((zeros, zeros))
        return found

    def _masks(self, padding: Tensor | None, mask: Tensor | None, count: int) -> list[Tensor]:
        """What is added to the scores (n, heads, wanted, keys)."""
        found = []
        if padding is not None:
            found.append(_added(padding).reshape(count, 1, 1, -1))
        if mask is not None:
            added = _added(mask)
            found.append(added if added.ndim == 2 else added.unflatten(0, (count, self.num_heads)))
        return found


def _added(mask: Tensor) -> Tensor:
    """A mask as numbers: True is minus infinity."""
    return torch.zeros(mask.shape).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    result: Any = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    result.weight = nn.Parameter(weight, requires_grad=False)
    result.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    linear: nn.Linear = result
    return linear
