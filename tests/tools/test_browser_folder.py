"""A folder of documents: found in full text, read by doc:/// addresses, and nothing outside it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.tools.browser import BackendError, browser_tools, folder
from gptoss_tui.tools.browser.folder import Folder

HTML = "<title>Keepers</title><h1>Keepers</h1><p>Ada trimmed wicks. <a href='../notes one.md'>Notes</a></p>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "documents"
    (root / "deep").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "light.txt").write_text("The lighthouse burned colza oil.\n")
    (root / "notes one.md").write_text("# Notes on oil\n\nParaffin followed.\n")
    (root / "deep" / "keepers.html").write_text(HTML)
    (root / "picture.png").write_bytes(b"oil")
    (root / ".hidden" / "oil.txt").write_text("oil")
    (tmp_path / "secret.txt").write_text("oil secret")
    (root / "way out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "elsewhere").symlink_to(tmp_path)
    return root


@pytest.fixture
def documents(root: Path, tmp_path: Path) -> Folder:
    return Folder(root, tmp_path / "cache" / "index.sqlite")


async def found(documents: Folder, query: str) -> list[str]:
    return [hit.url for hit in await documents.search(query, 10)]


async def test_words_are_found_and_shown_in_their_place(documents: Folder) -> None:
    hits = await documents.search("colza oils", 10)
    assert [(hit.url, hit.title) for hit in hits] == [("doc:///light.txt", "light")]
    assert hits[0].snippet.strip() == "The lighthouse burned colza oil."
    assert set(await found(documents, "oil")) == {"doc:///light.txt", "doc:///notes%20one.md"}
    # No document has all the words: then any of them will do.
    assert set(await found(documents, "wicks paraffin")) == {
        "doc:///deep/keepers.html",
        "doc:///notes%20one.md",
    }
    assert await found(documents, "href") == []


@pytest.mark.parametrize(
    "query", ["", '"', "oil AND (", "title:oil*", "NEAR(oil", "--", "oil OR", "\0", "'; DROP"]
)
async def test_no_query_is_an_expression(documents: Folder, query: str) -> None:
    await documents.search(query, 10)


async def test_the_model_can_follow_links_from_document_to_document(
    documents: Folder, run: Callable[[Any, str], Awaitable[Any]]
) -> None:
    search, open_, find = browser_tools(documents, documents)
    assert "【0†Keepers】" in (await run(search, '{"query": "wicks"}')).text
    assert "[1] Keepers (doc:///deep/keepers.html)" in (await run(open_, '{"id": 0}')).text
    assert "[2] notes one.md (doc:///notes%20one.md)" in (await run(open_, '{"id": 0}')).text
    assert "match at L4" in (await run(find, '{"pattern": "paraffin"}')).text


async def test_what_changes_is_indexed_again_and_nothing_else(
    documents: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_FRESH", 0.0)
    read: list[str] = []

    def progress(done: int, of: int, path: str) -> None:
        assert 0 <= done < of
        read.append(path)

    await documents.update(progress)
    assert sorted(read) == ["deep/keepers.html", "light.txt", "notes one.md"]
    read.clear()
    await documents.update(progress)
    assert read == []
    (root / "light.txt").write_text("Now electric.")
    (root / "notes one.md").unlink()
    (root / "new.txt").write_text("Colza is a plant.")
    await documents.update(progress)
    assert sorted(read) == ["light.txt", "new.txt"]
    assert await found(documents, "oil") == []
    assert await found(documents, "electric") == ["doc:///light.txt"]
    assert await found(documents, "colza") == ["doc:///new.txt"]


async def test_indexing_that_is_stopped_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    for number in range(300):
        (root / f"{number:03}.txt").write_text(f"document {number}")
    documents = Folder(root, tmp_path / "index.sqlite")
    begun = asyncio.Event()
    indexing = asyncio.create_task(documents.update(lambda done, of, path: begun.set()))
    await begun.wait()
    indexing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await indexing
    assert len(await documents.search("document", 1000)) == 300


@pytest.mark.parametrize(
    "url",
    [
        "doc:///../secret.txt",
        "doc:///%2e%2e/secret.txt",
        "doc:///way%20out.txt",
        "doc:///elsewhere/secret.txt",
        "doc:///picture.png",
        "doc:///deep",
        "doc:///",
        "doc:///none.txt",
        "doc:///a%00.txt",
        "doc://host/light.txt",
        "doc:////light.txt",
        "doc:///./light.txt",
        "doc:///deep/..//light.txt",
        "doc:///light.txt?x",
        "file:///etc/passwd",
        "https://kap.example/",
        "doc:///" + "a" * 5000 + ".txt",
    ],
)
async def test_nothing_else_can_be_opened(documents: Folder, url: str) -> None:
    with pytest.raises(BackendError):
        await documents.fetch(url)


@given(st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_address_leads_out(documents: Folder, tail: str) -> None:
    try:
        document = documents._document(f"doc:///{tail}")
    except BackendError:
        return
    assert b"secret" not in document.body


async def test_a_name_that_is_no_text_does_not_matter(documents: Folder, root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.txt")).write_text("colza")
    assert await found(documents, "colza") == ["doc:///light.txt"]


async def test_large_documents_are_cut(documents: Folder, root: Path) -> None:
    (root / "large.txt").write_bytes(b"x" * 6_000_000)
    document = await documents.fetch("doc:///large.txt")
    assert document.truncated
    assert len(document.body) == 5_000_000


async def test_a_document_that_cannot_be_read_in_time_is_left_out(
    documents: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # libxml2 compares each attribute with all before it: this takes minutes.
    slow = b"<p " + b" ".join(b"a%d=1" % number for number in range(400_000)) + b">"
    (root / "aaa.html").write_bytes(slow)
    monkeypatch.setattr(folder, "_PATIENCE", 2.0)
    assert await found(documents, "colza") == ["doc:///light.txt"]


async def test_a_missing_folder_and_a_broken_index_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no folder"):
        await Folder(tmp_path / "none", tmp_path / "i").search("x", 1)
    (tmp_path / "broken").write_bytes(os.urandom(5000))
    with pytest.raises(BackendError, match="cannot be indexed"):
        await Folder(root, tmp_path / "broken").search("x", 1)
