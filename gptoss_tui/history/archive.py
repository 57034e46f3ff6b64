"""The archive of stored conversations, which changes nothing and reads as far as a file can be read.

Where the store would move a damaged file aside and begin another, the archive reads what is left, and says
where that ends. Files of an older version are read as they are.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .check import is_damage
from .node import ODD, unpack
from .sampled import Sampled
from .search import MOST_HITS, Match, search
from .stored import (
    FORMS,
    UNFINISHED,
    Form,
    StoredSession,
    connect,
    read_path,
    read_rows,
    read_samples,
    rows_of,
)

_UNREADABLE = (sqlite3.Error, *ODD)


class ArchiveError(Exception):
    """Nothing can be read; the message is one sentence that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in the list: `touched` in seconds since 1970, `question` the person's first message.

    `ending` is how its last turn ended, if otherwise than with an answer.
    """

    id: str
    model: str
    touched: float
    messages: int
    question: str
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A conversation as far as it can be read; `damage` says what could not be read, "" for nothing.

    `session` has the path to the leaf, `sampled` the samples on it; `elsewhere` counts the messages on other
    paths.
    """

    session: StoredSession
    sampled: tuple[Sampled, ...] = ()
    damage: str = ""
    elsewhere: int = 0


class Archive:
    """The conversations in `file`, which need not exist."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def summaries(self) -> tuple[list[Summary], str]:
        """The conversations, the last written first, and the damage, "" for none; raises ArchiveError."""
        opened = self._open()
        if opened is None:
            return [], ""
        database, form = opened
        with closing(database):
            query = f"select id, model, touched, {form.leaf} from session order by {form.order}"
            found = read_rows(rows_of(database, query), lambda row: _summary(database, form, row))
        if found.error and not found.values:
            raise self._unreadable(found.error)
        odd = f"{found.odd} of them cannot be read, and no gptoss-chat wrote them" if found.odd else ""
        return found.values, f"the list ends early: {found.error}" if found.error else odd

    def read(self, session: str | None = None) -> Recovered:
        """A conversation, by default the last written; raises ArchiveError if there is none."""
        opened = self._open()
        if opened is None:
            raise ArchiveError("There is no conversation yet. Start one with `gptoss-chat`.")
        database, form = opened
        with closing(database):
            try:
                return _read(database, form, session)
            except _UNREADABLE as error:
                raise self._unreadable(error) from error

    def search(self, words: str, most: int = MOST_HITS) -> list[Match]:
        """The last messages in which all the words occur, the newest first.

        Raises ArchiveError where there is no index.
        """
        opened = self._open()
        if opened is None:
            return []
        database, _ = opened
        with closing(database):
            try:
                return search(database, words, most)
            except sqlite3.Error as error:
                raise ArchiveError(f"{self.file} cannot be searched: {error}.") from error

    def _unreadable(self, error: Exception) -> ArchiveError:
        mend = " A chat that begins recovers what can be read: `gptoss-chat`." if is_damage(error) else ""
        return ArchiveError(f"{self.file} cannot be read: {error}.{mend}")

    def _open(self) -> tuple[sqlite3.Connection, Form] | None:
        """The file in one state: another program that migrates it meanwhile is not seen.

        None where there is no file, or nothing in it yet.
        """
        if not self.file.exists():
            return None
        try:
            database = connect(self.file, "mode=ro", timeout=5)
            database.execute("begin")
            (version,) = database.execute("pragma user_version").fetchone()
            (tables,) = database.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if version in FORMS and tables:
            return database, FORMS[version]
        database.close()
        if tables or version:
            raise ArchiveError(f"{self.file} was made by a newer gptoss-chat; look at it with that one.")
        return None


def _summary(database: sqlite3.Connection, form: Form, row: tuple[str, str, float, int | None]) -> Summary:
    name, model, touched, leaf = row
    messages, question = database.execute(form.outline, {"session": name, "leaf": leaf}).fetchone()
    drafted = form.pieces and database.execute(f"select 1 from ({form.pieces})", (name,)).fetchone()
    ended = form.endings and database.execute(f"{form.endings} and message = ?", (name, leaf)).fetchone()
    ending = UNFINISHED if drafted else str(ended[1]) if ended else ""
    return Summary(name, model, float(touched), messages, unpack(question or b""), ending)


def _read(database: sqlite3.Connection, form: Form, name: str | None) -> Recovered:
    path = read_path(database, form, name)
    if path is None:
        wanted = f"no conversation named {name}" if name else "no conversation yet"
        raise ArchiveError(f"There is {wanted}. `gptoss-chat sessions` lists what there is.")
    sampled = read_samples(database, form, path)
    damage = ""
    if path.is_cut:
        last = f"what came after message {len(path.session.path)}"
        damage = f"the conversation ends early: {last} is damaged ({path.error})"
    elif sampled.error:
        last = f"what was sampled after sample {len(sampled.values)}"
        damage = f"the conversation ends early: {last} is damaged ({sampled.error})"
    elif path.session.odd:
        damage = path.session.gaps
    elif sampled.odd:
        damage = f"{sampled.odd} of the samples cannot be read, and no gptoss-chat wrote them"
    drafted = (path.session.drafted,) if path.session.drafted else ()
    return Recovered(path.session, (*sampled.values, *drafted), damage, len(path.elsewhere))
