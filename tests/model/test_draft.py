"""Drafts from the text so far, against a search of the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.model.engine.draft import LONGEST, SHORTEST, PromptLookup

TEXTS = st.lists(st.integers(0, 2), max_size=60)


def common(text: list[int], place: int) -> int:
    """The tokens that are the same before `place` and before the end."""
    length = 0
    while length < min(place, LONGEST) and text[place - length - 1] == text[-length - 1]:
        length += 1
    return length


def searched(text: list[int], most: int) -> tuple[int, list[int]]:
    """The longest match of the eight newest places, of equal ones the newest; and what followed there."""
    places = [p for p in range(len(text) - 1, 0, -1) if common(text, p) >= SHORTEST][:8]
    if not places:
        return 0, []
    best = max(places, key=lambda place: (common(text, place), place))
    told = list(text)
    while len(told) < len(text) + most:  # goes on with itself at the end
        told.append(told[best + len(told) - len(text)])
    return common(text, best), told[len(text) :]


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 20))
def test_a_text_begun_after_any_other_is_searched_whole(texts: list[list[int]], most: int) -> None:
    lookup = PromptLookup()
    for text in texts:
        lookup.begin(text)
        assert (lookup.length, lookup.draft(most)) == (searched(text, most)[0], searched(text, most)[1])


@given(TEXTS, TEXTS, TEXTS)
def test_a_match_is_followed_until_it_fails(prompt: list[int], answer: list[int], next_: list[int]) -> None:
    lookup, text = PromptLookup(), list(prompt)
    lookup.begin(prompt)
    for token in answer:
        length, guess = lookup.length, lookup.draft(9)
        right = lookup.follow(token)
        text.append(token)
        assert right == (guess[:1] == [token])
        if right:
            assert (lookup.length, lookup.draft(8)) == (length + 1, guess[1:])
        else:
            assert (lookup.length, lookup.draft(8)) == searched(text, 8)
    lookup.begin(next_)
    assert (lookup.length, lookup.draft(8)) == searched(next_, 8)


def test_the_longest_match_counts_and_not_the_newest() -> None:
    lookup = PromptLookup()
    lookup.begin([1, 2, 3, 4, 5, 6, 7, 2, 3, 9, 1, 2, 3])
    assert (lookup.length, lookup.draft(4)) == (3, [4, 5, 6, 7])
    lookup.begin([1, 2, 3, 4, 5, 6, 7, 2, 3, 9, 0, 2, 3])
    assert (lookup.length, lookup.draft(3)) == (2, [9, 0, 2])


def test_what_goes_round_goes_on_round() -> None:
    lookup = PromptLookup()
    lookup.begin([7, 1, 2, 3, 1, 2, 3])
    assert lookup.draft(7) == [1, 2, 3, 1, 2, 3, 1]
