"""The cutting of reasoning into passages."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.agent.filters.passages import LEAST, MOST, Passages

TEXT = st.text(st.sampled_from("ab. !?\n。"), max_size=400) | st.builds(
    str.__mul__, st.sampled_from(["ab ", "ab", "One. ", "Two!\n\n"]), st.integers(0, 2_000)
)


def cut(pieces: list[str]) -> list[str]:
    passages = Passages()
    return [*(passage for piece in pieces for passage in passages.add(piece)), *passages.rest()]


@given(TEXT, st.lists(st.integers(0, 400)))
def test_nothing_is_lost_and_the_pieces_do_not_matter(text: str, places: list[int]) -> None:
    ends = sorted({0, len(text), *(place for place in places if place < len(text))})
    pieces = [text[start:end] for start, end in pairwise(ends)]
    passages = cut(pieces)
    assert "".join(passages) == text
    assert passages == cut([text]) == cut(list(text))
    assert all(len(passage) <= MOST for passage in passages)
    assert all(len(passage) >= LEAST for passage in passages[:-1])


def test_a_passage_is_whole_sentences() -> None:
    first = "Pi is 3.14, and that is known to e.g. the Greeks; the person asks for more digits of it. "
    second = (
        "So I compute them, with the series that converges best of all those that I know, and print it!\n"
    )
    assert cut([first + second, "Then"]) == [first, second, "Then"]


def test_a_passage_comes_as_soon_as_its_sentence_ends() -> None:
    passages = Passages()
    sentence = "x" * LEAST + "."
    assert list(passages.add(sentence)) == []
    assert list(passages.add(" ")) == [f"{sentence} "]
    assert list(passages.rest()) == []


def test_text_without_sentences_is_cut_between_words() -> None:
    passages = cut(["word " * 1_000])
    assert len(passages) > 1
    assert all(passage.endswith("word ") for passage in passages)
