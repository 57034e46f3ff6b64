"""The native draw against the reference's, from the same logits."""

from __future__ import annotations

import ctypes
import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TensorNative
from torch import Tensor

from gptoss_tui.kernels import reference
from gptoss_tui.kernels.kernels import HOTTEST

KEYS = st.integers(0, 2**64 - 1)


def expected(
    logits: Tensor, temperature: float, top_p: float, key: int, allowed: Tensor | None, token: int
) -> int:
    """The reference's token, or `token` where only rounding decides between the two."""
    chosen = int(reference.sample(logits, temperature, top_p, key, allowed)[0])
    scores = logits.double()
    if temperature:
        scores = scores + min(temperature, HOTTEST) * reference.gumbel(key, len(logits))
    near = 1e-5 * max(1.0, float(scores[[token, chosen]].abs().max()))
    return token if token >= 0 and chosen >= 0 and abs(scores[token] - scores[chosen]) < near else chosen


@given(
    seed=st.integers(0, 100),
    vocab=st.integers(1, 700),
    keys=st.lists(KEYS, min_size=1, max_size=20),
    temperature=st.sampled_from([0.0, 1e-40, 0.3, 1.0, 2.0, 50.0, 1e300]),
    top_p=st.sampled_from([1.0, 0.6]),
    cut=st.booleans(),
    threads=st.integers(1, 3),
)
@settings(max_examples=40)
def test_equal_keys_draw_equal_tokens(
    random_network: Any,
    native_library: ctypes.CDLL,
    seed: int,
    vocab: int,
    keys: list[int],
    temperature: float,
    top_p: float,
    cut: bool,
    threads: int,
) -> None:
    """On any number of threads, among allowed ids, several rows at once, and each as it is alone."""
    kernels = TensorNative(random_network(seed, vocab=vocab), native_library, threads)
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(len(keys), 64, generator=chance) * 3
    allowed = torch.rand(vocab, generator=chance) < 0.3 if cut else None
    drawn = kernels.sample(x, temperature, top_p, keys, allowed)
    logits = kernels.unembed(x[:16])
    for row, key in enumerate(keys[:16]):
        token, logprob, bad = drawn[row].tolist()
        wanted = reference.sample(logits[row], temperature, top_p, key, allowed)
        assert bad == 0
        assert token == expected(logits[row], temperature, top_p, key, allowed, int(token))
        if token == wanted[0] >= 0:
            assert logprob == pytest.approx(float(wanted[1]), abs=1e-4, rel=1e-4)
        alone = kernels.sample(x[row : row + 1], temperature, top_p, [key], allowed)
        assert torch.equal(alone[0], drawn[row]) or (token < 0 and alone[0, 0] == token)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_softmax_says(
    random_network: Any, native_library: ctypes.CDLL, temperature: float
) -> None:
    """Chi-square over 20,000 draws."""
    kernels = TensorNative(random_network(vocab=30), native_library, 1)
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(5))
    draws, multiplier = 20_000, 0x9E3779B97F4A7C15  # golden ratio: keys far apart
    keys = [place * multiplier % 2**64 for place in range(draws)]
    counts = Counter(kernels.sample(x.expand(draws, 64), temperature, 1.0, keys)[:, 0].int().tolist())
    expected = draws * (kernels.unembed(x)[0].double() / temperature).softmax(0)
    square = sum((counts[token] - mean) ** 2 / mean for token, mean in enumerate(expected.tolist()))
    assert square < 29 + 4 * math.sqrt(2 * 29)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_counted(
    random_network: Any, native_library: ctypes.CDLL, value: float
) -> None:
    kernels = TensorNative(random_network(vocab=300), native_library, 2)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(5))
    x[1, 7] = value
    assert kernels.sample(x, 1.0, 1.0, [1, 2, 3])[:, 2].tolist() == [0, 300, 0]
