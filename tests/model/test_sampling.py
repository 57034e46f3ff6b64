"""Sampling, against plain float64 arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.kernels import reference
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.sampling import NumericalFault, Sampler, check

LOGITS = [2.0, -1.0, 0.5, 0.0, 3.0, -20.0, 1.5, 2.5]


def draws(
    sampler: Sampler, logits: torch.Tensor, places: range, allowed: Any = None
) -> list[tuple[int, float]]:
    """The ids and logarithms that `sampler` draws from the same `logits` at `places`."""

    def sample(temperature: float, top_p: float, keys: Sequence[int], allowed: Any) -> torch.Tensor:
        return torch.stack([reference.sample(logits, temperature, top_p, key, allowed) for key in keys])

    return list(sampler.sample(sample, places, allowed))


def draw(
    sampler: Sampler, logits: torch.Tensor, place: int = 0, allowed: torch.Tensor | None = None
) -> tuple[int, float]:
    """The id and logarithm that `sampler` draws from `logits` at one place."""
    return draws(sampler, logits, range(place, place + 1), allowed)[0]


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    return [w / math.fsum(weights) for w in weights]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_tokens_come_as_often_as_softmax_says(temperature: float) -> None:
    sampler, places = Sampler(Sampling(temperature=temperature, seed=1)), range(4_000)
    counts = Counter(token for token, _ in draws(sampler, torch.tensor(LOGITS), places))
    for token, probability in enumerate(softmax(LOGITS, temperature)):
        spread = math.sqrt(len(places) * probability * (1 - probability))
        assert abs(counts[token] - len(places) * probability) <= 4 * spread + 1


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [(Sampling(seed=3), 1.0), (Sampling(0.5, 0.8, seed=3), 0.5), (Sampling(temperature=0), 1.0)],
)
def test_the_logarithm_is_that_of_the_whole_distribution(sampling: Sampling, temperature: float) -> None:
    token, logprob = draw(Sampler(sampling), torch.tensor(LOGITS))
    assert logprob == pytest.approx(math.log(softmax(LOGITS, temperature)[token]), abs=1e-6)


def test_greedy_takes_the_lowest_of_the_best() -> None:
    assert draw(Sampler(Sampling(temperature=0)), torch.tensor([0.0, 4.0, 4.0, 1.0, 4.0]))[0] == 1


@pytest.mark.parametrize("temperature", [1e31, 1e300])
def test_huge_temperatures_draw_all_tokens_alike(temperature: float) -> None:
    drawn = draws(Sampler(Sampling(temperature=temperature, seed=0)), torch.tensor(LOGITS), range(400))
    assert set(Counter(token for token, _ in drawn)) == set(range(8))
    assert all(logprob == pytest.approx(-math.log(8)) for _, logprob in drawn)


@pytest.mark.parametrize("temperature", [1e-3, 1e-45, 1e-300, 5e-324])
def test_tiny_temperatures_are_greedy_and_not_a_fault(temperature: float) -> None:
    token, logprob = draw(Sampler(Sampling(temperature=temperature, seed=0)), torch.tensor(LOGITS))
    assert (token, logprob) == (4, 0.0)


def test_equal_seeds_draw_equal_tokens() -> None:
    rows = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))

    def drawn(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(seed=seed))
        return [draw(sampler, row, place)[0] for place, row in enumerate(rows)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(None) != drawn(None)


def test_top_p_draws_within_the_set_and_in_proportion() -> None:
    sampler, places = Sampler(Sampling(top_p=0.7, seed=5)), range(4_000)
    probabilities = softmax(LOGITS)
    kept = {4, 7, 0}  # the three largest hold 0.84, the two largest 0.66
    counts = Counter(token for token, _ in draws(sampler, torch.tensor(LOGITS), places))
    assert set(counts) == kept
    for token in kept:
        share = probabilities[token] / math.fsum(probabilities[t] for t in kept)
        spread = math.sqrt(len(places) * share * (1 - share))
        assert abs(counts[token] - len(places) * share) <= 4 * spread


def test_the_smallest_top_p_keeps_one_token() -> None:
    sampler = Sampler(Sampling(top_p=1e-300, seed=0))
    assert {token for token, _ in draws(sampler, torch.tensor(LOGITS), range(20))} == {4}


@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("top_p", [0.5, 1.0])
def test_only_allowed_tokens_are_drawn(temperature: float, top_p: float) -> None:
    """Even where all that is allowed has no weight beside the best token, which is not."""
    logits = torch.tensor([500.0, 0.0, 0.0, 0.0])
    allowed = torch.tensor([False, False, True, False])
    token, logprob = draw(Sampler(Sampling(temperature, top_p, seed=0)), logits, allowed=allowed)
    assert token == 2
    assert logprob == pytest.approx(-500 / (temperature or 1))


def test_what_is_cut_off_changes_nothing_but_what_it_cuts_off() -> None:
    """A place has its noise, whatever else is drawn: its winner stays, or the best of the others wins."""
    logits, sampler = torch.tensor(LOGITS), Sampler(Sampling(seed=2))
    alone = [draw(sampler, logits, place)[0] for place in reversed(range(300))][::-1]
    assert [token for token, _ in draws(sampler, logits, range(300))] == alone
    allowed = torch.tensor([True, False] * 4)
    within = [token for token, _ in draws(sampler, logits, range(300), allowed)]
    for token, other in zip(alone, within, strict=True):
        assert other == token if token % 2 == 0 else other % 2 == 0
    # Where the first winner was cut off, the others come as often as ever.
    redrawn = [other for token, other in zip(alone, within, strict=True) if token % 2]
    share = math.exp(LOGITS[4]) / math.fsum(map(math.exp, LOGITS[::2]))
    spread = math.sqrt(len(redrawn) * share * (1 - share))
    assert abs(redrawn.count(4) - len(redrawn) * share) <= 4 * spread


@given(key=st.integers(0, 2**64 - 1), rows=st.integers(1, 40))
def test_the_noise_is_what_plain_arithmetic_gives(key: int, rows: int) -> None:
    """Known answers of lowbias32, as its author publishes it, in whole numbers and float64."""

    def mix(bits: int) -> int:
        bits = (bits ^ bits >> 16) * 0x7FEB352D % 2**32
        bits = (bits ^ bits >> 15) * 0x846CA68B % 2**32
        return bits ^ bits >> 16

    found = reference.gumbel(key, rows).tolist()
    for row in range(rows):
        v = (mix(mix(row ^ key % 2**32) ^ key >> 32) + 0.5) / 2**32
        assert found[row] == pytest.approx(-math.log(-math.log1p(-v)), rel=1e-12, abs=1e-12)


def test_the_noise_is_gumbels_in_its_upper_tail_too() -> None:
    """Kolmogorov and Smirnov's distance to exp(-exp(-x)) over two million ids; the count of the largest."""
    noise = torch.cat([reference.gumbel(key << 32 | key, 500_000) for key in range(4)]).sort().values
    n = len(noise)
    distance = ((-(-noise).exp()).exp() - torch.arange(n) / n).abs().max().item()
    assert distance < 1.95 / math.sqrt(n)  # exceeded once in a thousand
    for height in (6.0, 8.0, 10.0):
        expected = -n * math.expm1(-math.exp(-height))
        count = int((noise > height).sum())
        assert abs(count - expected) <= 4 * math.sqrt(expected)


