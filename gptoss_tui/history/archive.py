"""The archive of stored conversations, which changes nothing and reads as far as a file can be read.

Where the store would move a damaged file aside and begin another, the archive reads what is left, and says
where that ends. Files of an older version are read as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from .node import COLUMNS, node_of, path_of, unpack
from .sampled import Sampled
from .schema import NODES, VERSION
from .search import MOST_HITS, Match, search
from .store import StoredSession

T = TypeVar("T")

_UNREADABLE = (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError)


class ArchiveError(Exception):
    """Nothing can be read; the message is one sentence that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in the list: `touched` in seconds since 1970, `question` the person's first message."""

    id: str
    model: str
    touched: float
    messages: int
    question: str


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


@dataclass(frozen=True, slots=True)
class _Form:
    """The SQL to read a file of one version: the leaf of a session, its outline, nodes and samples."""

    leaf: str
    outline: str
    nodes: str
    samples: str


_TREE: Final = _Form(
    leaf="leaf",
    outline="""
with recursive path (id, parent, role) as (
    select id, parent, role from message where id = :leaf
    union all
    select above.id, above.parent, above.role from message as above join path on above.id = path.parent
    where above.id < path.id
)
select count(*), (select text from message where id = (select min(id) from path where role = 'user'))
from path
""",
    nodes=NODES,
    samples="""
select parent, ids, logprobs, prompt_tokens, reason, channel, prompts from sample
where session = ? order by id
""",
)

_LIST: Final = _Form(
    leaf="null",
    outline="""
select count(*), (select text from message where session = :session and role = 'user' order by seq limit 1)
from message where session = :session
""",
    nodes=f"""
select seq + 1, (
    select max(seq) + 1 from message as above
    where above.session = message.session and above.seq < message.seq
), {COLUMNS}
from message where session = ? order by seq
""",
    samples="""
select nullif(first_message, 0), cast(ids as text), x'', 0, reason, channel, prompts from sample
where session = ? order by seq
""",
)
"""Versions 1 and 2: a tree with one path, whose leaf is the last message."""


class Archive:
    """The conversations in `file`, which need not exist."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def summaries(self) -> tuple[list[Summary], str]:
        """The conversations, the last written first, and the damage, "" for none; raises ArchiveError."""
        if not self.file.exists():
            return [], ""
        database, form = self._open()
        with closing(database):
            query = f"select id, model, touched, {form.leaf} from session order by touched desc"
            rows, damage = _readable(_rows(database, query), lambda row: _summary(database, form, row))
        if damage and not rows:
            raise ArchiveError(f"{self.file} cannot be read: {damage}.")
        return rows, damage

    def read(self, session: str | None = None) -> Recovered:
        """A conversation, by default the last written; raises ArchiveError if there is none."""
        if not self.file.exists():
            raise ArchiveError("There is no conversation yet. Start one with `gptoss-chat`.")
        database, form = self._open()
        with closing(database):
            try:
                return _read(database, form, session)
            except _UNREADABLE as error:
                raise ArchiveError(f"{self.file} cannot be read: {error}.") from error

    def search(self, words: str, most: int = MOST_HITS) -> list[Match]:
        """The last messages in which all the words occur, the newest first.

        Raises ArchiveError where there is no index.
        """
        if not self.file.exists():
            return []
        database, _ = self._open()
        with closing(database):
            try:
                return search(database, words, most)
            except sqlite3.Error as error:
                raise ArchiveError(f"{self.file} cannot be searched: {error}.") from error

    def _open(self) -> tuple[sqlite3.Connection, _Form]:
        """The file in one state: another program that migrates it meanwhile is not seen."""
        try:
            database = sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            database.execute("begin")
            (version,) = database.execute("pragma user_version").fetchone()
        except sqlite3.Error as error:
            raise ArchiveError(f"{self.file} cannot be read: {error}.") from error
        if version > VERSION:
            database.close()
            raise ArchiveError(f"{self.file} was made by a newer gptoss-chat; look at it with that one.")
        return database, _TREE if version == VERSION else _LIST


def _summary(database: sqlite3.Connection, form: _Form, row: tuple[str, str, float, int | None]) -> Summary:
    name, model, touched, leaf = row
    messages, question = database.execute(form.outline, {"session": name, "leaf": leaf}).fetchone()
    return Summary(name, model, touched, messages, unpack(question or b""))


def _read(database: sqlite3.Connection, form: _Form, name: str | None) -> Recovered:
    which, values = ("where id = ?", (name,)) if name else ("order by touched desc limit 1", ())
    query = f"select id, model, date, instructions, {form.leaf} from session {which}"
    found = database.execute(query, values).fetchone()
    if found is None:
        wanted = f"no conversation named {name}" if name else "no conversation yet"
        raise ArchiveError(f"There is {wanted}. `gptoss-chat sessions` lists what there is.")
    session, model, date, instructions, leaf = found
    rows, cut = _readable(_rows(database, form.nodes, session), tuple)
    path = path_of(rows, leaf)
    nodes, unread = _readable(path, node_of)
    places = {row[0]: number for number, row in enumerate(path, 1)}
    others = {row[0] for row in rows} - places.keys()
    sampled, lost = _readable(
        (row for row in _rows(database, form.samples, session) if row[0] not in others),
        lambda row: Sampled.of(places.get(row[0], len(places)) if row[0] else 0, row[1:]),
    )
    damage = unread or (cut if leaf not in places else "")
    if damage:
        damage = f"what came after message {len(nodes)} is damaged ({damage})"
    elif lost and "no such table" not in lost:  # a file of version 1 has none
        damage = f"what was sampled after sample {len(sampled)} is damaged ({lost})"
    messages = tuple(node.message for node in nodes)
    stored = StoredSession(session, model, date, unpack(instructions), messages)
    return Recovered(stored, tuple(sampled), damage, len(others))


def _rows(database: sqlite3.Connection, query: str, *values: str) -> Iterator[Any]:
    """The rows of the query, which does not begin before the first row is asked for."""
    yield from database.execute(query, values)


def _readable(rows: Iterable[Any], read: Callable[[Any], T]) -> tuple[list[T], str]:
    """The values of the rows up to the first unreadable row, and its error, "" if there is none."""
    values: list[T] = []
    try:
        for row in rows:
            values.append(read(row))
    except _UNREADABLE as error:
        return values, str(error)
    return values, ""
