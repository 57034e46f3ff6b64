"""Reading in a process of its own: documents that cannot be shown, and pages that cost too much."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gptoss_tui.tools.browser.backend import Document
from gptoss_tui.tools.browser.bounds import CPU_SECONDS
from gptoss_tui.tools.browser.reader import ReadError, read
from gptoss_tui.tools.browser.worker import CUT, EMPTY

URL = "https://kap.example/x"


def children() -> set[str]:
    """The processes below this one."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found.update((task / "children").read_text().split())
    return found


@pytest.mark.parametrize(
    ("kind", "body", "line"),
    [
        ("text/html", b"<p>page", "page"),
        ("TEXT/HTML", b"<p>page", "page"),
        ("", b"\n <p>page", "page"),
        ("", b"a < b", "a < b"),
        ("application/octet-stream", b"text", "text"),
        ("text/plain", b"<p>as it is", "<p>as it is"),
        ("text/markdown", b"# Title\r\nText", "# Title"),
        ("application/json", b'{"a":[1]}', "{"),
        ("application/ld+json", b'{"a":', '{"a":'),
        ("application/rss+xml", b"<rss>x</rss>", "<rss>x</rss>"),
        ("text/html", b"<!-- -->", EMPTY),
        ("text/plain", b"", EMPTY),
    ],
)
async def test_text_of_any_type_is_shown(kind: str, body: bytes, line: str) -> None:
    page = await read(Document(URL, kind, None, body))
    assert page.lines[:3] == ["", f"URL: {URL}", line]


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/pdf", b"", "a PDF document (application/pdf)"),
        ("text/html", b"%PDF-1.7", "a PDF document"),
        ("image/png", b"", "an image (image/png)"),
        ("image/svg+xml", b"<svg/>", "an image"),
        ("video/mp4", b"", "a video"),
        ("application/zip", b"PK", "an archive"),
        ("application/octet-stream", b"\x7fELF\0", "not text (application/octet-stream)"),
        ("", b"\0", "It is not text, and"),
        ("x\x1b[2Jy", b"", "not text (x[2jy)"),
    ],
)
async def test_what_is_not_text_is_refused_by_name(kind: str, body: bytes, told: str) -> None:
    with pytest.raises(ReadError) as refused:
        await read(Document(URL, kind, None, body))
    assert told in str(refused.value)


async def test_json_is_laid_out() -> None:
    page = await read(Document(URL, "application/json", None, b'{"b": ["\\u00e9", 1]}'))
    assert page.lines[2:] == ["{", '  "b": [', '    "é",', "    1", "  ]", "}"]


async def test_a_cut_page_says_so() -> None:
    page = await read(Document(URL, "text/plain", None, b"begin", truncated=True))
    assert page.lines[-1] == CUT


async def test_markup_that_takes_too_long_is_given_up() -> None:
    # libxml2 compares each attribute with all before it.
    slow = b"<p " + b" ".join(b"a%d=1" % number for number in range(300_000)) + b">"
    before = children()
    with pytest.raises(ReadError, match=f"more than {CPU_SECONDS} s"):
        await read(Document(URL, "text/html", None, slow))
    assert children() <= before


async def test_markup_that_takes_too_much_memory_is_given_up() -> None:
    body = b"<p>a" * 4_000_000
    with pytest.raises(ReadError):
        await read(Document(URL, "text/html", None, body))


async def test_a_read_that_is_cancelled_leaves_no_process() -> None:
    slow = b"<p " + b" ".join(b"a%d=1" % number for number in range(300_000)) + b">"
    before = children()
    reading = asyncio.create_task(read(Document(URL, "text/html", None, slow)))
    while not children() - before:  # noqa: ASYNC110 (nothing tells when a process starts)
        await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert children() <= before


async def test_an_address_of_any_characters_is_carried() -> None:
    page = await read(Document("https://kap.example/\ud800【\n", "text/plain", None, b"x"))
    assert page.lines[1] == "URL: https://kap.example/\ufffd〖"
    os.fsencode(page.lines[1])
