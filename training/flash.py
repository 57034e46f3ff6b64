"""Attention in training on CUDA: torch's flash attention over rows of any length, with a sink for each head.

Flash attention has no sinks, but its output and the logarithm of its denominator are inputs of its backward
pass. With the sink added to both, it computes the gradients with the sink. It needs an Ampere GPU or a later
one; grouped products (network.py) need torch 2.10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from .attention import rotate
from .examples import Batch


@dataclass(frozen=True, slots=True)
class Packed:
    """The places of a batch's rows, prefixes and dialogues, among its tokens, for one kind of layer.

    `keys` are the places of each row's keys, those of its prefix first; `query_ends` and `key_ends`, int32
    [rows + 1] from 0 on, are the ends of rows, `longest` is the most queries and keys of one row. `cos` and
    `sin` are the tokens' rotations, `reach` is the range of a layer (None: unlimited).
    """

    cos: Tensor
    sin: Tensor
    keys: Tensor
    query_ends: Tensor
    key_ends: Tensor
    longest: tuple[int, int]
    reach: int | None


def packed(batch: Batch, cos: Tensor, sin: Tensor, reach: int) -> tuple[Packed, Packed]:
    """The layouts of full and of sliding layers; `cos` and `sin` [positions, d / 2] are the rotations."""
    device = batch.places.device
    lengths, follows = batch.rows.unbind(1)
    before = torch.where(follows < 0, 0, lengths[follows])
    seen = before + lengths
    begins, first_keys = lengths.cumsum(0) - lengths, seen.cumsum(0) - seen
    # A key's place is its rank, shifted by one number for all keys of a row's prefix or of the row itself.
    sizes = torch.stack([before, lengths], 1).flatten()
    shifts = torch.stack([begins[follows], begins - before], 1) - first_keys[:, None]
    total = int(seen.sum())
    shift = torch.repeat_interleave(shifts.flatten().to(device), sizes.to(device), output_size=total)
    keys = torch.arange(total, device=device) + shift

    def ends(sizes: Tensor) -> Tensor:
        return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).int().to(device)

    rows = (keys, ends(lengths), ends(seen), (int(lengths.max()), int(seen.max())))
    in_order = torch.repeat_interleave(before - begins, lengths).to(device)
    in_order += torch.arange(len(in_order), device=device)

    def layout(positions: Tensor, reach: int | None) -> Packed:
        turns = [table.to(device).bfloat16()[positions][:, None] for table in (cos, sin)]
        return Packed(turns[0], turns[1], *rows, reach)

    return layout(batch.positions, None), layout(in_order, reach)


def attend_packed(heads: Tensor, query_heads: int, sinks: Tensor, layout: Packed) -> Tensor:
    """Queries, keys and values of all tokens [M, H + 2 K, d], not yet rotated -> the output [M, H d].

    `sinks` is [K, g].
    """
    kv = len(sinks)
    turning, values = torch.split(heads, [query_heads + kv, kv], 1)
    q, k = torch.split(rotate(turning, layout.cos, layout.sin), [query_heads, kv], 1)
    # A prefix gets gradients from every dialogue after it: they are added in float32.
    pairs = torch.cat([k, values], 1).float().index_select(0, layout.keys).to(heads.dtype)
    k, v = torch.split(pairs, [kv, kv], 1)
    attended = cast("Callable[..., Tensor]", _FlashWithSink.apply)(q, k, v, sinks.flatten(), layout)
    return attended.flatten(1)


class _FlashWithSink(torch.autograd.Function):
    """q [M, H, d], k and v [keys, K, d], sinks [H] -> [M, H, d]."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, layout: Packed) -> Tensor:  # noqa: PLR0917
        alone, sums, seed, unused, _ = torch.ops.aten._flash_attention_forward(
            q, k, v, *_rows(layout), 0.0, layout.reach is None, False, **_window(layout)
        )
        with_sink = torch.logaddexp(sums, sinks.float()[:, None])  # logarithms of the denominators [H, M]
        out: Tensor = (alone * (sums - with_sink).exp().T[..., None]).to(q.dtype)
        ctx.save_for_backward(q, k, v, out, with_sink, seed, unused, sinks)
        ctx.layout = layout
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        q, k, v, out, with_sink, seed, unused, sinks = ctx.saved_tensors
        layout: Packed = ctx.layout
        grads = torch.ops.aten._flash_attention_backward(
            grad.contiguous(),
            q,
            k,
            v,
            out,
            with_sink,
            *_rows(layout),
            0.0,
            layout.reach is None,
            seed,
            unused,
            **_window(layout),
        )
        share = (sinks.float()[:, None] - with_sink).exp()
        grad_sinks = -(share * (grad.float() * out.float()).sum(-1).T).sum(1)
        return (*grads, grad_sinks, None)


def _rows(layout: Packed) -> tuple[Tensor, Tensor, int, int]:
    return layout.query_ends, layout.key_ends, *layout.longest


def _window(layout: Packed) -> dict[str, int]:
    """Keys that a query sees before and after its own; -1 means all. The last query is at the last key."""
    return {"window_size_left": -1 if layout.reach is None else layout.reach - 1, "window_size_right": 0}
