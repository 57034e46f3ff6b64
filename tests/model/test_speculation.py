"""The decision how far to guess, in worlds of known costs and texts: no clock, and no network."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.model.engine.draft import PromptLookup
from gptoss_tui.model.engine.speculation import PASSES, RETRY, Speculation

OF_20B = {2: 1.63, 4: 2.41, 8: 3.7, 16: 5.2}
"""Plain steps, as measured with int8 dense weights on two cores."""

Cost = Callable[[int], float]


def text(seed: int, tokens: int, copied: float, prompt: Sequence[int], run: int = 10**9) -> list[int]:
    """An answer whose tokens are the guess with probability `copied`, in every other `run` of tokens."""
    dice, lookup, ids = random.Random(seed), PromptLookup(), list[int]()
    lookup.begin(prompt)
    for place in range(tokens):
        guess = lookup.draft(1)
        copies = guess and place // run % 2 == 0 and dice.random() < copied
        token = guess[0] if copies else dice.randrange(200) if dice.random() < 0.5 else dice.choice(prompt)
        ids.append(token)
        lookup.follow(token)
    return ids


def write(
    speculation: Speculation, prompt: Sequence[int], answer: Sequence[int], cost: Cost, drawing: float = 0.0
) -> tuple[float, list[int]]:
    """The time of `answer` in plain steps, and the sizes of its passes."""
    speculation.begin(prompt)
    at, time, sizes, draft = 0, 0.0, [], list[int]()
    while True:
        seconds = [cost(len(draft) + 1) + drawing]
        for guess in [*draft, -1]:
            speculation.follow(answer[at])
            at += 1
            if at == len(answer) or answer[at - 1] != guess:
                break
            seconds.append(drawing)
        time += sum(seconds)
        sizes.append(len(draft) + 1)
        if at == len(answer):
            return time / (1 + drawing), sizes
        speculation.measured(len(draft) + 1, seconds)
        draft = speculation.draft(len(answer) - at - 1)


def of(costs: dict[int, float]) -> Cost:
    return lambda tokens: costs.get(tokens, 1.0)


PROMPT = random.Random(1).choices(range(200), k=400)
COPY = PROMPT[:380] + PROMPT[10:300]


@given(
    costs=st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4),
    copied=st.floats(0, 1),
    run=st.sampled_from([3, 12, 40, 200]),
    drawing=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60)
def test_no_world_makes_it_slow(
    costs: list[float], copied: float, run: int, drawing: float, seed: int
) -> None:
    """However passes grow, up to one step a token, and however the text changes between copying and not."""
    steps, last = {}, 1.0
    for growth, tokens in zip(costs, PASSES, strict=True):
        last = steps[tokens] = last + growth * tokens / 2
    answer = text(seed, 1500, copied, PROMPT, run)
    time, _ = write(Speculation(), PROMPT, answer, of(steps), drawing)
    assert time <= len(answer) / 0.97


@pytest.mark.parametrize("seed", range(5))
def test_prose_is_written_at_full_speed(seed: int) -> None:
    answer = text(seed, 1000, 0.25, PROMPT)
    time, _ = write(Speculation(), PROMPT, answer, of(OF_20B), 0.2)
    assert time <= len(answer) / 0.99


@pytest.mark.parametrize(
    ("costs", "drawing", "least"),
    [
        (OF_20B, 0.0, 2.2),
        (OF_20B, 0.25, 1.6),
        ({2: 1.05, 4: 1.1, 8: 1.2, 16: 1.4}, 0.0, 4.0),
        ({2: 2.3, 4: 2.4, 8: 2.6, 16: 3.0}, 0.0, 2.5),  # where two never pay
    ],
)
def test_copying_is_faster(costs: dict[int, float], drawing: float, least: float) -> None:
    time, sizes = write(Speculation(), PROMPT, COPY, of(costs), drawing)
    assert len(COPY) / time >= least
    assert sizes[-10:-1] != [1] * 9


def test_noise_does_not_end_it() -> None:
    """Times that vary by a quarter, and some of which are four times as long."""
    dice, speculation = random.Random(3), Speculation()
    whole = sum(
        write(
            speculation,
            PROMPT,
            COPY,
            lambda tokens: OF_20B.get(tokens, 1.0) * dice.uniform(0.8, 1.25) * dice.choice([1] * 24 + [4]),
        )[0]
        for _ in range(6)
    )
    assert 6 * len(COPY) / (whole / 1.1) >= 1.7


def test_it_ends_where_copying_does() -> None:
    speculation = Speculation()
    _, sizes = write(speculation, PROMPT, COPY, of(OF_20B))
    assert max(sizes) >= 8
    _, sizes = write(speculation, PROMPT, text(0, 400, 0.1, PROMPT), of(OF_20B))
    assert sizes[-200:].count(1) >= 195
    _, sizes = write(speculation, PROMPT, COPY, of(OF_20B))
    assert max(sizes) >= 8, "and comes back with it"


def test_costs_that_change_are_found_again() -> None:
    speculation = Speculation()
    _, sizes = write(speculation, PROMPT, COPY, lambda tokens: tokens * 1.5 - 0.5)
    assert sizes.count(1) > 0.95 * len(sizes)
    sizes = []
    for _ in range(2 + RETRY // len(COPY)):
        sizes += write(speculation, PROMPT, COPY, of(OF_20B))[1]
    assert max(sizes) >= 8


def test_nothing_is_guessed_before_plain_steps_are_known_nor_for_long_without_one() -> None:
    speculation = Speculation()
    _, sizes = write(speculation, PROMPT, COPY * 4, of(OF_20B))
    assert set(sizes[:3]) == {1}
    longest = max(len(run) for run in "".join("1" if s == 1 else "n" for s in sizes).split("1"))
    assert 8 < longest <= 32


def test_a_draft_ends_before_a_stop_id_and_at_its_bound() -> None:
    speculation = Speculation()
    for _ in range(3):
        write(speculation, PROMPT, COPY, of({2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}))
    speculation.begin([*PROMPT, *PROMPT[:40]])
    for _ in range(3):
        speculation.measured(1, [1.0])
    assert speculation.draft(20) == PROMPT[40:55]
    assert speculation.draft(9) == PROMPT[40:47]
    assert speculation.draft(0) == []
    stop = PROMPT[43]
    assert speculation.draft(20, [stop]) == PROMPT[40 : 40 + min(3, PROMPT[40:44].index(stop))]
