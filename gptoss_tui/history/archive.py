"""Looking back: the stored conversations, read without changing anything, and as far as they can be read.

Where the store would move a damaged file aside and begin another, this gives what is still there, and says
where it ends. Files of an older version are read as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .sampled import Sampled
from .store import COLUMNS, VERSION, StoredSession, message_of, unpack

T = TypeVar("T")

_UNREADABLE = (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError)


class ArchiveError(Exception):
    """There is nothing to look at: one sentence that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the list: `touched` is seconds since 1970, `said` what the person said first."""

    id: str
    model: str
    touched: float
    messages: int
    said: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A conversation as far as it can be read; `damage` says what could not be, empty if all could."""

    session: StoredSession
    sampled: tuple[Sampled, ...] = ()
    damage: str = ""


class Archive:
    """The conversations in `file`, which need not exist."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def summaries(self) -> tuple[list[Summary], str]:
        """The conversations, the one last written to first, and what is damaged; raises ArchiveError."""
        if not self.file.exists():
            return [], ""
        count = "(select count(*) from message where session = id)"
        said = "(select text from message where session = id and role = 'user' order by seq limit 1)"
        query = f"select id, model, touched, {count}, {said} from session order by touched desc"
        with closing(self._open()) as database:
            rows, damage = _readable(
                database,
                query,
                (),
                lambda row: Summary(row[0], row[1], row[2], row[3], unpack(row[4] or b"")),
            )
        if damage and not rows:
            raise ArchiveError(f"{self.file} cannot be read: {damage}.")
        return rows, damage

    def read(self, session: str | None = None) -> Recovered:
        """A conversation, the one last written to if none is named; raises ArchiveError if there is none."""
        if not self.file.exists():
            raise ArchiveError("There is no conversation yet. Start one with `gptoss-chat`.")
        with closing(self._open()) as database:
            try:
                return _read(database, session)
            except _UNREADABLE as error:
                raise ArchiveError(f"{self.file} cannot be read: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            (version,) = database.execute("pragma user_version").fetchone()
        except sqlite3.Error as error:
            raise ArchiveError(f"{self.file} cannot be read: {error}.") from error
        if version > VERSION:
            database.close()
            raise ArchiveError(f"{self.file} was made by a newer gptoss-chat; look at it with that one.")
        return database


def _read(database: sqlite3.Connection, name: str | None) -> Recovered:
    which, values = ("where id = ?", (name,)) if name else ("order by touched desc limit 1", ())
    row = database.execute(f"select id, model, date, instructions from session {which}", values).fetchone()
    if row is None:
        wanted = f"no conversation named {name}" if name else "no conversation yet"
        raise ArchiveError(f"There is {wanted}. `gptoss-chat sessions` lists what there is.")
    session = StoredSession(row[0], row[1], row[2], unpack(row[3]))
    messages, damage = _readable(
        database,
        f"select {COLUMNS} from message where session = ? order by seq",
        (session.id,),
        message_of,
    )
    sampled, lost = _readable(
        database,
        "select first_message, ids, reason, channel, prompts from sample where session = ? order by seq",
        (session.id,),
        lambda row: Sampled.of(*row),
    )
    if damage:
        damage = f"what came after message {len(messages)} is damaged ({damage})"
    elif lost and "no such table" not in lost:  # a file of version 1 has none
        damage = f"what was sampled after sample {len(sampled)} is damaged ({lost})"
    return Recovered(replace(session, messages=tuple(messages)), tuple(sampled), damage)


def _readable(
    database: sqlite3.Connection, query: str, values: tuple[str, ...], made: Callable[[Any], T]
) -> tuple[list[T], str]:
    """The rows up to the first that cannot be read, and why it cannot; empty when all can."""
    found: list[T] = []
    try:
        rows: Iterator[Any] = database.execute(query, values)
        for row in rows:
            found.append(made(row))
    except _UNREADABLE as error:
        return found, str(error)
    return found, ""
