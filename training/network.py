"""The training network: gpt-oss as in model/transformer.py, arranged for speed in training.

Only the arrangement differs from the runtime: many dialogues share one computed prefix, the tokens of each
expert are gathered and multiplied at once, gate and up are separate (interleaved at export), and attention
has its own backward pass (attention.py on a CPU, flash.py on CUDA). Matrices multiply in bfloat16, the
residual stream is float32.
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
from gptoss_tui.kernels.reference import rotation
from gptoss_tui.model.config import Rope
from gptoss_tui.model.rope import inverse_frequencies

from .attention import Layout, attend, layouts
from .examples import FARTHEST, Batch
from .flash import Packed, attend_packed, packed


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """The demo model's dimensions; all others are those of gpt-oss."""

    vocabulary: int = 2816
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


class _Quantised(torch.autograd.Function):
    """MXFP4 in the forward pass, the straight-through gradient in the backward pass."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return decode(*encode(weight), dtype=weight.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def rope_tables(shape: NetworkShape, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin [length, head_dim / 2] of YaRN without rounded bounds, times its concentration."""
    rope = Rope(
        shape.rope_theta,
        shape.rope_factor,
        shape.rope_original_context,
        shape.rope_beta_fast,
        shape.rope_beta_slow,
    )
    half = shape.head_dim // 2
    frequencies = torch.from_numpy(inverse_frequencies(rope, shape.head_dim))
    cos, signed_sin = rotation(frequencies, 0, length, rope.concentration)
    return cos[:, :half], signed_sin[:, half:]


@cache
def _tables_on(device: torch.device, shape: NetworkShape, length: int) -> tuple[Tensor, Tensor]:
    cos, sin = rope_tables(shape, length)
    return cos.to(device), sin.to(device)


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


class Attention(nn.Module):
    """Grouped-query attention with a sink per head."""

    def __init__(self, shape: NetworkShape, *, sliding: bool) -> None:
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

    def forward(self, x: Tensor, layout: Layout | Packed, kept: Tensor | None = None) -> Tensor:
        """All tokens [M, d] -> the addition to them, or to the `kept` ones alone."""
        weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        shape = self.shape
        heads = _linear(self.norm(x), weight, bias).view(len(x), -1, shape.head_dim)
        sinks = self.sinks.view(shape.kv_heads, -1)
        if isinstance(layout, Packed):
            gathered = attend_packed(heads, shape.heads, sinks, layout)
        else:
            gathered = attend(heads, shape.heads, sinks, layout)
        gathered = gathered if kept is None else gathered.index_select(0, kept)
        return _linear(gathered, self.o.weight, self.o.bias).float()


class _Reorder(torch.autograd.Function):
    """Rows in another order; `back` is the inverse order, by which the backward pass is a look-up as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return x[order]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grad[back], None, None


def _swiglu(gate: Tensor, up: Tensor, shape: NetworkShape) -> Tensor:
    """The clamped SwiGLU."""
    gate = gate.clamp(max=shape.swiglu_limit)
    up = up.clamp(-shape.swiglu_limit, shape.swiglu_limit)
    return gate * torch.sigmoid(shape.swiglu_alpha * gate) * (up + 1)


class Experts(nn.Module):
    """Mixture of experts: top-k of the router's logits, then softmax over those."""

    def __init__(self, shape: NetworkShape) -> None:
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
        """x [M, d] -> the addition to it; `weights` are gate, up and down, rounded or not."""
        active = self.shape.active_experts
        x = self.norm(x).bfloat16()
        top, chosen = _linear(x, self.router.weight, self.router.bias).float().topk(active, -1)
        order = chosen.flatten().argsort(stable=True)  # the tokens of each expert together
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        counts = F.one_hot(chosen.flatten(), self.shape.experts).sum(0)
        reorder = cast("Callable[..., Tensor]", _Reorder.apply)
        routed = reorder(x.repeat_interleave(active, 0), order, back)
        gate, up, down = weights
        inner = _each(routed, counts, torch.cat([gate, up], 1), torch.cat([self.gate_bias, self.up_bias], 1))
        gates, ups = inner.chunk(2, -1)
        mixed = _swiglu(gates, ups, self.shape)
        out = reorder(_each(mixed, counts, down, self.down_bias), back, order)
        return (out.view(len(x), active, -1) * top.softmax(-1)[..., None]).sum(1)


def _each(x: Tensor, counts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Every expert's product with its own rows: x [M, i], weight [E, o, i], bias [E, o] -> [M, o].

    `counts` [E] is the number of rows of each; on CUDA nothing waits for it.
    """
    weight, bias = weight.bfloat16(), bias.bfloat16()
    if x.is_cuda:
        ends = counts.cumsum(0)
        whose = torch.arange(len(x), device=x.device)[:, None]
        own = ((whose < ends) & (whose >= ends - counts)).bfloat16()
        return F.grouped_mm(x, weight.mT, offs=ends.int()) + own @ bias
    rows = torch.split(x, counts.tolist())
    return torch.cat([F.linear(*one) for one in zip(rows, weight.unbind(), bias.unbind(), strict=True)])


class DemoNetwork(nn.Module):
    """The whole network; called with a batch it gives the logits of the predicted tokens."""

    def __init__(self, shape: NetworkShape) -> None:
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
        length = batch.prefix.shape[1] + FARTHEST + max(block.ids.shape[1] for block in batch.blocks)
        tables = _tables_on(batch.prefix.device, self.shape, -(-length // 4096) * 4096)
        arrange = packed if batch.places.is_cuda else layouts
        full, sliding = arrange(batch, *tables, self.shape.window)
        ids = torch.cat([batch.prefix.flatten(), *(block.ids.flatten() for block in batch.blocks)])
        x = F.embedding(ids[batch.places], self.embedding)
        weights = self._weights(quantised)
        for i, (attention, experts) in enumerate(self.layers):
            # After the last layer's keys and values, only the predicted places count.
            kept = batch.predict if i == len(self.layers) - 1 else None
            added = attention(x, sliding if attention.sliding else full, kept)
            x = (x if kept is None else x.index_select(0, kept)) + added
            x = x + experts(x, weights[i])
        return _linear(self.norm(x), self.unembedding).float()

    def _weights(self, quantised: bool) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Gate, up and down of every layer; rounded for all layers at once."""
        kinds = [[getattr(experts, name) for _, experts in self.layers] for name in ("gate", "up", "down")]
        if quantised:
            round_all = cast("Callable[[Tensor], Tensor]", _Quantised.apply)
            kinds = [list(round_all(torch.stack(one_kind))) for one_kind in kinds]
        return list(zip(*kinds, strict=True))
