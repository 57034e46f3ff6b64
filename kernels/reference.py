"""The expert layer and the attention of gpt-oss in plain PyTorch: readable, and the oracle of fast paths.

Works in the dtype of its inputs, float32 or bfloat16; softmax is always taken in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gptoss_tui.kernels import mxfp4

_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32: bounds the memory of a long prompt


class ExpertWeights(NamedTuple):
    """The experts of one layer: E experts, hidden size H, inner size I. Gate rows are even, up rows odd."""

    gate_up_blocks: Tensor  # uint8 [E, 2I, H/32, 16]
    gate_up_scales: Tensor  # uint8 [E, 2I, H/32]
    gate_up_bias: Tensor  # [E, 2I]
    down_blocks: Tensor  # uint8 [E, H, I/32, 16]
    down_scales: Tensor  # uint8 [E, H, I/32]
    down_bias: Tensor  # [E, H]


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Router logits [tokens, E] -> the k best experts int64 [tokens, k] and their weights [tokens, k].

    The softmax runs over the chosen k alone.
    """
    best, chosen = logits.topk(k, dim=-1)
    return chosen, best.float().softmax(dim=-1).to(logits.dtype)


def swiglu(x: Tensor, alpha: float = 1.702, limit: float = 7.0) -> Tensor:
    """The clamped activation of gpt-oss: [..., 2I] with gate and up interleaved -> [..., I].

    gate * sigmoid(alpha * gate) * (up + 1), gate clamped from above only, up on both sides.
    """
    gate = x[..., 0::2].clamp(max=limit)
    up = x[..., 1::2].clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (up + 1)


def experts(
    x: Tensor,
    chosen: Tensor,
    weights: Tensor,
    layer: ExpertWeights,
    *,
    alpha: float = 1.702,
    limit: float = 7.0,
) -> Tensor:
    """Mix the chosen experts: x [tokens, H], chosen and weights [tokens, k] -> [tokens, H].

    Weights are decoded from MXFP4 as they are needed: for one token its k experts together, for more each
    expert that is hit in turn, once.
    """
    if len(x) == 1:
        return weights @ _run(x, chosen[0], layer, alpha, limit).squeeze(1)
    out = torch.zeros_like(x)
    for expert in torch.unique(chosen):
        token, slot = torch.where(chosen == expert)
        y = _run(x[token], expert.view(1), layer, alpha, limit).squeeze(0)
        out.index_add_(0, token, y * weights[token, slot].unsqueeze(-1))
    return out


def _run(x: Tensor, which: Tensor, layer: ExpertWeights, alpha: float, limit: float) -> Tensor:
    """x [tokens, H] through each of the experts `which` int64 [n] -> [n, tokens, H]."""
    up_blocks, up_scales, up_bias, down_blocks, down_scales, down_bias = (
        part.index_select(0, which) for part in layer
    )
    inner = x @ mxfp4.decode(up_blocks, up_scales, x.dtype).mT + up_bias.unsqueeze(1)
    inner = swiglu(inner, alpha, limit)
    return inner @ mxfp4.decode(down_blocks, down_scales, x.dtype).mT + down_bias.unsqueeze(1)


def attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None = None) -> Tensor:
    """Causal attention: q [heads, tokens, d], k and v [kv_heads, keys, d], sinks [heads] -> like q.

    The last query stands at the last key; earlier keys come from a cache. Heads h * heads / kv_heads and
    following share key head h. A head's learned sink joins its softmax as one more column, unscaled, whose
    value is dropped.
    With a `window` each query sees that many keys, its own included.
    """
    heads, tokens, _ = q.shape
    past = k.shape[1] - tokens
    at_once = max(1, _SCORES_AT_ONCE // (heads * k.shape[1]))
    if window is not None and window < k.shape[1]:
        at_once = max(window, 64)  # so few that most keys they share are seen by all of them
    parts = []
    for start in range(0, tokens, at_once):
        stop = min(start + at_once, tokens)
        first = 0 if window is None else max(0, past + start - window + 1)
        seen = slice(first, past + stop)
        parts.append(_attend(q[:, start:stop], k[:, seen], v[:, seen], sinks, window))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
    heads, tokens, head_dim = q.shape
    kv_heads, keys, _ = k.shape
    scores = (q.reshape(kv_heads, -1, head_dim) @ k.mT).view(heads, tokens, keys).float() * head_dim**-0.5
    if tokens > 1:  # A single query sees every key it is given.
        distance = torch.arange(keys - tokens, keys, device=q.device).unsqueeze(1)
        distance = distance - torch.arange(keys, device=q.device)
        hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
        scores = scores.masked_fill(hidden, float("-inf"))
    sink = sinks.float().view(heads, 1, 1).expand(heads, tokens, 1)
    share = torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1].to(v.dtype)
    return (share.reshape(kv_heads, -1, keys) @ v).view(heads, tokens, head_dim)
