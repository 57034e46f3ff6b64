"""Citations: found in a stream however it is cut, and verified against the shown pages."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.arguments import ArgumentsError
from gptoss_tui.tools.browser import BackendError, Browser, Document, Hit
from gptoss_tui.tools.browser.characters import one_line
from gptoss_tui.tools.browser.citations import Citation, Mark, Marks, ShownPages, Unverified, split
from gptoss_tui.tools.browser.page import Link, Page
from gptoss_tui.tools.browser.page_view import read_view
from gptoss_tui.tools.browser.viewport import estimate, view

ARTICLE = Page(
    "https://kap.example/a_(b)", "Article (old)", ["", "URL: x", "one 【0†two", "three†o.example】", "four"]
)
LONG = Page("https://kap.example/long", "Long", [f"line {n}" for n in range(100)])
RESULTS = Page("", "query", ["", "URL: "], [Link("https://kap.example/a")])
FOUND = Page(
    "https://kap.example/a_(b)/find?pattern=one%20x",
    "Find results for text: `one x` in `Article (old)`",
    ["# 【0†match at L2】", "one"],
    [],
    ARTICLE,
)
VIEWS = [
    ("browser.search", RESULTS, 0, None),
    ("browser.open", ARTICLE, 0, None),
    ("browser.find", FOUND, 0, None),
    ("functions.browser.open", LONG, 10, 5),
    ("browser.open", LONG, 30, 5),
]


async def pages() -> ShownPages:
    """The pages of a conversation with those views."""
    made = ShownPages()
    for cursor, (name, page, first, lines) in enumerate(VIEWS):
        made.read(name, await view(page, cursor, first, lines, estimate))
    return made


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
    ("text", "quote", "page"),
    [
        ("【1†L2】", "one two", ARTICLE),
        ("【1†L2-L3】", "one two\nthree", ARTICLE),
        ("【1†L4】", "four", ARTICLE),
        ("【2†L1】", "one", ARTICLE),
        ("【3†L10-L14】", "\n".join(f"line {n}" for n in range(10, 15)), LONG),
        ("【3†L31】", "line 31", LONG),  # which the other view showed
    ],
)
async def test_a_citation_that_holds_tells_page_and_lines(text: str, quote: str, page: Page) -> None:
    (mark,) = split(text)
    assert isinstance(mark, Mark)
    assert (await pages()).resolve(mark) == Citation(mark, page.title, page.url, quote)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("【5†L0】", "no such page"),
        ("【0†L1】", "search results"),
        ("【1†L5】", "no such lines"),
        ("【1†L3-L2】", "no such lines"),
        ("【1†L0-L999999999】", "no such lines"),
        ("【3†L9】", "not shown"),
        ("【3†L14-L30】", "not shown"),
    ],
)
async def test_a_citation_that_does_not_hold_is_marked(text: str, reason: str) -> None:
    (mark,) = split(text)
    assert isinstance(mark, Mark)
    found = (await pages()).resolve(mark)
    assert isinstance(found, Unverified)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("python", "[0] A (https://a.example)\n**viewing lines [0 - 0] of 0**\n\nL0: x"),
        ("functions.open", "[0] A (https://a.example)\n**viewing lines [0 - 0] of 0**\n\nL0: x"),
        ("browser.open", "[ERROR] [0] A (https://a.example)\n**viewing lines [0 - 0] of 0**\n\nL0: x"),
        ("browser.open", "[0] A (https://a.example)\nL0: x"),
        ("browser.open", ""),
    ],
)
def test_what_shows_no_page_is_no_source(name: str, output: str) -> None:
    assert read_view(name, output) is None


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: one_line(text, 60))
ADDRESSES = st.text(alphabet="a/?()[]%`.#&=:~_ü", min_size=1, max_size=30).map("https://a.example/{}".format)


@given(WORDS, ADDRESSES, st.lists(WORDS, min_size=1, max_size=8))
def test_a_view_can_be_read_back(title: str, url: str, lines: list[str]) -> None:
    text = asyncio.run(view(Page(url, title, lines), 7, 0, None, estimate))
    read = read_view("browser.open", text)
    assert read is not None
    assert (read.cursor, read.title, read.url) == (7, title, url)
    assert list(read.lines.values()) == lines
    assert read.last == len(lines) - 1


class Pretender:
    """Finds nothing, whatever the question."""

    schemes = ("https",)

    async def search(self, query: str, topn: int) -> list[Hit]:
        return []

    async def fetch(self, url: str) -> Document:
        raise BackendError("no")

    async def close(self) -> None: ...


@given(st.text(alphabet="a ()https:/.", min_size=1, max_size=40) | st.just("x (https://evil.example/)"))
def test_no_question_makes_results_look_like_a_page(question: str) -> None:
    browser = Browser(Pretender(), Pretender())
    try:
        text = asyncio.run(browser.search(question))
    except ArgumentsError:
        return
    read = read_view("browser.search", text)
    assert read is not None
    assert (read.url, read.origin) == ("", "")
