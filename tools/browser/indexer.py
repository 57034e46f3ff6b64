"""Indexes a folder of documents: `python -P -m gptoss_tui.tools.browser.indexer FOLDER INDEX`.

It is a process of its own, because reading thousands of files would block a screen, and so that it can be
stopped at any time without a loss. It prints one line of JSON for each file that it reads, `{"done", "of",
"path"}`, and skips files that have not changed since the last time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from gptoss_tui.workers.limits import limit
from gptoss_tui.workers.parent import end_with_parent

from .characters import decoded, one_line, visible
from .walker import walk

TYPES = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".rst": "text/x-rst",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
}
"""The media types of documents, by the end of their name."""

LARGEST = 5_000_000  # bytes; only the beginning of a larger file is read
_MOST_TEXT = 1_000_000  # characters of one document that are indexed
_MOST_TRIES = 2  # after these, a file that ends or stops this process is left out
_MEMORY = 2**30  # bytes of address space
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, changed INTEGER NOT NULL, size INTEGER NOT NULL,
    tries INTEGER NOT NULL  -- how often reading it was begun and not ended
);
CREATE VIRTUAL TABLE IF NOT EXISTS documents USING fts5(title, text, tokenize = 'porter unicode61');
"""


def documents(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each document below `folder`: its relative path, and its state. Symbolic links are not followed."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if name.startswith(".") or path.suffix.lower() not in TYPES or path.is_symlink():
                continue
            try:
                from_there = path.relative_to(folder).as_posix()
                from_there.encode()
                yield from_there, path.stat()
            except (OSError, UnicodeEncodeError):
                continue  # the file has gone, or no address can spell its name


def contents(path: Path) -> tuple[str, str]:
    """A document's title and text."""
    with path.open("rb") as file:
        body = file.read(LARGEST)
    html = "html" in TYPES[path.suffix.lower()]
    text = decoded(body, None, html=html)
    if html:
        page = walk(text, "")
        return page.title or path.stem, page.text[:_MOST_TEXT]
    text = visible(text)
    heading = next(
        (line.lstrip("# ") for line in text[:2000].split("\n") if line.startswith("# ")), path.stem
    )
    return one_line(heading, 200), text[:_MOST_TEXT]


def connect(index: Path) -> sqlite3.Connection:
    """The index, created again if it is of another version."""
    index.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(index, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        connection.executescript("DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS documents;")
    connection.executescript(_SCHEMA + f"PRAGMA user_version = {_VERSION};")
    return connection


def update(folder: Path, index: Path) -> Iterator[tuple[int, int, str]]:
    """Bring the index up to date; yields before each file the numbers of finished and of all files."""
    connection = connect(index)
    known = {
        path: rest for path, *rest in connection.execute("SELECT path, changed, size, tries, id FROM files")
    }
    found = {path: [state.st_mtime_ns, state.st_size] for path, state in documents(folder)}
    with connection:
        for path in known.keys() - found.keys():
            _remove(connection, known[path][-1])
    new = [path for path, state in found.items() if not _is_done(state, known.get(path))]
    for done, path in enumerate(new):
        yield done, len(new), path
        with connection:
            number = _begin(connection, path, found[path], known.get(path))
        try:
            title, text = contents(folder / path)
        except (OSError, MemoryError, etree.LxmlError):
            title, text = "", ""
        with connection:
            connection.execute("UPDATE files SET tries = 0 WHERE id = ?", (number,))
            connection.execute(
                "INSERT INTO documents (rowid, title, text) VALUES (?, ?, ?)", (number, title, text)
            )
    connection.close()


def _is_done(state: list[int], row: list[int] | None) -> bool:
    if row is None:
        return False
    *known, tries, _ = row
    return known == state and (tries == 0 or tries >= _MOST_TRIES)


def _begin(connection: sqlite3.Connection, path: str, state: list[int], row: list[int] | None) -> int:
    """Note that the file is being read; returns the number of its row."""
    tries = 1
    if row is not None:
        *known, before, number = row
        tries += before if known == state else 0
        _remove(connection, number)
    cursor = connection.execute(
        "INSERT INTO files (path, changed, size, tries) VALUES (?, ?, ?, ?)", (path, *state, tries)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _remove(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM documents WHERE rowid = ?", (number,))
    connection.execute("DELETE FROM files WHERE id = ?", (number,))


def main() -> None:
    end_with_parent()
    limit(memory=_MEMORY, writes=True)
    for done, of, path in update(Path(sys.argv[1]), Path(sys.argv[2])):
        print(json.dumps({"done": done, "of": of, "path": path}), flush=True)


if __name__ == "__main__":
    main()
