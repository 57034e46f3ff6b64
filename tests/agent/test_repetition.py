"""The detection of a model that repeats itself without end, but not of text that does so for a reason."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.agent.repetition import LONGEST_PERIOD, REASONING, SPEECH, Limits, LoopDetector


def ended_at(tokens: Iterable[int], limits: Limits) -> int | None:
    """The number of tokens read when the detector reported a loop; None if it never did."""
    detector = LoopDetector(limits)
    return next((count for count, token in enumerate(tokens, 1) if detector.feed(token)), None)


def repeated(passage: list[int], before: int = 0) -> Iterator[int]:
    """A stream of `before` tokens that never come again, then the passage for ever."""
    yield from range(10**6, 10**6 + before)
    while True:
        yield from passage


@settings(max_examples=40)
@given(
    period=st.integers(1, LONGEST_PERIOD),
    before=st.integers(0, 2000),
    limits=st.sampled_from([REASONING, SPEECH]),
)
def test_every_exact_loop_is_found_in_time(period: int, before: int, limits: Limits) -> None:
    promised = before + period + max(limits.run, limits.copies * period)
    end = ended_at(islice(repeated(list(range(period)), before), promised), limits)
    assert end is not None
    assert end > before + period, "not before anything was repeated"


@pytest.mark.parametrize("limit", [1_000, None])
def test_a_loop_of_hardly_any_different_tokens_is_found(limit: int | None) -> None:
    limits = REASONING.within(limit)
    passage = [*[0] * 30, 1, *[0] * 40, 1]  # each of its n-grams stands in it twice or more
    end = ended_at(islice(repeated(passage), 10_000), limits)
    assert end is not None
    assert end <= len(passage) + max(limits.run, limits.copies * len(passage))


@given(limit=st.integers(1, 10_000), period=st.integers(1, 64))
def test_a_loop_of_half_a_cut_stream_is_found_before_its_end(limit: int, period: int) -> None:
    limits = REASONING.within(limit)
    end = ended_at(islice(repeated(list(range(period))), max(limit, 5 * period)), limits)
    assert end is not None
    assert end <= period + max(limit // 2, limits.copies * period)
    assert limits.run <= REASONING.run


def test_a_stream_that_is_never_cut_has_the_usual_limits() -> None:
    assert REASONING.within(None) == REASONING == REASONING.within(100_000)


@settings(max_examples=30)
@given(st.integers(1, LONGEST_PERIOD), st.sampled_from([REASONING, SPEECH]))
def test_fewer_copies_than_the_limit_are_no_loop(period: int, limits: Limits) -> None:
    passage, copies = list(range(period)), min(limits.copies, limits.before)
    assert ended_at(islice(repeated(passage), copies * period), limits) is None


def paraphrases(tokenizer: tiktoken.Encoding) -> Iterator[int]:
    """The same worry again and again, each time with another number in it, as a model at a loss writes."""
    for number in range(10_000):
        text = (
            f"Wait, let me check attempt {number} again. The user asks for the sum, so I should compute the"
            " sum carefully and not make the mistake I made before. But perhaps the question is a trick one,"
            " and then the answer would be different. Let me think about it step by step once more.\n\n"
        )
        yield from tokenizer.encode_ordinary(text)


def shuffled(tokenizer: tiktoken.Encoding) -> Iterator[int]:
    """A few sentences that take turns in no fixed order."""
    whys = ("the parity is odd", "that is not an integer", "this contradicts (3)", "the bound is strict")
    sentences = [
        tokenizer.encode_ordinary(
            f" Hmm, {why}, so the previous line of reasoning cannot be right after all; we need to consider"
            " the remaining case and start from the definition again."
        )
        for why in whys
    ]
    dice = random.Random(7)
    while True:
        yield from dice.choice(sentences)


@pytest.mark.parametrize("stream", [paraphrases, shuffled])
def test_loops_that_are_not_exact_are_found(o200k: tiktoken.Encoding, stream: type) -> None:
    tokens = list(islice(stream(o200k), 40_000))
    end = ended_at(tokens, REASONING)
    assert end is not None
    assert end < 4_500
    spoken = ended_at(tokens, SPEECH)
    assert spoken is not None
    assert spoken > 2 * end, "what is said may repeat more than what is thought"


def table(rows: int) -> str:
    body = "\n".join(f"| {n} | {n * n} | {n**3} | {'even' if n % 2 == 0 else 'odd'} |" for n in range(rows))
    return f"| n | square | cube | parity |\n| --- | --- | --- | --- |\n{body}\n"


def records(count: int) -> str:
    dice = random.Random(1)
    cities = ("Oslo", "Bergen", "Lima", "Quito", "Kyoto", "Accra")
    return json.dumps(
        [{"id": n, "city": dice.choice(cities), "people": dice.randrange(10**6)} for n in range(count)],
        indent=2,
    )


def log(lines: int) -> str:
    dice = random.Random(2)
    return "".join(
        f"2026-11-0{n % 9 + 1}T12:{n % 60:02}:{dice.randrange(60):02}Z INFO worker-{n % 4} served /item/"
        f"{dice.randrange(10**5)} in {dice.randrange(900)} ms\n"
        for n in range(lines)
    )


def code(functions: int) -> str:
    names = ("width", "height", "depth", "colour", "weight", "price", "origin", "maker")
    return "".join(
        f"    @property\n    def {names[n % 8]}_{n}(self) -> int:\n        return self._values[{n}]\n\n"
        for n in range(functions)
    )


HONEST = {
    "a table": table(150),
    "records": records(120),
    "a log": log(90),
    "code": code(100),
    "a ruler": "─" * 400 + "\n" + "=" * 400 + "\n" + "-" * 1000,
    "a countdown": "\n".join(map(str, range(900, 0, -1))),
    "a square of zeros": "\n".join(["0 " * 20] * 20),
    "multiplication": "\n".join(f"{a} x {b} = {a * b}" for a in range(1, 17) for b in range(1, 17)),
    "a song": "\n\n".join(
        f"{n} green bottles hanging on the wall,\n{n} green bottles hanging on the wall,\n"
        f"And if one green bottle should accidentally fall,\nThere'll be {n - 1} green bottles on the wall."
        for n in range(20, 0, -1)
    ),
    "counting the letters of words": "\n".join(
        f"{n}: s-t-r-a-w-b-e-r-r-y has r at {n % 9}, so the count is {n}" for n in range(80)
    ),
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("limits", [REASONING, SPEECH], ids=["reasoning", "speech"])
def test_honest_repetition_is_left_alone(o200k: tiktoken.Encoding, name: str, limits: Limits) -> None:
    assert ended_at(o200k.encode_ordinary(HONEST[name]), limits) is None


def card(number: int) -> str:
    return (
        f'<article class="card shadow rounded border p-4"><header class="card-header"><h2>Item {number}</h2>'
        '</header><div class="card-body"><p class="text-muted">Price on request, delivery within a week.</p>'
        f'<a class="btn btn-primary btn-lg" href="/items/{number}">Read more about it</a></div></article>\n'
    )


def test_boilerplate_may_be_said_at_length(o200k: tiktoken.Encoding) -> None:
    page = o200k.encode_ordinary("".join(map(card, range(1, 300))))
    assert len(page) > 2 * SPEECH.window
    assert ended_at(page, SPEECH) is None


def test_what_somebody_asked_to_be_repeated_may_be_said(o200k: tiktoken.Encoding) -> None:
    lines = o200k.encode_ordinary("I will not talk in class.\n" * 300)
    assert ended_at(lines, SPEECH) is None
    songs = o200k.encode_ordinary(HONEST["a song"] * 3)
    assert ended_at(songs, SPEECH) is None


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([REASONING, SPEECH]))
def test_random_text_is_no_loop(seed: int, limits: Limits) -> None:
    dice = random.Random(seed)
    assert ended_at((dice.randrange(1000) for _ in range(6_000)), limits) is None
