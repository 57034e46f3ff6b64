"""Plain PyTorch against the numbers of the model's description and against plain loops."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gptoss_tui.kernels import mxfp4, reference
from gptoss_tui.kernels.kernels import ExpertWeights

SWIGLU = [
    ((1, 1), 1.691592),
    ((0, 5), 0.0),
    ((-1, 0), -0.154204),
    ((10, -9), -41.999719),
    ((10, 10), 55.999625),
    ((0.5, -1), 0.0),
    ((2, -0.5), 0.967829),
    ((-20, 3), 0.0),
]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def test_swiglu_takes_gate_and_up_interleaved() -> None:
    x = torch.tensor([value for pair, _ in SWIGLU for value in pair])
    torch.testing.assert_close(
        reference.swiglu(x), torch.tensor([out for _, out in SWIGLU]), atol=1e-6, rtol=1e-6
    )


def test_route_takes_the_softmax_of_the_chosen_alone() -> None:
    chosen, weights = reference.route(torch.tensor([[0.0, 3.0, 1.0, 2.0]]), k=2)
    assert chosen.tolist() == [[1, 3]]
    assert weights[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert weights.sum().item() == pytest.approx(1)


def random_layer(experts: int, hidden: int, inner: int) -> ExpertWeights[torch.Tensor]:
    up = mxfp4.encode(normal(experts, 2 * inner, hidden, seed=1) * 0.2)
    down = mxfp4.encode(normal(experts, hidden, inner, seed=2) * 0.2)
    return ExpertWeights(*up, normal(experts, 2 * inner, seed=3), *down, normal(experts, hidden, seed=4))


@pytest.mark.parametrize("tokens", [1, 2, 17])
@pytest.mark.parametrize("k", [1, 3])
def test_experts_are_the_weighted_sum_over_each_token(tokens: int, k: int) -> None:
    layer = random_layer(experts=5, hidden=64, inner=32)
    x = normal(tokens, 64, seed=5)
    chosen, weights = reference.route(normal(tokens, 5, seed=6), k)
    expected = torch.zeros_like(x)
    for token in range(tokens):
        for expert, weight in zip(chosen[token], weights[token], strict=True):
            up = mxfp4.decode(layer.gate_up_blocks[expert], layer.gate_up_scales[expert], torch.float32)
            down = mxfp4.decode(layer.down_blocks[expert], layer.down_scales[expert], torch.float32)
            inner = reference.swiglu(up @ x[token] + layer.gate_up_bias[expert])
            expected[token] += weight * (down @ inner + layer.down_bias[expert])
    found = reference.experts(x, chosen, weights, layer)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_sink_of_zero_takes_a_third_beside_two_scores_of_zero() -> None:
    values = torch.eye(2).view(1, 2, 2)
    out = reference.attention(torch.zeros(1, 1, 2), torch.zeros(1, 2, 2), values, torch.zeros(1))
    torch.testing.assert_close(out, torch.full((1, 1, 2), 1 / 3))


@pytest.mark.parametrize("window", [None, 1, 3, 300])
@pytest.mark.parametrize(("tokens", "past"), [(1, 0), (1, 9), (7, 0), (7, 4), (600, 5)])
def test_attention_is_the_definition_per_query(
    tokens: int, past: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_SCORES_AT_ONCE", 100_000)  # several parts at 600 tokens
    heads, kv_heads, head_dim = 4, 2, 8
    q, sinks = normal(heads, tokens, head_dim, seed=1), normal(heads, seed=2)
    k, v = (
        normal(kv_heads, past + tokens, head_dim, seed=3),
        normal(kv_heads, past + tokens, head_dim, seed=4),
    )
    if tokens == 1 and window is not None:  # a single query is given only what it may see
        k, v = k[:, -window:], v[:, -window:]
    found = reference.attention(q, k, v, sinks, window)
    past = k.shape[1] - tokens
    for i in {0, 1, tokens // 2, tokens - 1} & set(range(tokens)):
        first = 0 if window is None else max(0, past + i - window + 1)
        for head in range(heads):
            keys, values = k[head // 2, first : past + i + 1], v[head // 2, first : past + i + 1]
            weights = (keys @ q[head, i] / math.sqrt(head_dim)).exp()
            expected = weights @ values / (weights.sum() + sinks[head].exp())
            torch.testing.assert_close(found[head, i], expected, atol=1e-5, rtol=1e-5)


def test_the_halves_of_a_head_are_paired() -> None:
    cos, sin = reference.rotation(torch.tensor([torch.pi / 2, 0.0]), 1, 1, concentration=1.0)
    turned = reference.rotate(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), cos, sin)
    torch.testing.assert_close(turned, torch.tensor([[[-3.0, 2.0, 1.0, 4.0]]]), atol=1e-6, rtol=0)


@given(
    size=st.integers(1, 5000),
    largest=st.sampled_from([1, 3, 1000]),
    sixty_fourths=st.integers(1, 64),
    seed=st.integers(0, 2**32),
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(
    size: int, largest: int, sixty_fourths: int, seed: int
) -> None:
    """In whole numbers, so that ties and masses that are met exactly are decided without rounding."""
    generator = random.Random(seed)
    weights = [generator.randint(0, largest) for _ in range(size)]
    weights[0] += 1
    expected: list[int] = []
    mass = 0
    for token in sorted(range(size), key=lambda token: (-weights[token], token)):
        expected.append(token)
        mass += weights[token]
        if mass * 64 >= sixty_fourths * sum(weights):
            break
    ids, count = reference.nucleus(torch.tensor(weights, dtype=torch.float64), sixty_fourths / 64)
    assert ids[:count].tolist() == expected
