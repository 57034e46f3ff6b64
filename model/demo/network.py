"""The training network: gpt-oss as in model/transformer.py, arranged for speed on a CPU.

What differs from the runtime is only the arrangement: many dialogues share one computed prefix, every expert
is evaluated for every token with the router's weight as a factor, gate and up are kept apart (interleaved at
export), and attention has its own backward. Matrices multiply in bfloat16, the residual stream is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptoss_tui.kernels.mxfp4 import decode, encode
from gptoss_tui.model.config import Rope
from gptoss_tui.model.rope import inverse_frequencies, rotation

from .examples import Batch


@dataclass(frozen=True, slots=True)
class Shape:
    """The demo model's dimensions; what is not listed is as in gpt-oss."""

    vocabulary: int = 3072
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    experts: int = 8
    active_experts: int = 2
    intermediate: int = 256
    window: int = 128
    norm_eps: float = 1e-5
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    rope_theta: float = 150_000.0
    rope_factor: float = 32.0
    rope_original_context: int = 4096
    rope_beta_fast: float = 32.0
    rope_beta_slow: float = 1.0


class _SinkAttention(torch.autograd.Function):
    """softmax(q k^T + mask) v with key 0 standing for the sink: its score is the head's own logit.

    q [N, K, g, T, d] scaled, k and v [N, K, S, d], mask [N, T, S], sinks [K, g] -> [N, K, g, T, d].
    """

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, sinks: Tensor
    ) -> Tensor:
        n, kv, g, t, d = q.shape
        scores = (q.reshape(n, kv, g * t, d) @ k.mT).view(n, kv, g, t, -1)
        scores += mask[:, None, None]
        scores[..., 0] = sinks[None, :, :, None].to(scores.dtype)
        p = scores.softmax(-1)
        out = (p.view(n, kv, g * t, -1) @ v).view(n, kv, g, t, d)
        ctx.save_for_backward(q, k, v, p, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, Tensor]:
        q, k, v, p, out = ctx.saved_tensors
        n, kv, g, t, d = q.shape
        flat_p, flat_grad = p.view(n, kv, g * t, -1), grad.reshape(n, kv, g * t, d)
        grad_v = flat_p.mT @ flat_grad
        ds = (flat_grad @ v.mT).sub_((grad * out).sum(-1).view(n, kv, g * t, 1)).mul_(flat_p)
        grad_sinks = ds[..., 0].view(n, kv, g, t).float().sum((0, 3))
        grad_q = (ds @ k).view(n, kv, g, t, d)
        grad_k = ds.mT @ q.reshape(n, kv, g * t, d)
        grad_k[:, :, 0] = 0
        return grad_q, grad_k, grad_v, None, grad_sinks


class _Quantised(torch.autograd.Function):
    """MXFP4 forward, straight through backward."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return decode(*encode(weight), dtype=weight.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def rope_tables(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin [length, head_dim / 2] of YaRN without rounded bounds, times its concentration."""
    rope = Rope(
        shape.rope_theta,
        shape.rope_factor,
        shape.rope_original_context,
        shape.rope_beta_fast,
        shape.rope_beta_slow,
    )
    half = shape.head_dim // 2
    cos, signed_sin = rotation(inverse_frequencies(rope, shape.head_dim), 0, length, rope.concentration)
    return cos[:, :half], signed_sin[:, half:]


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of the last axis against each other."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A product in bfloat16."""
    return F.linear(x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16())


