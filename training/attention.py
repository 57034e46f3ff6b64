"""Attention in training on a CPU: a prefix before many dialogues, a sink for each head, no needless scores.

The tokens of all dialogues are stored end to end without padding; only here they are spread into rectangles.
A full layer computes the queries in pieces, each with the keys up to its end. In a sliding layer each piece
sees a window of keys as long as the piece and the reach together, so that the cost is linear in the length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .examples import Batch

PIECE = 256
"""Queries of a full layer that are computed at once."""


class _SinkAttention(torch.autograd.Function):
    """softmax(q k^T + mask) v, where key 0 is the sink: its score is the head's own logit.

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


@dataclass(frozen=True, slots=True)
class LayoutPart:
    """The prefixes of a batch, or a block of its dialogues, for one kind of layer.

    `rows` [n, T] is its shape, `group` [n] is the index of the prefix before each row (None for the prefixes
    themselves). In a full layer each piece of queries has a mask [n, t, 1 + keys]; in a sliding layer all
    share one mask [n * pieces, t, 1 + keys]. The sink is in column 0.
    """

    rows: tuple[int, int]
    group: Tensor | None
    masks: list[Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a batch for attention; `places` [M] are the tokens' places among all padded ones.

    `cos` and `sin` are the tokens' rotations, `reach` is the range of a layer (None: unlimited).
    """

    cos: Tensor
    sin: Tensor
    places: Tensor
    padded: int
    parts: list[LayoutPart]
    reach: int | None


def layouts(batch: Batch, cos: Tensor, sin: Tensor, reach: int) -> tuple[Layout, Layout]:
    """The layouts of full and of sliding layers; `cos` and `sin` [positions, d / 2] are the rotations."""
    long = batch.prefix.shape[1]
    device = batch.prefix.device
    shapes = [(x.shape[0], x.shape[1]) for x in (batch.prefix, *(block.ids for block in batch.blocks))]
    begins = [0, *[long] * len(batch.blocks)]
    in_order = torch.cat(
        [
            torch.arange(begin, begin + length, device=device).repeat(n)
            for begin, (n, length) in zip(begins, shapes, strict=True)
        ]
    )
    tables = [table.to(device).bfloat16() for table in (cos, sin)]

    def layout(reach: int | None) -> Layout:
        positions = batch.positions if reach is None else in_order[batch.places]
        parts = []
        for rows, group in zip(shapes, [None, *(block.group for block in batch.blocks)], strict=True):
            own = torch.ones(rows, dtype=torch.bool, device=device)
            if group is None:
                past, own = own[:, :0], batch.prefix_seen
            else:
                past = batch.prefix_seen[group]
            masks = _full_masks(past, own) if reach is None else [_window_mask(past, own, reach)]
            parts.append(LayoutPart(rows, group, masks))
        cos, sin = (table[positions][:, None] for table in tables)
        return Layout(cos, sin, batch.places, len(in_order), parts, reach)

    return layout(None), layout(reach)


def _full_masks(past: Tensor, own: Tensor) -> list[Tensor]:
    """The mask of each piece of queries over the past [n, P] and the row itself [n, T]."""
    length, before = own.shape[1], past.shape[1]
    seen = torch.cat([past, own], 1)
    at = torch.arange(before + length, device=own.device)
    return [
        _additive(
            seen[:, None, : before + end] & (at[before + begin : before + end, None] >= at[: before + end])
        )
        for begin, end in _pieces(length)
    ]


def _window_mask(past: Tensor, own: Tensor, reach: int) -> Tensor:
    """The mask of every window: a piece of t queries, and the `reach` + t keys that end with it."""
    seen = _windows(past, own, 1, reach).flatten(0, 1)
    at = torch.arange(seen.shape[1], device=own.device)
    distance = at[reach:, None] - at
    return _additive(seen[:, None] & (distance >= 0) & (distance < reach))


def _additive(allowed: Tensor) -> Tensor:
    with_sink = F.pad(allowed, (1, 0), value=True)
    zeros = torch.zeros(with_sink.shape, dtype=torch.bfloat16, device=allowed.device)
    return zeros.masked_fill_(~with_sink, -torch.inf)


def _pieces(length: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + PIECE, length)) for begin in range(0, length, PIECE)]


def _windows(past: Tensor, own: Tensor, axis: int, reach: int) -> Tensor:
    """The past of rows, and the rows [n, ...] -> [n, pieces, ...]: the keys that each piece sees.

    The queries are cut into the fewest pieces of at most `reach`, all of one length.
    """
    count = -(-own.shape[axis] // reach)
    piece = -(-own.shape[axis] // count)
    kept = past.narrow(axis, max(0, past.shape[axis] - reach), min(past.shape[axis], reach))
    before = _zeros(own, axis, reach - kept.shape[axis])
    behind = _zeros(own, axis, count * piece - own.shape[axis])
    keys = torch.cat([before, kept, own, behind], axis)
    return torch.stack([keys.narrow(axis, i * piece, reach + piece) for i in range(count)], 1)


def _zeros(x: Tensor, axis: int, length: int) -> Tensor:
    return x.new_zeros(*x.shape[:axis], length, *x.shape[axis + 1 :])


def attend(heads: Tensor, query_heads: int, sinks: Tensor, layout: Layout) -> Tensor:
    """Queries, keys and values of all tokens [M, H + 2 K, d], not yet rotated -> the attention's output.

    `sinks` is [K, g]; the result is [M, H d].
    """
    kv, width = len(sinks), heads.shape[-1]
    turning, values = torch.split(heads, [query_heads + kv, kv], 1)
    heads = torch.cat([rotate(turning, layout.cos, layout.sin), values], 1)
    spread = heads.new_zeros(layout.padded, *heads.shape[1:]).index_copy(0, layout.places, heads)
    rectangles = torch.split(spread, [n * length for n, length in (part.rows for part in layout.parts)])
    outputs: list[Tensor] = []
    prefix_k = prefix_v = heads
    for part, rectangle in zip(layout.parts, rectangles, strict=True):
        q, k, v = torch.split(rectangle.view(*part.rows, -1, width), [query_heads, kv, kv], 2)
        q = q.view(*part.rows, kv, -1, width).permute(0, 2, 3, 1, 4) * width**-0.5
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        if part.group is None:
            prefix_k, prefix_v = k, v
            past = k[:, :, :0], v[:, :, :0]
        else:
            kept = slice(0 if layout.reach is None else -layout.reach, None)
            past = prefix_k[:, :, kept][part.group], prefix_v[:, :, kept][part.group]
        if layout.reach is None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            out = _full(q, k, v, part.masks, sinks)
        else:
            k, v = (_windows(*pair, 2, layout.reach).flatten(0, 1) for pair in ((past[0], k), (past[1], v)))
            out = _sliding(q, k, v, part.masks[0], sinks)
        outputs.append(out.permute(0, 3, 1, 2, 4).reshape(-1, query_heads * width))
    return torch.cat(outputs).index_select(0, layout.places)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, sinks: Tensor) -> Tensor:
    return cast("Callable[..., Tensor]", _SinkAttention.apply)(q, k, v, mask, sinks)


def _with_sink(x: Tensor) -> Tensor:
    return F.pad(x, (0, 0, 1, 0))


def _full(q: Tensor, k: Tensor, v: Tensor, masks: list[Tensor], sinks: Tensor) -> Tensor:
    k, v = _with_sink(k), _with_sink(v)
    pieces = []
    for (begin, end), mask in zip(_pieces(q.shape[3]), masks, strict=True):
        seen = mask.shape[-1]
        pieces.append(_attend(q[:, :, :, begin:end], k[:, :, :seen], v[:, :, :seen], mask, sinks))
    return torch.cat(pieces, 3)


def _sliding(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, sinks: Tensor) -> Tensor:
    n, kv, g, length, width = q.shape
    piece = mask.shape[1]
    count = len(mask) // n
    q = torch.cat([q, _zeros(q, 3, count * piece - length)], 3).view(n, kv, g, count, piece, width)
    q = q.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
    out = _attend(q, _with_sink(k), _with_sink(v), mask, sinks).view(n, count, kv, g, piece, width)
    return out.permute(0, 2, 3, 1, 4, 5).reshape(n, kv, g, count * piece, width)[:, :, :, :length]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of the last axis against each other."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
