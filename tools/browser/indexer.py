"""Indexes a folder of documents: `python -P -m gptoss_tui.tools.browser.indexer FOLDER INDEX`.

A process of its own, because reading thousands of files would hold up a screen, and so that it can be stopped
at any time: what it has done is kept. It prints one line of JSON for each file it reads, `{"done", "of",
"path"}`, and leaves alone the files that have not changed since the last time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

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
"""The files that count as documents, by the end of their name."""

LARGEST = 5_000_000  # bytes; of larger files the beginning is read
_MOST_TEXT = 1_000_000  # characters of one document that can be found
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, changed INTEGER NOT NULL, size INTEGER NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS documents USING fts5(title, text, tokenize = 'porter unicode61');
"""


def documents(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each document below `folder`: its path from there, and its state. Symbolic links are not followed."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if name.startswith(".") or path.suffix.lower() not in TYPES or path.is_symlink():
                continue
            try:
                yield path.relative_to(folder).as_posix(), path.stat()
            except OSError:
                continue  # gone meanwhile


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
    """The index, made anew if it is of another version."""
    index.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(index, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        connection.executescript("DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS documents;")
    connection.executescript(_SCHEMA + f"PRAGMA user_version = {_VERSION};")
    return connection


def update(folder: Path, index: Path) -> Iterator[tuple[int, int, str]]:
    """Bring the index in line with the folder; tells before each file how many are done, of how many."""
    connection = connect(index)
    known = {
        path: (changed, size, number)
        for path, changed, size, number in connection.execute("SELECT path, changed, size, id FROM files")
    }
    found = {path: (state.st_mtime_ns, state.st_size) for path, state in documents(folder)}
    with connection:
        for path in known.keys() - found.keys():
            _remove(connection, known[path][2])
    new = [path for path, state in found.items() if path not in known or known[path][:2] != state]
    for done, path in enumerate(new):
        yield done, len(new), path
        try:
            title, text = contents(folder / path)
        except (OSError, MemoryError):
            continue
        with connection:
            if path in known:
                _remove(connection, known[path][2])
            number = connection.execute(
                "INSERT INTO files (path, changed, size) VALUES (?, ?, ?)", (path, *found[path])
            ).lastrowid
            connection.execute(
                "INSERT INTO documents (rowid, title, text) VALUES (?, ?, ?)", (number, title, text)
            )
    connection.close()


def _remove(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM documents WHERE rowid = ?", (number,))
    connection.execute("DELETE FROM files WHERE id = ?", (number,))


def main() -> None:
    for done, of, path in update(Path(sys.argv[1]), Path(sys.argv[2])):
        print(json.dumps({"done": done, "of": of, "path": path}), flush=True)


if __name__ == "__main__":
    main()
