"""A ZIM file, written by libzim itself: searched in full text, its articles opened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.tools import Reach, further
from gptoss_tui.tools.browser import BackendError, Document, browser_tools
from gptoss_tui.tools.browser.zim import Zim

writer = pytest.importorskip("libzim.writer", reason="the extra `zim` is not installed")

ARTICLES = {
    "A/Cat": ("Cat", "<title>Cat</title><p>The cat purrs. See <a href='Barking_dog'>dogs</a>.</p>"),
    "A/Barking_dog": ("Barking dog", "<p>It barks at the cat?</p>"),
}


class Article(writer.Item):  # type: ignore[misc, name-defined]
    def __init__(self, path: str, title: str, html: str) -> None:
        super().__init__()
        self.path, self.title, self.html = path, title, html

    def get_path(self) -> str:
        return self.path

    def get_title(self) -> str:
        return self.title

    def get_mimetype(self) -> str:
        return "text/html"

    def get_contentprovider(self) -> Any:
        return writer.StringProvider(self.html)

    def get_hints(self) -> dict[Any, bool]:
        return {writer.Hint.FRONT_ARTICLE: True}


def write(path: Path, *, indexed: bool) -> Zim:
    with writer.Creator(path).config_indexing(indexed, "eng") as creator:
        creator.set_mainpath("A/Cat")
        for name, (title, html) in ARTICLES.items():
            creator.add_item(Article(name, title, html))
        creator.add_redirection("A/Kitty", "Kitty", "A/Cat", {})
    return Zim(path)


@pytest.fixture(scope="module")
def zim(tmp_path_factory: pytest.TempPathFactory) -> Zim:
    return write(tmp_path_factory.mktemp("zim") / "Wiki 2026.zim", indexed=True)


async def test_articles_are_found_by_what_they_say(zim: Zim) -> None:
    assert [(hit.url, hit.title) for hit in await zim.search("purrs", 5)] == [
        ("zim://wiki-2026/A/Cat", "Cat")
    ]
    assert len(await zim.search("cat", 5)) == 2
    assert len(await zim.search("cat", 1)) == 1
    assert await zim.search("xylophone", 5) == []
    assert await zim.search('" AND (', 5) == []


async def test_without_an_index_titles_are_searched(tmp_path: Path) -> None:
    zim = write(tmp_path / "plain.zim", indexed=False)
    assert [hit.title for hit in await zim.search("barking", 5)] == ["Barking dog"]


async def test_the_model_can_browse_it(zim: Zim, run: Callable[[Any, str], Awaitable[Any]]) -> None:
    search, open_, _ = browser_tools(zim, zim)
    assert "【0†Cat†wiki-2026】" in (await run(search, '{"query": "purrs"}')).text
    assert "See 【0†dogs】." in (await run(open_, '{"id": 0}')).text
    answer = await run(open_, '{"id": 0}')
    assert "(zim://wiki-2026/A/Barking_dog)" in answer.text
    assert "barks" in answer.text


async def test_redirects_and_the_main_page_lead_to_their_article(zim: Zim) -> None:
    for url in ("zim://wiki-2026/A/Kitty", "zim://wiki-2026/"):
        document = await zim.fetch(url)
        assert document.url == "zim://wiki-2026/A/Cat"
        assert document.body == ARTICLES["A/Cat"][1].encode()


async def test_a_redirect_within_the_file_is_judged(zim: Zim) -> None:
    judged: list[str] = []

    def judge(name: str, arguments: str, reach: Reach) -> str | None:
        judged.append(json.loads(arguments)["id"])
        return "your rule forbids it"

    async def fetch(path: str) -> Document:
        further.judged_by(judge)  # for this task alone
        return await zim.fetch(f"zim://wiki-2026/{path}")

    told = "redirects to 'zim://wiki-2026/A/Cat', which is not opened: your rule"
    with pytest.raises(BackendError, match=told):
        await asyncio.create_task(fetch("A/Kitty"))
    assert (await asyncio.create_task(fetch("A/Cat"))).url == judged[0]
    assert len(judged) == 1


@pytest.mark.parametrize(
    "url", ["zim://wiki-2026/A/None", "zim://other/A/Cat", "https://kap.example/", "doc:///x"]
)
async def test_nothing_else_can_be_opened(zim: Zim, url: str) -> None:
    with pytest.raises(BackendError):
        await zim.fetch(url)


async def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.zim").write_bytes(b"ZIM?" * 100)
    for name in ("bad.zim", "none.zim"):
        with pytest.raises(BackendError, match=f"{name} cannot be opened"):
            await Zim(tmp_path / name).search("x", 1)
