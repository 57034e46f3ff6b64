"""The index of the words of every message, whatever its channel, calls and outputs of tools among them.

It is SQLite's FTS5, without a copy of the texts: a word leads to the number of the message. With an SQLite
that was built without FTS5 there is no index, and conversations are stored all the same.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Final

MOST_HITS: Final = 100
"""The most messages that a search finds, the newest ones."""

# unicode61 knows the letters of all scripts, folds their case and drops accents, so that "cafe" finds "Café".
# Its words are what stands between blanks and signs: "run" does not find "running".
_TABLE: Final = (
    "create virtual table words using fts5 (text, content = '', tokenize = 'unicode61 remove_diacritics 2')",
    # Parts of the index are merged little by little, and not sixteen at once, which would hold up a commit.
    "insert into words (words, rank) values ('crisismerge', 64)",
)

# Thai, Lao, Burmese, Khmer, kana and Han put no blanks between words, and unicode61 would take a sentence for
# one word. So each of their characters is a word, and a search in them is for a row of characters. FTS5's
# trigrams would find no Chinese word of two characters, and make the index of every language larger.
_UNSPACED: Final = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


@dataclass(frozen=True, slots=True)
class Match:
    """A message in which all the words occur: its session, and its node."""

    session: str
    node: int


def can_index(database: sqlite3.Connection) -> bool:
    """True when this SQLite has FTS5."""
    found = database.execute("select 1 from pragma_module_list where name = 'fts5'").fetchone()
    return found is not None


def index(database: sqlite3.Connection) -> None:
    """Index every message that is not indexed yet, in the transaction under way.

    Messages of a program whose SQLite has no FTS5 are among them. An index that is wrong is left as it is: it
    prevents no message from being saved. Raises sqlite3.DatabaseError for a damaged page.
    """
    if not can_index(database):
        return
    database.execute("savepoint indexing")
    try:
        if database.execute("select 1 from sqlite_master where name = 'words'").fetchone() is None:
            for statement in _TABLE:
                database.execute(statement)
        last = database.execute("select rowid from words order by rowid desc limit 1").fetchone() or (0,)
        rows = database.execute("select id, cast(text as blob) from message where id > ?", last)
        texts = ((number, _spaced(_text(raw))) for number, raw in rows)
        database.executemany("insert into words (rowid, text) values (?, ?)", texts)
    except sqlite3.DatabaseError as error:
        is_damaged = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CORRUPT
        # On a full disk there is no transaction any more, and the messages are not in the file either.
        if is_damaged or not database.in_transaction:
            raise
        database.execute("rollback to indexing")
    database.execute("release indexing")


def search(database: sqlite3.Connection, words: str, most: int = MOST_HITS) -> list[Match]:
    """The last messages in which all the words occur, the newest first; none for no words.

    Nothing in the words is an operator. Raises sqlite3.Error where there is no index.
    """
    asked = [word for word in _text(words.encode("utf-8", "replace")).split() if any(map(str.isalnum, word))]
    if not asked:
        return []
    phrases = " ".join('"' + _spaced(word).replace('"', '""') + '"' for word in asked)
    found = database.execute(
        "select session, id from words join message on id = words.rowid where words match ?"
        " order by words.rowid desc limit ?",
        (phrases, most),
    )
    return [Match(*row) for row in found]


def _text(raw: bytes) -> str:
    """The text of these bytes, without what SQLite's own texts lack: lone surrogates and NUL."""
    return raw.decode("utf-8", "replace").replace("\0", " ")


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \1 ", text)