class RMSNorm(nn.Module):
    """Root-mean-square norm in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


@dataclass(frozen=True, slots=True)
class Layout:
    """What attention must know of a batch: where the prefix and the blocks lie in the flat row of all tokens.

    `shapes` are those of the prefix and of each block; `reach` is how far a layer sees (None: all the way).
    Masks are [n, T, 1 + keys] in bfloat16, with the sink in column 0.
    """

    cos: Tensor
    sin: Tensor
    shapes: list[tuple[int, int]]
    groups: list[Tensor]
    reach: int | None
    prefix_mask: Tensor
    masks: list[Tensor]


def layouts(shape: Shape, batch: Batch) -> tuple[Layout, Layout]:
    """The layouts of full and of sliding layers."""
    long, device = batch.prefix.shape[1], batch.prefix.device
    at_prefix = torch.arange(long, device=device)
    at_blocks = [torch.arange(long, long + block.ids.shape[1], device=device) for block in batch.blocks]
    shapes = [(x.shape[0], x.shape[1]) for x in (batch.prefix, *(block.ids for block in batch.blocks))]
    positions = torch.cat(
        [at.repeat(n) for at, (n, _) in zip((at_prefix, *at_blocks), shapes, strict=True)],
    )
    cos, sin = rope_tables(shape, long + max(block.ids.shape[1] for block in batch.blocks))
    cos, sin = (table.to(device).bfloat16()[positions][:, None] for table in (cos, sin))

    def layout(reach: int | None) -> Layout:
        window = len(positions) if reach is None else reach

        def mask(queries: Tensor, keys: Tensor, seen: Tensor) -> Tensor:
            distance = queries[:, None] - keys
            allowed = seen[:, None] & (distance >= 0) & (distance < window)
            with_sink = F.pad(allowed, (1, 0), value=True)
            return torch.zeros(with_sink.shape, dtype=torch.bfloat16, device=device).masked_fill_(
                ~with_sink, -torch.inf
            )

        kept = slice(0 if reach is None else max(0, long + 1 - reach), None)
        masks = [
            mask(
                at,
                torch.cat([at_prefix[kept], at]),
                F.pad(batch.prefix_seen[block.group][:, kept], (0, len(at)), value=True),
            )
            for at, block in zip(at_blocks, batch.blocks, strict=True)
        ]
        prefix_mask = mask(at_prefix, at_prefix, batch.prefix_seen)
        groups = [block.group for block in batch.blocks]
        return Layout(cos, sin, shapes, groups, reach, prefix_mask, masks)

    return layout(None), layout(shape.window)


class Attention(nn.Module):
    """Grouped-query attention with a sink per head."""

    def __init__(self, shape: Shape, *, sliding: bool) -> None:
        super().__init__()
        self.shape, self.sliding = shape, sliding
        self.norm = RMSNorm(shape.hidden, shape.norm_eps)
        wide = shape.heads * shape.head_dim
        narrow = shape.kv_heads * shape.head_dim
        self.q = nn.Linear(shape.hidden, wide)
        self.k = nn.Linear(shape.hidden, narrow)
        self.v = nn.Linear(shape.hidden, narrow)
        self.o = nn.Linear(wide, shape.hidden)
        self.sinks = nn.Parameter(torch.zeros(shape.heads))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """All tokens [N, d] -> what is added to them."""
        (pq, pk, pv), *rest = self._project(self.norm(x), layout)
        outputs = [self._attend(pq, pk, pv, layout.prefix_mask)]
        if layout.reach is not None:
            pk, pv = pk[:, :, 1 - layout.reach :], pv[:, :, 1 - layout.reach :]
        for (q, k, v), group, mask in zip(rest, layout.groups, layout.masks, strict=True):
            keys, values = torch.cat([pk[group], k], 2), torch.cat([pv[group], v], 2)
            outputs.append(self._attend(q, keys, values, mask))
        return _linear(torch.cat(outputs), self.o.weight, self.o.bias).float()

    def _project(self, x: Tensor, layout: Layout) -> list[tuple[Tensor, Tensor, Tensor]]:
        """[N, d] -> for the prefix and each block q [n, K, g, T, d], k and v [n, K, T, d]."""
        shape = self.shape
        weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        heads = _linear(x, weight, bias).view(len(x), -1, shape.head_dim)
        turning, values = torch.split(heads, [shape.heads + shape.kv_heads, shape.kv_heads], 1)
        turned = _rotate(turning, layout.cos, layout.sin)
        sizes = [n * length for n, length in layout.shapes]
        parts = []
        for qk, v, (n, length) in zip(
            torch.split(turned, sizes), torch.split(values, sizes), layout.shapes, strict=True
        ):
            q, k = torch.split(qk.view(n, length, -1, shape.head_dim), [shape.heads, shape.kv_heads], 2)
            q = q.reshape(n, length, shape.kv_heads, -1, shape.head_dim).permute(0, 2, 3, 1, 4)
            parts.append((q, k.transpose(1, 2), v.reshape(n, length, -1, shape.head_dim).transpose(1, 2)))
        return parts

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        n, kv, g, length, width = q.shape
        sink = k.new_zeros(n, kv, 1, width)
        k, v = torch.cat([sink, k], 2), torch.cat([sink, v], 2)
        attend = cast("Callable[..., Tensor]", _SinkAttention.apply)
        out = attend(q * width**-0.5, k, v, mask, self.sinks.view(kv, g))
        return out.permute(0, 3, 1, 2, 4).reshape(n * length, -1)


def _swiglu(gate: Tensor, up: Tensor, routing: Tensor, shape: Shape) -> Tensor:
    """The clamped SwiGLU of every expert, times the router's weight: [N, E I], [N, E] -> [N, E, I]."""
    gate = gate.clamp(max=shape.swiglu_limit)
    up = up.clamp(-shape.swiglu_limit, shape.swiglu_limit)
    inner = gate * torch.sigmoid(shape.swiglu_alpha * gate) * (up + 1)
    return inner.view(-1, shape.experts, shape.intermediate) * routing[..., None]


