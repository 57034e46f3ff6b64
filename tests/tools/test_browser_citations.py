"""Citations: found in a stream however it is cut, and believed only when they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.browser.citations import Citation, Mark, Marks, Unverified, resolve, split
from gptoss_tui.tools.browser.page import Link, Page

ARTICLE = Page("https://kap.example/a", "Article", ["", "URL: x", "one 【0†two", "three†o.example】", "four"])
RESULTS = Page("", "query", ["", "URL: "], [Link("https://kap.example/a")])
FOUND = Page(
    "https://kap.example/a/find?pattern=x", "Find results", ["# 【0†match at L2】", "one"], [], ARTICLE
)
PAGES = [RESULTS, ARTICLE, FOUND]

PIECES = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["【", "†", "L", "-", "】", "1", "23", "【1†L2】", "【1†L2-L4】", "【1†L2-4】", "【1†x】"]
    ),
)


def joined(pieces: list[str | Mark]) -> str:
    return "".join(piece.text if isinstance(piece, Mark) else piece for piece in pieces)


def test_marks_and_text_are_told_apart() -> None:
    assert split("a【1†L2】【10†L3-L5】 b【2†link】【3†L4–6】") == [
        "a",
        Mark("【1†L2】", 1, 2, 2),
        Mark("【10†L3-L5】", 10, 3, 5),
        " b【2†link】",
        Mark("【3†L4–6】", 3, 4, 6),
    ]


def test_half_a_mark_is_held_back_until_it_is_one() -> None:
    marks = Marks()
    assert marks.feed("see 【1") == ["see "]
    assert marks.feed("†L2-") == []
    assert marks.feed("L3】.") == [Mark("【1†L2-L3】", 1, 2, 3), "."]
    assert marks.feed("【1†x") == ["【1†x"]
    assert marks.feed("【12†L") == []
    assert marks.finish() == ["【12†L"]
    assert marks.finish() == []


@given(st.lists(PIECES, max_size=12))
def test_a_stream_gives_the_same_marks_as_the_whole(pieces: list[str]) -> None:
    marks = Marks()
    parts = [part for piece in pieces for part in marks.feed(piece)] + marks.finish()
    whole = "".join(pieces)
    assert joined(parts) == whole == joined(split(whole))
    assert [p for p in parts if isinstance(p, Mark)] == [p for p in split(whole) if isinstance(p, Mark)]


@given(st.text(alphabet="【】†L-0123456789–a", max_size=60))
def test_little_is_ever_held_back(text: str) -> None:
    marks = Marks()
    held = len(text) - len(joined(marks.feed(text)))
    assert held <= len("【123456789†L123456789-L123456789")


@pytest.mark.parametrize(
    ("text", "quote"),
    [("【1†L2】", "one two"), ("【1†L2-L3】", "one two\nthree"), ("【1†L4】", "four"), ("【2†L1】", "one")],
)
def test_a_citation_that_holds_tells_page_and_lines(text: str, quote: str) -> None:
    (mark,) = split(text)
    assert isinstance(mark, Mark)
    assert resolve(mark, PAGES) == Citation(mark, "Article", "https://kap.example/a", quote)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("【3†L0】", "no such page"),
        ("【0†L1】", "search results"),
        ("【1†L5】", "no such lines"),
        ("【1†L3-L2】", "no such lines"),
        ("【1†L0-L99】", "no such lines"),
    ],
)
def test_a_citation_that_does_not_hold_is_marked(text: str, reason: str) -> None:
    (mark,) = split(text)
    assert isinstance(mark, Mark)
    found = resolve(mark, PAGES)
    assert isinstance(found, Unverified)
    assert reason in found.reason
