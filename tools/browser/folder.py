"""A folder of documents as a back end: full-text search by SQLite, and pages at doc:///path/in/the/folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from gptoss_tui.workers.child import Child, ChildError

from .backend import BackendError, Document, Hit
from .indexer import LARGEST, TYPES

SCHEME = "doc:///"

IndexProgress = Callable[[int, int, str], None]
"""Called before a file is read, with the number of finished files, of all files, and the next path."""

_PATIENCE = 30.0  # seconds in which one file must be read
_MOST_STARTS = 20  # of the indexer; a file that ended it twice is left out
_FRESH = 10.0  # seconds before the folder is looked through again

_QUERY = """
SELECT files.path, documents.title, snippet(documents, 1, '', '', ' … ', 40)
FROM documents JOIN files ON files.id = documents.rowid
WHERE documents MATCH ? ORDER BY bm25(documents, 5.0, 1.0) LIMIT ?
"""


class Folder:
    """The documents below `root`, found through the index in the file `index`.

    The first search indexes new and changed files, in a process of its own; `update` may be called before, to
    show the progress. Nothing outside `root` can be reached: links out of it are not followed.
    """

    schemes = ("doc",)

    def __init__(self, root: Path, index: Path) -> None:
        self.root = root.resolve()
        self.index = index
        self._updated = -_FRESH
        self._turn = asyncio.Lock()

    async def update(self, progress: IndexProgress | None = None) -> None:
        """Bring the index up to date; finished work outlasts a cancellation. Raises BackendError."""
        async with self._turn:
            if time.monotonic() - self._updated < _FRESH:
                return
            if not self.root.is_dir():
                raise BackendError(f"{self.root} is no folder.")
            for _ in range(_MOST_STARTS):
                ended, last = await self._indexer(progress)
                if ended:
                    break
                if last is None:
                    raise BackendError(f"The folder cannot be indexed in {self.index}; remove that file.")
            else:
                raise BackendError(f"The folder could not be indexed: it fails at {last}.")
            self._updated = time.monotonic()

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """The documents with all words of `query`, or else with any of them; see `Search`."""
        await self.update()
        try:
            return await asyncio.to_thread(self._hits, query, topn)
        except sqlite3.Error as error:
            raise BackendError(f"The index of the folder cannot be read: {error}.") from error

    async def fetch(self, url: str) -> Document:
        """The document at a doc:/// address; see `Fetch`."""
        return await asyncio.to_thread(self._document, url)

    async def close(self) -> None:
        """Do nothing: no resource outlives a call."""

    async def _indexer(self, progress: IndexProgress | None) -> tuple[bool, str | None]:
        """Run the indexer once; returns whether it finished, and the last file that it began to read."""
        try:
            child = Child.start("the indexer", f"{__package__}.indexer", str(self.root), str(self.index))
        except ChildError as error:
            raise BackendError(f"The folder cannot be indexed: {error}.") from error
        last = None
        try:
            async with asyncio.timeout(_PATIENCE) as patience:

                def hear(line: bytes) -> None:
                    nonlocal last
                    patience.reschedule(asyncio.get_running_loop().time() + _PATIENCE)
                    told = json.loads(line)
                    last = told["path"]
                    if progress is not None:
                        progress(told["done"], told["of"], last)

                await child.listen(hear)
                return await child.wait() == 0, last
        except TimeoutError:
            return False, last
        finally:
            await child.end()

    def _hits(self, query: str, topn: int) -> list[Hit]:
        # Quoted, so that no word is an operator of FTS5.
        words = [f'"{word}"' for word in re.findall(r"\w+", query)]
        connection = sqlite3.connect(f"{self.index.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        with contextlib.closing(connection):
            for joint in (" ", " OR "):
                rows = connection.execute(_QUERY, (joint.join(words), topn)).fetchall() if words else []
                if rows:
                    break
        return [Hit(SCHEME + quote(path), title, text) for path, title, text in rows]

    def _document(self, url: str) -> Document:
        parts = urlsplit(url)
        if parts.scheme != "doc" or parts.netloc or parts.query:
            raise BackendError("Only the documents of this folder can be opened, at doc:/// addresses.")
        path = unquote(parts.path).removeprefix("/")
        try:
            whole = self.root / path
            # A document has one path only, since rules about it cover no other spelling.
            plain = str(whole) == f"{str(self.root).rstrip('/')}/{path}"
            inside = (
                plain and whole.resolve() == whole and whole.is_relative_to(self.root) and whole.is_file()
            )
            if not path or not inside or whole.suffix.lower() not in TYPES:
                raise BackendError("There is no such document in the folder.")
            with whole.open("rb") as file:
                body = file.read(LARGEST + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise BackendError("There is no such document in the folder.") from error
        kind = TYPES[whole.suffix.lower()]
        return Document(SCHEME + quote(path), kind, None, body[:LARGEST], truncated=len(body) > LARGEST)
