"""The rescue of a damaged file: it is set aside under a new name, and what can be read begins a fresh one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ..harmony.message import Role
from .draft import INSERT as INSERT_PIECE
from .node import COLUMNS, last_of, pack
from .pages import Log, Pages, RawRow, Value, open_pages
from .sampled import repack
from .schema import INSERT_SAMPLE, prepare
from .search import index

_LOST_RESULT: Final = "[ERROR] The result of this call was lost: the file of conversations was damaged."


@dataclass(frozen=True, slots=True)
class Rescue:
    """What was done about a damaged file: `aside` is its new name, and `file` has what could be read of it.

    `lost` counts the messages that are known to be lost; there may have been more at the end of the file.
    """

    file: Path
    aside: Path
    why: str
    conversations: int
    messages: int
    lost: int

    @property
    def sentence(self) -> str:
        """The rescue in a sentence, for a person."""
        kept = f"The file of conversations was damaged ({self.why}) and is kept as {self.aside}"
        if not self.conversations:
            return f"{kept}; nothing could be read from it, and {self.file} begins anew."
        conversations = "1 conversation" if self.conversations == 1 else f"{self.conversations} conversations"
        messages = "1 message" if self.messages == 1 else f"{self.messages:,} messages"
        lost = f", {self.lost:,} are lost" if self.lost else ""
        return f"{kept}; {conversations} with {messages} could be read and are in {self.file}{lost}."


def rescue(file: Path, why: str) -> Rescue:
    """Set the damaged file aside, with its log, and put in its place a fresh one with what can be read.

    Raises OSError and sqlite3.Error; the damaged file is then where it was.
    """
    found = _read(file)
    fresh = file.with_name(f"{file.name}.recovering")
    fresh.unlink(missing_ok=True)
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(fresh)) as database:
            messages, lost = _write(database, found)
        aside = _unused(file)
        log, shared = Path(f"{file}-wal"), Path(f"{file}-shm")
        _link(file, aside)
        if log.exists() and log.stat().st_size:
            _link(log, Path(f"{aside}-wal"))
        log.unlink(missing_ok=True)
        shared.unlink(missing_ok=True)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return Rescue(file, aside, why, len(found.sessions), messages, lost)


def _unused(file: Path) -> Path:
    """A name beside the file that nothing has."""
    name = f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (file.with_name(f"{name}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(aside for aside in names if not aside.exists())


def _link(file: Path, aside: Path) -> None:
    """Give the file a second name; where there are no second names, only that one."""
    try:
        os.link(file, aside)
    except OSError:
        file.rename(aside)


@dataclass(slots=True)
class _Found:
    """The rows of our tables by their numbers, those of versions 1 and 2 in lists by session and place."""

    sessions: dict[str, _Session] = field(default_factory=dict)
    messages: dict[int, _Row] = field(default_factory=dict)
    samples: dict[int, _Row] = field(default_factory=dict)
    pieces: dict[int, _Row] = field(default_factory=dict)
    endings: dict[int, str] = field(default_factory=dict)
    lists: dict[tuple[str, int], _Row] = field(default_factory=dict)
    sampled: dict[tuple[str, int], _Row] = field(default_factory=dict)

    def add(self, rows: Iterable[RawRow]) -> bool:
        """Take the rows, the first of each number; False if a message is there that differs."""
        is_same = True
        for row in rows:
            if not _is_text(row.values):
                continue
            match row.number, row.values:
                case int(number), (None, str(), int() | None, str(), bytes(), *more) if len(more) == 4:
                    is_same &= self.messages.setdefault(number, row.values[1:]) == row.values[1:]
                case int(number), (None, str(), int() | None, *more) if _is_sample(more):
                    self.samples.setdefault(number, row.values[1:])
                case int(number), (None, str(), int() | None, _, *more) if _is_piece(more):
                    self.pieces.setdefault(number, row.values[1:])
                case int(number), (None, str(reason)):
                    self.endings.setdefault(number, reason)
                case int(), (str(name), str(model), date, bytes(text), float() | int() as touched, *more):
                    count = more[0] if len(more) == 2 and isinstance(more[0], int) else 0
                    session = _Session(name, model, date, text, touched, count, more[-1] if more else None)
                    if name not in self.sessions or session.count > self.sessions[name].count:
                        self.sessions[name] = session
                case None, (str(name), int(place), str(), bytes(), *more) if len(more) == 4:
                    self.lists.setdefault((name, place), row.values[2:])
                case None, (str(name), int(place), int(), bytes() | str(), str(), _, bytes()):
                    self.sampled.setdefault((name, place), row.values[2:])
        return is_same


@dataclass(slots=True)
class _Session:
    """A row of the sessions; versions before 4 had no count, versions before 3 no leaf."""

    id: str
    model: str
    date: Value
    instructions: bytes
    touched: float
    count: int
    leaf: Value


_Row = tuple[Any, ...]


def _is_ours(columns: int) -> bool:
    return columns in (2, 5, 6, 7, 8, 9, 10)


def _is_text(values: tuple[Value, ...]) -> bool:
    """True if the texts are UTF-8, as all of ours are."""
    try:
        return "".join(value for value in values if isinstance(value, str)).encode() is not None
    except UnicodeEncodeError:
        return False


def _is_sample(values: list[Value]) -> bool:
    match values:
        case [bytes() | str(), bytes(), int(), str(), str() | None, bytes()]:
            return True
    return False


def _is_piece(values: list[Value]) -> bool:
    match values:
        case [bytes(), bytes() | str(), bytes(), int() | None, str() | None, bytes() | None]:
            return True
    return False


def _read(file: Path) -> _Found:
    """The rows of the file, with its log if that is its own: a message that was written never changes."""
    with open_pages(file) as (alone, logged, log):
        found = _Found()
        found.add(logged.rows(_is_ours))
        if not _agrees(found, alone, log):
            found = _Found()
            found.add(alone.rows(_is_ours))
        else:
            beyond = replace(alone, newer=log.beyond)
            for number in sorted(log.beyond):
                found.add(beyond.rows_on(number, _is_ours))
    return found


def damage_of_log(file: Path) -> str:
    """What is wrong with the log of commits beside the file, "" for nothing; raises OSError.

    SQLite ends without a word where it cannot go on, and applies the log of another file.
    """
    with open_pages(file) as (alone, logged, log):
        if log.damage:
            return log.damage
        found = _Found()
        for number in sorted(log.pages):
            found.add(logged.rows_on(number, _is_ours))
        return "" if _agrees(found, alone, log) else "the log of commits is another file's"


def _agrees(found: _Found, alone: Pages, log: Log) -> bool:
    """True if the pages that the log replaces have no message that differs from one that was found."""
    return all(found.add(alone.rows_on(number, _is_ours)) for number in sorted(log.pages))


def _write(database: sqlite3.Connection, found: _Found) -> tuple[int, int]:
    """Fill a fresh file with the rows; returns the numbers of messages that are there, and that are lost."""
    prepare(database)
    database.execute("pragma synchronous = full")
    last = max(found.messages, default=0)
    lost = last - len(found.messages)  # numbers are given without a gap
    planted = _plant_lists(found, last)
    paths: dict[str, list[int]] = {}
    for number in sorted(found.messages):
        paths.setdefault(found.messages[number][0], []).append(number)
    with database:
        for session in _in_order(found, paths, planted):
            database.execute("insert into session values (?, ?, ?, ?, ?, ?, ?)", session)
        for numbers in paths.values():
            _write_messages(database, found, numbers)
        for _, (session, parent, *rest) in sorted(found.samples.items()):
            if session in paths:
                database.execute(INSERT_SAMPLE, (session, _known(found, session, parent), *rest))
        for session, parent, *rest in _drafts(found):
            database.execute(INSERT_PIECE, (session, parent, *rest))
        endings = [(number, why) for number, why in found.endings.items() if number in found.messages]
        database.executemany("insert into ending values (?, ?)", endings)
        index(database)
    return sum(map(len, paths.values())), lost


def _plant_lists(found: _Found, last: int) -> Collection[str]:
    """Make trees of the lists of versions 1 and 2, but of those that a later version has taken over.

    Returns their sessions.
    """
    trees = {row[0] for row in found.messages.values()}
    paths: dict[str, list[int]] = {}
    for (session, _), row in sorted(found.lists.items()):
        if session not in trees:
            path = paths.setdefault(session, [])
            last += 1
            found.messages[last] = (session, last_of(path, len(path)), *row)
            path.append(last)
    for (session, _), (first, ids, *rest) in sorted(found.sampled.items()):
        if session in paths:
            packed = repack(ids if isinstance(ids, bytes) else ids.encode())
            parent = last_of(paths[session], first)
            found.samples[max(found.samples, default=0) + 1] = (session, parent, packed, b"", 0, *rest)
    return paths.keys()


def _in_order(found: _Found, paths: Mapping[str, Sequence[int]], planted: Collection[str]) -> Iterator[_Row]:
    """The rows of the sessions as they were written; one that is lost is made up for its messages."""
    for name in paths.keys() - found.sessions.keys():
        found.sessions[name] = _Session(name, "unknown", None, b"", 0.0, 0, None)
    newest = {name: max(paths.get(name, [0])) for name in found.sessions}

    def by_writing(session: _Session) -> tuple[int, int, float]:
        """By count; before version 4 by the number of the last message, and before version 3 by the clock."""
        return session.count, 0 if session.id in planted else newest[session.id], session.touched

    for count, session in enumerate(sorted(found.sessions.values(), key=by_writing), 1):
        leaf = session.leaf if session.leaf in paths.get(session.id, ()) else newest[session.id] or None
        yield session.id, session.model, session.date, session.instructions, session.touched, count, leaf


def _write_messages(database: sqlite3.Connection, found: _Found, numbers: Sequence[int]) -> None:
    """Add the messages of a session; one whose parent is lost follows the one before it.

    A call whose result is lost gets another, in the place of what is lost: every call must have a result.
    """
    insert = f"insert into message (id, session, parent, {COLUMNS}) values ({', '.join('?' * 9)})"
    before: int | None = None
    for number in numbers:
        row = session, parent, role, *_ = found.messages[number]
        if parent is not None and _known(found, session, parent) is None:
            if before is not None and before < parent and role != Role.TOOL:
                author, _, _, channel, recipient, _ = found.messages[before][2:]
                if author == Role.ASSISTANT and recipient is not None:
                    lost = (
                        session,
                        before,
                        Role.TOOL.value,
                        pack(_LOST_RESULT),
                        recipient,
                        channel,
                        None,
                        None,
                    )
                    database.execute(insert, (parent, *lost))
                    found.messages[parent], before = lost, parent
            row = (session, before, *row[2:])
        database.execute(insert, (number, *row))
        before = number


def _known(found: _Found, session: str, number: Any) -> int | None:
    """The number of a message, where it could be read."""
    return number if number in found.messages and found.messages[number][0] == session else None


def _drafts(found: _Found) -> Iterator[_Row]:
    """The pieces of drafts. SQLite does not erase what it deletes: not those that samples have replaced."""
    sampled = {(session, parent) for session, parent, *_ in found.samples.values()}
    begun: dict[str, bool] = {}
    for _, (session, parent, *rest) in sorted(found.pieces.items()):
        if rest[-1] is not None:  # the first piece has the prompts
            is_known = _known(found, session, parent) is not None
            begun[session] = is_known and (session, parent) not in sampled
        if begun.get(session) and _known(found, session, parent) is not None:
            yield session, parent, *rest
