"""Sampling, against plain float64 arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

import pytest
import torch

from gptoss_tui.kernels import reference
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.sampling import NumericalFault, Sampler, check

LOGITS = [2.0, -1.0, 0.5, 0.0, 3.0, -20.0, 1.5, 2.5]


def draw(sampler: Sampler, logits: torch.Tensor, allowed: torch.Tensor | None = None) -> tuple[int, float]:
    """The id and logarithm that `sampler` draws from `logits`."""
    return sampler.sample(partial(reference.sample, logits), allowed)


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    return [w / math.fsum(weights) for w in weights]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_tokens_come_as_often_as_softmax_says(temperature: float) -> None:
    sampler, draws = Sampler(Sampling(temperature=temperature, seed=1)), 20_000
    counts = Counter(draw(sampler, torch.tensor(LOGITS))[0] for _ in range(draws))
    for token, probability in enumerate(softmax(LOGITS, temperature)):
        spread = math.sqrt(draws * probability * (1 - probability))
        assert abs(counts[token] - draws * probability) <= 4 * spread + 1


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [(Sampling(seed=3), 1.0), (Sampling(0.5, 0.8, seed=3), 0.5), (Sampling(temperature=0), 1.0)],
)
def test_the_logarithm_is_that_of_the_whole_distribution(sampling: Sampling, temperature: float) -> None:
    token, logprob = draw(Sampler(sampling), torch.tensor(LOGITS))
    assert logprob == pytest.approx(math.log(softmax(LOGITS, temperature)[token]), abs=1e-6)


def test_greedy_takes_the_lowest_of_the_best() -> None:
    assert draw(Sampler(Sampling(temperature=0)), torch.tensor([0.0, 4.0, 4.0, 1.0, 4.0]))[0] == 1


@pytest.mark.parametrize("temperature", [1e-3, 1e-45, 1e-300, 5e-324])
def test_tiny_temperatures_are_greedy_and_not_a_fault(temperature: float) -> None:
    token, logprob = draw(Sampler(Sampling(temperature=temperature, seed=0)), torch.tensor(LOGITS))
    assert (token, logprob) == (4, 0.0)


def test_equal_seeds_draw_equal_tokens() -> None:
    rows = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))

    def drawn(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(seed=seed))
        return [draw(sampler, row)[0] for row in rows]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(None) != drawn(None)


def test_top_p_draws_within_the_set_and_in_proportion() -> None:
    sampler, draws = Sampler(Sampling(top_p=0.7, seed=5)), 20_000
    probabilities = softmax(LOGITS)
    kept = {4, 7, 0}  # the three largest hold 0.84, the two largest 0.66
    counts = Counter(draw(sampler, torch.tensor(LOGITS))[0] for _ in range(draws))
    assert set(counts) == kept
    for token in kept:
        share = probabilities[token] / math.fsum(probabilities[t] for t in kept)
        assert abs(counts[token] - draws * share) <= 4 * math.sqrt(draws * share * (1 - share))


def test_the_smallest_top_p_keeps_one_token() -> None:
    sampler = Sampler(Sampling(top_p=1e-300, seed=0))
    assert {draw(sampler, torch.tensor(LOGITS))[0] for _ in range(20)} == {4}


@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("top_p", [0.5, 1.0])
def test_only_allowed_tokens_are_drawn(temperature: float, top_p: float) -> None:
    """Even where all that is allowed has no weight beside the best token, which is not."""
    logits = torch.tensor([500.0, 0.0, 0.0, 0.0])
    allowed = torch.tensor([False, False, True, False])
    token, logprob = draw(Sampler(Sampling(temperature, top_p, seed=0)), logits, allowed)
    assert token == 2
    assert logprob == pytest.approx(-500 / (temperature or 1))


def test_nothing_allowed_is_an_error() -> None:
    with pytest.raises(ValueError, match="no token is allowed"):
        draw(Sampler(Sampling()), torch.tensor(LOGITS), torch.zeros(8, dtype=torch.bool))


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
