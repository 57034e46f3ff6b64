"""Draws from coarse scores against draws from all logits: the tokens are the same, whatever the weights."""

from __future__ import annotations

import ctypes
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TensorNative
from torch import Tensor

from gptoss_tui.kernels.cpu.build import Target
from gptoss_tui.kernels.kernels import NetworkWeights

GOLDEN = 0x9E3779B97F4A7C15  # keys far apart


def keys(count: int) -> list[int]:
    return [place * GOLDEN % 2**64 for place in range(count)]


def heavy(random_network: Any, vocab: int, hidden: int, seed: int = 0) -> NetworkWeights[Tensor]:
    """Normal values of many sizes, a few columns six times as large, rows of many lengths."""
    chance = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocab, hidden, generator=chance)
    weight *= (torch.randn(vocab, hidden, generator=chance) / 2).exp()
    weight[:, torch.randperm(hidden, generator=chance)[: hidden // 64 + 1]] *= 6
    weight *= 3 / weight.norm(dim=1, keepdim=True)
    weight *= (torch.randn(vocab, 1, generator=chance) / 4).exp()
    network: NetworkWeights[Tensor] = random_network(seed, vocab=vocab, hidden=hidden)
    layers = list(network.layers)
    return replace(network, layers=layers, unembedding=weight.bfloat16(), norm=torch.ones(hidden))


def streams(count: int, hidden: int, seed: int = 1) -> Tensor:
    """With a few values ten times as large."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(count, hidden, generator=chance)
    x[:, torch.randperm(hidden, generator=chance)[: hidden // 64 + 1]] *= 10
    return x


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_2500_draws_are_those_of_all_logits(
    random_network: Any, native_library: ctypes.CDLL, temperature: float
) -> None:
    """And their probabilities nearly so; asked for exactly, to the last bit."""
    weights, x = heavy(random_network, 2000, 256), streams(2500, 256)
    coarse = TensorNative(weights, native_library, 1, coarse=True)
    plain = TensorNative(weights, native_library, 1)
    assert (coarse.engine.unembedding_bytes(), plain.engine.unembedding_bytes()) == (1, 2)
    found = coarse.sample(x, temperature, 1.0, keys(2500))
    expected = plain.sample(x, temperature, 1.0, keys(2500))
    assert torch.equal(found[:, 0], expected[:, 0])
    assert not found[:, 2].any()
    error = (found[:, 1] - expected[:, 1]).abs()
    assert 0 < error.max() < 0.01
    assert error.median() < 1e-3
    assert torch.equal(coarse.sample(x, temperature, 1.0, keys(2500), exact=True), expected)


@given(
    seed=st.integers(0, 1000),
    vocab=st.integers(1, 1500),
    hidden=st.sampled_from([32, 96, 128, 352]),
    tokens=st.integers(1, 20),
    temperature=st.sampled_from([0.0, 1e-40, 0.3, 1.0, 3.0, 1e300]),
    cut=st.sampled_from([None, 0.0, 0.01, 0.5]),
    packed=st.booleans(),
    threads=st.integers(1, 3),
    level=st.sampled_from(list(Target.here().levels)),
)
@settings(max_examples=30)
def test_tokens_are_those_of_all_logits_at_any_shape(
    random_network: Any,
    native_library: ctypes.CDLL,
    seed: int,
    vocab: int,
    hidden: int,
    tokens: int,
    temperature: float,
    cut: float | None,
    packed: bool,
    threads: int,
    level: str,
) -> None:
    weights, x = heavy(random_network, vocab, hidden, seed), streams(tokens, hidden, seed)
    coarse = TensorNative(weights, native_library, threads, level=level, coarse=True, packed=packed)
    plain = TensorNative(weights, native_library, 1, level=level)
    chance = torch.Generator().manual_seed(seed)
    allowed = None if cut is None else torch.rand(vocab, generator=chance) < cut
    found = coarse.sample(x, temperature, 1.0, keys(tokens), allowed)
    expected = plain.sample(x, temperature, 1.0, keys(tokens), allowed)
    assert torch.equal(found[:, ::2], expected[:, ::2])
    there = found[:, 0] >= 0
    assert allowed is None or bool(there.all()) == bool(allowed.any())
    error = (found - expected)[there, 1].abs() * max(min(temperature, 1.0), 1e-30)
    assert not len(error) or error.max() < 0.05
    for row in range(min(tokens, 4)):
        alone = coarse.sample(x[row : row + 1], temperature, 1.0, keys(tokens)[row : row + 1], allowed)
        assert torch.equal(alone[0, ::2], expected[row, ::2])


def test_rows_that_only_the_lost_digits_tell_apart(random_network: Any, native_library: ctypes.CDLL) -> None:
    """All rows have one coarse copy; activations point to what it leaves of one of them, and then elsewhere.

    All rows are computed then, and for some draws after them too: their probabilities are exact.
    """
    hidden, vocab = 128, 3000
    chance = torch.Generator().manual_seed(0)
    alike = torch.randn(1, hidden, generator=chance).bfloat16().float()
    alike[0, 0] = 64  # so that a step of 8 bits is half
    rows = (alike + torch.rand(vocab, hidden, generator=chance) / 64).bfloat16()
    weights = replace(heavy(random_network, vocab, hidden), unembedding=rows)
    coarse = TensorNative(weights, native_library, 2, coarse=True)
    plain = TensorNative(weights, native_library, 2)
    for temperature in (0.0, 1e-3):
        x = (rows.float() - rows.float().mean(0))[:100]
        found = coarse.sample(x, temperature, 1.0, keys(100))
        assert torch.equal(found, plain.sample(x, temperature, 1.0, keys(100)))
        assert len(set(found[:, 0].tolist())) > 50


def test_after_a_rest_scores_are_coarse_again(random_network: Any, native_library: ctypes.CDLL) -> None:
    """There are rests after activations for which all logits are equal, to the last bit."""
    weights = heavy(random_network, 20_000, 64)
    weights.unembedding[:, 0] = 1
    alike = torch.eye(64)[:1]
    coarse = TensorNative(weights, native_library, 1, coarse=True)
    plain = TensorNative(weights, native_library, 1)

    def error(x: Tensor, temperature: float) -> list[float]:
        """Of the probability, for each of several draws in turn."""
        found = [coarse.sample(x, temperature, 1.0, [key]) for key in keys(40)]
        expected = [plain.sample(x, temperature, 1.0, [key]) for key in keys(40)]
        assert [row[0, 0] for row in found] == [row[0, 0] for row in expected]
        return [float((a - b)[0, 1].abs()) for a, b in zip(found, expected, strict=True)]

    x = streams(1, 64)
    assert max(error(x, 1.0)) > 0
    assert max(error(alike, 0.0)) == 0
    later = error(x, 1.0)
    assert later[0] == 0
    assert max(later) > 0


@pytest.mark.parametrize("norm", [1e37, 1e38, 3e38])
def test_logits_beyond_float32_are_counted(
    random_network: Any, native_library: ctypes.CDLL, norm: float
) -> None:
    weights = replace(heavy(random_network, 500, 64), norm=torch.full((64,), norm))
    x = streams(3, 64)
    x[1, 5] = math.nan
    found = TensorNative(weights, native_library, 1, coarse=True).sample(x, 1.0, 1.0, keys(3))
    expected = TensorNative(weights, native_library, 1).sample(x, 1.0, 1.0, keys(3))
    assert torch.equal(found[:, 2], expected[:, 2])
    assert expected[1, 2] == 500
