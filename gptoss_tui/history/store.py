"""Conversations on disk: a message is committed before the screen shows it as finished.

One SQLite file in the platform's data folder, readable by its owner alone. Messages are only ever added, and
beside them what the model sampled, token by token.
Texts are kept as bytes, so that whatever a model or a tool wrote comes back exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..harmony.message import Channel, Message, Role
from .sampled import Sampled

T = TypeVar("T")

VERSION = 2
# Each step brings a file from one version to the next; `if not exists`, for two programs may take it at once.
_STEPS = (
    """
create table if not exists session (
    id text primary key, model text not null, date text, instructions blob not null, touched real not null
);
create table if not exists message (
    session text not null references session, seq integer not null,
    role text not null, text blob not null, name blob, channel text, recipient blob, content_type blob,
    primary key (session, seq)
) without rowid;
""",
    """
create table if not exists sample (
    session text not null references session, seq integer not null,
    first_message integer not null, ids blob not null, reason text not null, channel text,
    prompts blob not null,
    primary key (session, seq)
) without rowid;
""",
)


COLUMNS = "role, text, name, channel, recipient, content_type"
"""What `message_of` reads."""


class StoreError(Exception):
    """Conversations cannot be kept or read; the message says which file and why."""


class Gone(StoreError):
    """Messages that were written are not in the file any more: it was removed, or an older one put there.

    `held` counts the first messages of the session that it has.
    """

    def __init__(self, file: Path, held: int) -> None:
        super().__init__(f"it was replaced while it was in use: {file}")
        self.held = held


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A stored conversation: what it began with, and its messages in order."""

    id: str
    model: str
    date: str | None
    instructions: str
    messages: tuple[Message, ...] = ()


def default_file() -> Path:
    """Where conversations are kept unless told otherwise."""
    from platformdirs import user_data_path

    return user_data_path("gptoss-chat") / "sessions.sqlite3"


def files_folder() -> Path:
    """Below this the files of conversations are kept, a folder each, named like the session."""
    from platformdirs import user_data_path

    return user_data_path("gptoss-chat") / "files"


def new_id() -> str:
    """A name for a new session: short, and unlike any other."""
    return time.strftime("%y%m%d-") + secrets.token_hex(3)


class Store:
    """The file of conversations, written by one thread of its own. It is opened by the first use.

    Should the file be removed or replaced meanwhile, the one that stands in its place is opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._database: sqlite3.Connection | None = None
        self._opened: _Places = ()

    async def begin(self, session: StoredSession, sampled: Sequence[Sampled] = ()) -> None:
        """Add a session, its messages, and samples, in one commit; raises StoreError.

        One that is there already without messages is gone on with.
        """
        row = (session.id, session.model, session.date, _pack(session.instructions), time.time())

        def write(database: sqlite3.Connection) -> None:
            database.execute("insert or ignore into session values (?, ?, ?, ?, ?)", row)
            _append(database, session.id, 0, session.messages, sampled)

        await self._run(write)

    async def append(
        self, session: str, first: int, messages: Sequence[Message], sampled: Sequence[Sampled] = ()
    ) -> None:
        """Add messages, the first as number `first`, and samples, in one commit; raises StoreError.

        Raises Gone, and adds nothing, when the file lacks messages before the first.
        """

        def write(database: sqlite3.Connection) -> None:
            (held,) = database.execute(
                "select coalesce(max(seq) + 1, 0) from message where session = ?", (session,)
            ).fetchone()
            if held < first:
                raise Gone(self.file, held)
            _append(database, session, first, messages, sampled)

        await self._run(write)

    async def read(self, session: str | None = None) -> StoredSession | None:
        """A session with its messages, the one last written to if none is named; None if there is none."""
        return await self._run(lambda db: _read(db, session))

    async def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(StoreError):
            if self._database is not None:
                await self._run(lambda db: db.close())
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, work)
        except RuntimeError as error:  # the thread is gone
            raise StoreError(f"it is closed already: {self.file}") from error

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._database is not None and _places(self.file) != self._opened:
                self._database.close()  # what is written to a file without a name is lost with it
                self._database = None
            if self._database is None:
                self._database = _open(self.file)
                self._opened = _places(self.file)
            with self._database:
                return work(self._database)
        except OSError as error:
            raise StoreError(f"{error.strerror or error}: {self.file}") from error
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that no store wrote
            raise StoreError(f"{error}: {self.file}") from error


_Places = tuple[tuple[int, int] | None, ...]


def _places(file: Path) -> _Places:
    """Where on which disk the file lies, and its log of commits; None for what is not there."""

    def place(path: Path) -> tuple[int, int] | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    return place(file), place(file.with_name(f"{file.name}-wal"))


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _connect(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        # Damaged: never deleted or overwritten, and no reason not to chat.
        file.rename(file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite makes it, readable by others
    database = sqlite3.connect(file, timeout=5, check_same_thread=False)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("pragma foreign_keys = on")
        (version,) = database.execute("pragma user_version").fetchone()
        if version > VERSION:
            raise sqlite3.OperationalError("it was made by a newer gptoss-chat")
        if version < VERSION:
            steps = "".join(_STEPS[version:])
            database.executescript(f"begin immediate; {steps} pragma user_version = {VERSION}; commit;")
    except BaseException:
        database.close()
        raise
    return database


def _append(
    database: sqlite3.Connection,
    session: str,
    first: int,
    messages: Sequence[Message],
    sampled: Sequence[Sampled],
) -> None:
    if not messages and not sampled:
        return
    rows = [(session, first + place, *_row(message)) for place, message in enumerate(messages)]
    samples = [(session, session, *sample.columns()) for sample in sampled]
    following = "(select count(*) from sample where session = ?)"
    database.executemany("insert into message values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    database.executemany(f"insert into sample values (?, {following}, ?, ?, ?, ?, ?)", samples)
    database.execute("update session set touched = ? where id = ?", (time.time(), session))


def _read(database: sqlite3.Connection, session: str | None) -> StoredSession | None:
    if session is None:
        found = database.execute("select id from session order by touched desc limit 1").fetchone()
        if found is None:
            return None
        (session,) = found
    row = database.execute(
        "select id, model, date, instructions from session where id = ?", (session,)
    ).fetchone()
    if row is None:
        return None
    rows = database.execute(f"select {COLUMNS} from message where session = ? order by seq", (session,))
    return StoredSession(row[0], row[1], row[2], unpack(row[3]), tuple(map(message_of, rows)))


def _row(message: Message) -> tuple[str, bytes, bytes | None, str | None, bytes | None, bytes | None]:
    return (
        message.role.value,
        _pack(message.text),
        _pack_if(message.name),
        message.channel.value if message.channel else None,
        _pack_if(message.recipient),
        _pack_if(message.content_type),
    )


def message_of(row: tuple[str, bytes, bytes | None, str | None, bytes | None, bytes | None]) -> Message:
    """The message that a row holds; raises ValueError for one that no store wrote."""
    role, text, name, channel, recipient, content_type = row
    return Message(
        Role(role),
        unpack(text),
        name=_unpack_if(name),
        channel=Channel(channel) if channel else None,
        recipient=_unpack_if(recipient),
        content_type=_unpack_if(content_type),
    )


def _pack(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def unpack(raw: bytes) -> str:
    """The text that is kept as these bytes."""
    return raw.decode("utf-8", "surrogatepass")


def _pack_if(text: str | None) -> bytes | None:
    return None if text is None else _pack(text)


def _unpack_if(raw: bytes | None) -> str | None:
    return None if raw is None else unpack(raw)
