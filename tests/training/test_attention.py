"""Attention in training against the formula, row by row in float64: prefixes, jumps, windows, gradients."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gptoss_tui.training.attention import attend, layouts
from gptoss_tui.training.examples import Batch, Example, collate
from gptoss_tui.training.flash import attend_packed, packed
from gptoss_tui.training.network import NetworkShape, rope_tables

SHAPE = NetworkShape(heads=4, kv_heads=2, head_dim=32)
WITH_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
PREFIXES = (150, 40)
ROWS = ((0, 300), (1, 20), (1, 129), (0, 7))
JUMP = (5, 3000)


def _batch(generator: random.Random) -> Batch:
    def ids(length: int) -> list[int]:
        return generator.choices(range(1000), k=length)

    def row(length: int) -> Example:
        return Example(ids(length), [0.0] + [1.0] * (length - 1), "random", jump=JUMP)

    rows = [(group, row(length)) for group, length in ROWS]
    return collate([ids(length) for length in PREFIXES], [rows[:1], [], rows[1:]])


def _expected(heads: Tensor, sinks: Tensor, positions: Tensor, reach: int) -> Tensor:
    """One conversation [T, H + 2 K, d] by the formula of the paper: softmax over the scores and the sink."""
    cos, sin = (table.to(heads)[positions][:, None] for table in rope_tables(SHAPE, int(positions.max()) + 1))
    a, b = heads.chunk(2, -1)
    turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    group = SHAPE.heads // SHAPE.kv_heads
    q = turned[:, : SHAPE.heads]
    k = turned[:, SHAPE.heads : SHAPE.heads + SHAPE.kv_heads].repeat_interleave(group, 1)
    v = heads[:, SHAPE.heads + SHAPE.kv_heads :].repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) * SHAPE.head_dim**-0.5
    distance = torch.arange(len(heads))[:, None] - torch.arange(len(heads))
    scores = scores.masked_fill((distance < 0) | (distance >= reach), -torch.inf)
    with_sink = torch.cat([scores, sinks.flatten()[:, None, None].expand(-1, len(heads), 1)], -1)
    return torch.einsum("hqk,khd->qhd", with_sink.softmax(-1)[..., :-1], v).flatten(1)


def _attended(batch: Batch, heads: Tensor, sinks: Tensor, *, sliding: bool) -> Tensor:
    tables = rope_tables(SHAPE, 4096)
    if heads.is_cuda:
        return attend_packed(heads, SHAPE.heads, sinks, packed(batch, *tables, SHAPE.window)[sliding])
    return attend(heads, SHAPE.heads, sinks, layouts(batch, *tables, SHAPE.window)[sliding])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=WITH_CUDA)])
@pytest.mark.parametrize("sliding", [False, True])
def test_attention_in_training_is_that_of_the_formula(device: str, *, sliding: bool) -> None:
    batch = _batch(random.Random(3)).to(torch.device(device))
    torch.manual_seed(0)
    count = sum(PREFIXES) + sum(length for _, length in ROWS)
    heads = torch.randn(count, SHAPE.heads + 2 * SHAPE.kv_heads, SHAPE.head_dim).bfloat16().requires_grad_()
    sinks = torch.randn(SHAPE.kv_heads, SHAPE.heads // SHAPE.kv_heads).requires_grad_()
    got = _attended(batch, heads.to(device), sinks.to(device), sliding=sliding).cpu()
    weights = torch.randn(got.shape)
    torch.autograd.backward((got.float() * weights).sum())

    exact, exact_sinks = (x.detach().double().requires_grad_() for x in (heads, sinks))
    own = torch.split(exact, [*PREFIXES, *(length for _, length in ROWS)])
    expected = []
    for index, tokens in enumerate(own):
        group = None if index < len(PREFIXES) else ROWS[index - len(PREFIXES)][0]
        before = PREFIXES[group] if group is not None else 0
        conversation = tokens if group is None else torch.cat([own[group], tokens])
        positions = torch.arange(len(conversation))
        if group is not None and not sliding:  # windows see no jump: there the text is as it will be
            positions[before + JUMP[0] :] += JUMP[1]
        reach = SHAPE.window if sliding else len(conversation)
        expected.append(_expected(conversation, exact_sinks, positions, reach)[before:])
    wanted = torch.cat(expected)
    torch.autograd.backward((wanted * weights).sum())
    for ours, theirs in ((got, wanted), (heads.grad, exact.grad), (sinks.grad, exact_sinks.grad)):
        assert ours is not None
        assert theirs is not None
        error = (ours.double() - theirs).square().mean().sqrt() / theirs.square().mean().sqrt()
        assert error < 0.02


def test_rows_packed_end_to_end_have_the_keys_of_their_prefix_and_their_own() -> None:
    batch = _batch(random.Random(3))
    layout, _ = packed(batch, *rope_tables(SHAPE, 4096), SHAPE.window)
    lengths = [*PREFIXES, *(length for _, length in ROWS)]
    ends = list(itertools.accumulate(lengths))
    places = [list(range(end - length, end)) for end, length in zip(ends, lengths, strict=True)]
    seen = [*places[:2], *(places[group] + places[2 + i] for i, (group, _) in enumerate(ROWS))]
    assert layout.keys.tolist() == [place for row in seen for place in row]
    assert layout.query_ends.tolist() == [0, *ends]
    assert layout.key_ends.tolist() == [0, *itertools.accumulate(map(len, seen))]
    assert layout.longest == (max(lengths), max(map(len, seen)))


def test_a_jump_is_nothing_to_a_window() -> None:
    batch = _batch(random.Random(3))
    without = replace(batch, positions=torch.zeros_like(batch.positions))
    tables = rope_tables(SHAPE, 4096)
    one, other = (layouts(rows, *tables, SHAPE.window)[1] for rows in (batch, without))
    assert torch.equal(one.cos, other.cos)