def test_nothing_allowed_is_an_error() -> None:
    with pytest.raises(ValueError, match="no token is allowed"):
        draw(Sampler(Sampling()), torch.tensor(LOGITS), allowed=torch.zeros(8, dtype=torch.bool))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_a_fault(bad: float, temperature: float) -> None:
    logits = torch.tensor([*LOGITS, bad])
    with pytest.raises(NumericalFault, match="1 logits are NaN or infinite"):
        draw(Sampler(Sampling(temperature=temperature)), logits)


@pytest.mark.parametrize(
    ("sampling", "complaint"),
    [
        (Sampling(temperature=-0.1), r"temperature must be .*, not -0\.1"),
        (Sampling(temperature=math.nan), "temperature must be .*, not nan"),
        (Sampling(temperature=math.inf), "temperature must be .*, not inf"),
        (Sampling(top_p=0), "top-p must be above 0 and at most 1, not 0"),
        (Sampling(top_p=1.01), r"top-p must be .*, not 1\.01"),
        (Sampling(top_p=math.nan), "top-p must be .*, not nan"),
        (Sampling(seed=-1), "seed must be .*, not -1"),
        (Sampling(seed=2**63), "seed must be .*"),
        (Sampling(max_tokens=0), "max-tokens must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_named(sampling: Sampling, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check(sampling)