@cache
def _fused_swiglu() -> Callable[..., Tensor]:
    """The same as one kernel."""
    return cast("Callable[..., Tensor]", torch.compile(_swiglu, dynamic=False))


class Experts(nn.Module):
    """Mixture of experts: top-k of the router's logits, then softmax over those."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.norm = RMSNorm(shape.hidden, shape.norm_eps)
        self.router = nn.Linear(shape.hidden, shape.experts)
        e, i, d = shape.experts, shape.intermediate, shape.hidden
        self.gate = nn.Parameter(torch.randn(e, i, d) * d**-0.5)
        self.gate_bias = nn.Parameter(torch.zeros(e, i))
        self.up = nn.Parameter(torch.randn(e, i, d) * d**-0.5)
        self.up_bias = nn.Parameter(torch.zeros(e, i))
        self.down = nn.Parameter(torch.randn(e, d, i) * i**-0.5 * 0.2)
        self.down_bias = nn.Parameter(torch.zeros(e, d))

    def forward(self, x: Tensor, weights: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """x [N, d] -> what is added; `weights` are gate, up and down, as they are or rounded."""
        shape = self.shape
        gate_weight, up_weight, down_weight = weights
        x = self.norm(x).bfloat16()
        logits = _linear(x, self.router.weight, self.router.bias).float()
        top, index = logits.topk(shape.active_experts, -1)
        routing = torch.zeros_like(logits).scatter(-1, index, top.softmax(-1))
        gate = _linear(x, gate_weight.flatten(0, 1), self.gate_bias.flatten())
        up = _linear(x, up_weight.flatten(0, 1), self.up_bias.flatten())
        mix = _fused_swiglu() if x.is_cuda and torch.is_grad_enabled() else _swiglu
        inner = mix(gate, up, routing.bfloat16(), shape)
        out = _linear(inner.flatten(1), down_weight.transpose(1, 2).flatten(0, 1).T)
        return out.float() + routing @ self.down_bias


class DemoNetwork(nn.Module):
    """The whole network; called with a batch it gives the logits of the predicted tokens."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.5)
        self.attention = nn.ModuleList(Attention(shape, sliding=i % 2 == 0) for i in range(shape.layers))
        self.experts = nn.ModuleList(Experts(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.norm_eps)
        self.unembedding = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * shape.hidden**-0.5)

    @property
    def layers(self) -> list[tuple[Attention, Experts]]:
        """The layers in order."""
        attention = cast("list[Attention]", list(self.attention))
        return list(zip(attention, cast("list[Experts]", list(self.experts)), strict=True))

    def forward(self, batch: Batch, *, quantised: bool = False) -> Tensor:
        """Logits float32 [predicted, vocabulary]."""
        full, sliding = layouts(self.shape, batch)
        ids = torch.cat([batch.prefix.flatten(), *(block.ids.flatten() for block in batch.blocks)])
        x = self.embedding[ids]
        for (attention, experts), weights in zip(self.layers, self._weights(quantised), strict=True):
            x = x + attention(x, sliding if attention.sliding else full)
            x = x + experts(x, weights)
        return _linear(self.norm(x[batch.prefix.numel() + batch.predict]), self.unembedding).float()

    def _weights(self, quantised: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Gate, up and down of every layer; rounded for all layers at once."""
        kinds = [[getattr(experts, name) for _, experts in self.layers] for name in ("gate", "up", "down")]
        if quantised:
            round_all = cast("Callable[[Tensor], Tensor]", _Quantised.apply)
            kinds = [list(round_all(torch.stack(one_kind))) for one_kind in kinds]
        return list(zip(*kinds, strict=True))
