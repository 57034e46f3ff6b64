"""Markup to lines and links: pages as people see them, and any bytes at all."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.tools.browser import address
from gptoss_tui.tools.browser.characters import decoded, visible
from gptoss_tui.tools.browser.lines import LONGEST_TEXT, MOST_LINKS
from gptoss_tui.tools.browser.page import WIDTH, without_links, wrapped
from gptoss_tui.tools.browser.walker import TOO_DEEP, TOO_LONG, hides, walk
from gptoss_tui.tools.browser.worker import read

PAGES = Path(__file__).parent / "pages"
URL = "https://kap.example/a/b.html"

NAMES = """
    a b p div span ul ol li table tr td th pre code sup sub h1 h3 br hr img blockquote dl dt dd q math title
    base dialog template script style svg select button menu details html head body
"""
ATTRIBUTES = (
    ' href="/x"',
    ' href="https://o.example/"',
    ' href="#f"',
    " hidden",
    ' style="display:none"',
    ' alt="n†【"',
    ' start="9"',
)
SOUP = st.lists(
    st.one_of(
        st.builds(
            "<{}{}{}>".format,
            st.sampled_from(["", "/"]),
            st.sampled_from(NAMES.split()),
            st.sampled_from(["", *ATTRIBUTES]),
        ),
        st.text(max_size=8),
        st.sampled_from(["<!--", "-->", "&lt;", "&#12304;", "&#x202e;", "【0†x】", "†", "\n", "  ", "<?"]),
    ),
    max_size=60,
).map("".join)


@pytest.mark.parametrize("name", ["article", "hidden"])
def test_a_page_reads_as_it_looks(name: str) -> None:
    page = walk((PAGES / f"{name}.html").read_text(), URL)
    assert page.text == (PAGES / f"{name}.txt").read_text().rstrip("\n")


def test_links_have_their_address_and_the_title_is_one_line() -> None:
    page = walk((PAGES / "article.html").read_text(), URL)
    assert page.title == "The lighthouse at Kap"
    assert page.links == [
        "https://kap.example/",
        "https://kap.example/notes#1",
        "https://ships.example:8080/list?x=1",
        "https://kap.example/a/keepers.html",
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("<!-- only -->", ""),
        ("<div><p></p></div>", ""),
        ("plain", "plain"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<a href=/card><h3>Card</h3><p>more</p></a>", "### 【0†Card】\n\n【0†more】"),
        ("<a href=/x> spaced </a>out", "【0†spaced】 out"),
        ("<a href=/x></a><a href=/y><img alt=y></a>", "【1†[Image 0: y]】"),
        ("<a href=/x>one<a href=/x>two</a>", "【0†one】【0†two】"),
        ("<table><tr><td><p>x</p><p>y</p><td><p>z</p></table>", "x\n\ny\n\nz"),
        ("<table><tr><td><td></table>after", "after"),
        ("<pre>a\n  b\n\nc</pre>", "```\na\n  b\n\nc\n```"),
        ("<ul><li><blockquote>q</blockquote></ul>", "  * > q"),
        ("x<sup></sup>y<sup>2</sup>", "xy^{2}"),
        ("<a href='https://user@b\u00fccher.example/'>x</a>", "【0†x†xn--bcher-kva.example】"),
        ("<a href=https://o.example/>a † b 】</a>", "【0†a ‡ b 〗†o.example】"),
        ("<base href=/deep/><a href=x>y</a>", "【0†y】"),
    ],
)
def test_small_markup(markup: str, text: str) -> None:
    assert walk(markup, URL).text == text


@pytest.mark.parametrize(
    "href",
    ["javascript:x()", "data:text/html,x", "file:///etc/passwd", "https://", "http://[", "doc:///x", "#a"],
)
def test_what_cannot_be_followed_is_no_link(href: str) -> None:
    assert walk(f'<a href="{href}">text</a>', URL) == walk("text", URL)


@given(SOUP)
@settings(max_examples=300)
def test_any_markup_gives_sound_marks(markup: str) -> None:
    page = walk(markup, URL)
    assert visible(re.sub("[【】]", "", page.text)) == re.sub("[【】]", "", page.text)
    marks = re.findall(r"【[^】\n]*】", page.text)
    assert len(marks) == page.text.count("【") == page.text.count("】")
    for mark in marks:
        found = re.fullmatch(r"【(\d+)†[^†]+(†[a-z.]+)?】", mark)
        assert found is not None
        assert int(found[1]) < len(page.links)
    assert not re.search("\n\n\n", re.sub(r"```.*?```", "code", page.text, flags=re.DOTALL))


@given(
    st.binary(max_size=300),
    st.sampled_from(["text/html", "", "text/plain", "application/json"]),
    st.one_of(
        st.none(), st.text(max_size=12), st.sampled_from(["utf-16", "rot13", "zlib", "idna", "utf-7", "gbk"])
    ),
    st.booleans(),
)
@settings(max_examples=300)
def test_any_bytes_become_lines_of_the_page(
    body: bytes, kind: str, charset: str | None, source: bool
) -> None:
    request = {"url": URL, "content_type": kind, "charset": charset, "truncated": False, "source": source}
    page = read(request, body)
    assert page["lines"][:2] == ["", f"URL: {URL}"]
    assert all(len(line) <= WIDTH and "\n" not in line for line in page["lines"])
    "\n".join(page["lines"]).encode()


HOSTILE = {
    "deep": ("<div>" * 50_000 + "x", TOO_DEEP),
    "deep lines": ("<blockquote>" * 1500 + "<br>x" * 400_000, TOO_LONG),
    "long": ("<p>words " * 400_000, TOO_LONG),
    "deep lists": ("<ul><li>" * 900 + "x", "x"),
    "many links": ("".join(f"<a href=/{n}>{n}</a> " for n in range(30_000)), "29999"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_markup_stays_within_bounds(kind: str) -> None:
    markup, end = HOSTILE[kind]
    page = walk(f"<p>first</p>{markup}", URL)
    # Only conditions here: a failure must not print megabytes.
    starts, ends, length = page.text.startswith("first"), page.text.endswith(end), len(page.text)
    assert (starts, ends) == (True, True)
    assert length < 1.1 * LONGEST_TEXT
    assert len(page.links) <= MOST_LINKS


@pytest.mark.parametrize(
    "style", ["display:none", "color:#000;DISPLAY:/**/none", "visibility : hidden;", "text-indent:-999em"]
)
def test_styles_that_hide(style: str) -> None:
    assert hides(style)


@pytest.mark.parametrize("style", ["", "display:block", "opacity:0.9", "font-size:0.9em", "color:#fff"])
def test_styles_that_do_not(style: str) -> None:
    assert not hides(style)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("für".encode(), None, "für"),
        ("für".encode("cp1252"), None, "für"),
        ("“für”".encode("cp1252"), "ISO-8859-1", "“für”"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (
            b'<meta http-equiv=x content="text/html; charset=windows-1251">' + "да".encode("cp1251"),
            None,
            "да",
        ),
        (b'<meta charset="utf-16">' + "да".encode(), None, "да"),
        ("日本".encode("utf-16"), "utf-8", "日本"),
        ("für".encode(), "no-such-thing", "für"),
        ("für".encode()[:-1] + b"\xc3", None, "fü"),
        (b"ab\xffc", "utf-8", "ab\ufffdc"),
        (b"uryyb", "rot13", "uryyb"),
    ],
)
def test_bytes_are_read_by_mark_header_and_meta(body: bytes, charset: str | None, text: str) -> None:
    assert decoded(body, charset, html=True).endswith(text)


@given(
    st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\x85\u2028\u2029"))
)
def test_wrapping_is_that_of_the_reference(text: str) -> None:
    expected = [
        piece
        for line in text.split("\n")
        for piece in textwrap.wrap(line, 80, replace_whitespace=False, drop_whitespace=False) or [""]
    ]
    assert wrapped(text) == expected


def test_links_are_taken_out_line_by_line() -> None:
    lines = ["see 【0†a link†long", ".example】 and 【12†b】", "end"]
    assert without_links(lines) == ["see a link", " and b", "end"]


@pytest.mark.parametrize(
    ("base", "href", "url"),
    [
        ("doc:///a/b.html", "c%20d.html", "doc:///a/c%20d.html"),
        ("doc:///a/b.html", "../../../c.html", "doc:///c.html"),
        ("doc:///a/b.html", "https://o.example/", "https://o.example/"),
        ("zim://wiki/A/Cat", "Dog", "zim://wiki/A/Dog"),
        ("https://o.example/a", "zim://wiki/A/Cat", None),
        ("https://o.example/a", "//p.example/b c", "https://p.example/b%20c"),
        ("https://o.example/a", "x" * 3000, None),
    ],
)
def test_addresses_are_joined(base: str, href: str, url: str | None) -> None:
    assert address.join(base, href) == url
