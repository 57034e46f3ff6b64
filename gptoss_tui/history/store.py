"""The store of conversations: a message is committed before the screen shows it as finished.

The store is one SQLite file in the platform's data folder, readable by its owner alone. A conversation is a
tree, to which nodes are only ever added, and beside the nodes stand the raw samples of the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ..harmony.message import Message
from .draft import INSERT as INSERT_PIECE
from .draft import Piece
from .node import COLUMNS, Node, columns_of, last_of, nodes_of, pack
from .sampled import Sampled
from .schema import INSERT_MESSAGE, INSERT_SAMPLE, NODES, prepare
from .search import index
from .stored import TREE, StoredSession, connect, read_path

T = TypeVar("T")

_NONE: Mapping[int, str] = MappingProxyType({})

# The number of what is written now: the clock may have been set back.
_NEXT = "(select coalesce(max(written), 0) + 1 from session)"


class StoreError(Exception):
    """Conversations cannot be written or read; the message says which file and why."""


class Gone(StoreError):
    """Messages that were written are not in the file any more: it was removed, or replaced by another.

    `remaining` are the first messages of the path, as far as the file has them, with its own numbers.
    """

    def __init__(self, file: Path, remaining: list[Node]) -> None:
        super().__init__(f"it was replaced while it was in use: {file}")
        self.remaining = remaining


def default_file() -> Path:
    """The default file of conversations."""
    from platformdirs import user_data_path

    return user_data_path("gptoss-chat") / "sessions.sqlite3"


def files_folder() -> Path:
    """The folder of the conversations' files, in which each session's folder has its ID as name."""
    from platformdirs import user_data_path

    return user_data_path("gptoss-chat") / "files"


def new_id() -> str:
    """The ID for a new session: short, and unlike any other."""
    return time.strftime("%y%m%d-") + secrets.token_hex(3)


class Store:
    """The file of conversations, used by one thread of its own. The first use opens it.

    If the file is removed or replaced meanwhile, the file in its place is opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._database: sqlite3.Connection | None = None
        self._opened: _Places = ()
        self._sure: set[str] = set()  # the sessions whose paths came from the file that is open

    async def begin(
        self,
        session: StoredSession,
        sampled: Sequence[Sampled] = (),
        *,
        piece: Piece | None = None,
        endings: Mapping[int, str] = _NONE,
    ) -> list[Node]:
        """Add a session with its messages; for the rest see `append`.

        A session that is there already gets the messages from its root.
        """
        row = (session.id, session.model, session.date, pack(session.instructions), time.time())

        def write(database: sqlite3.Connection) -> list[Node]:
            database.execute(f"insert or ignore into session values (?, ?, ?, ?, ?, {_NEXT}, null)", row)
            self._sure.add(session.id)
            return _append(
                database, session.id, (), session.messages, sampled=sampled, piece=piece, endings=endings
            )

        return await self._run(write)

    async def append(
        self,
        session: str,
        path: Sequence[Node],
        messages: Sequence[Message],
        sampled: Sequence[Sampled] = (),
        *,
        piece: Piece | None = None,
        endings: Mapping[int, str] = _NONE,
    ) -> list[Node]:
        """Add messages after the last node of `path`, and samples, in one commit; raises StoreError.

        The last message becomes the leaf. A `piece` adds to the draft of the next sample, and a sample takes
        the place of its draft. `endings` tell how turns ended otherwise than with an answer, by the number of
        messages up to there. Returns the nodes of the messages. Raises Gone, and adds nothing, when the file
        lacks nodes of the path.
        """

        def write(database: sqlite3.Connection) -> list[Node]:
            if path and not (session in self._sure and _has(database, session, path[-1])):
                remaining = _remaining(database, session, path)
                if remaining != list(path):
                    raise Gone(self.file, remaining)
                self._sure.add(session)
            return _append(database, session, path, messages, sampled=sampled, piece=piece, endings=endings)

        return await self._run(write)

    async def read(self, session: str | None = None) -> StoredSession | None:
        """A session with the path to its leaf, by default the last written; None if there is none."""

        def read(database: sqlite3.Connection) -> StoredSession | None:
            found = read_path(database, TREE, session)
            if found is None:
                return None
            if found.error is not None:
                raise found.error
            self._sure.add(found.session.id)
            return found.session

        return await self._run(read)

    async def nodes(self, session: str) -> list[Node]:
        """The nodes of all messages of a session, on whatever path, in the order of their insertion."""
        return await self._run(lambda db: nodes_of(db.execute(NODES, (session,)))[0])

    async def close(self) -> None:
        """Close the file, with all that is in its log."""
        if self._database is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is None:
            return
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(database):
            if _places(self.file) == self._opened:  # what is written to a file without a name is lost with it
                database.execute("pragma wal_checkpoint(truncate)")

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, work)
        except RuntimeError as error:  # the thread is gone
            raise StoreError(f"it is closed already: {self.file}") from error

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._database is not None and _places(self.file) != self._opened:
                self._close()
            if self._database is None:
                self._database = _open(self.file)
                self._opened = _places(self.file)
                self._sure.clear()
            with self._database:
                return work(self._database)
        except OSError as error:
            raise StoreError(f"{error.strerror or error}: {self.file}") from error
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that no store wrote
            raise StoreError(f"{error}: {self.file}") from error


_Places = tuple[tuple[int, int] | None, ...]


def _places(file: Path) -> _Places:
    """The device and inode of the file, and of its log of commits; None for a file that is not there."""

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
        # A damaged file is never deleted or overwritten, and prevents no chat.
        file.rename(file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite makes it, readable by others
    database = connect(file, "mode=rw", timeout=5)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        prepare(database)
        database.execute("pragma foreign_keys = on")
    except BaseException:
        database.close()
        raise
    return database


def _append(
    database: sqlite3.Connection,
    session: str,
    path: Sequence[Node],
    messages: Sequence[Message],
    *,
    sampled: Sequence[Sampled],
    piece: Piece | None,
    endings: Mapping[int, str],
) -> list[Node]:
    if not (messages or sampled or piece or endings):
        return []
    leaf = path[-1].id if path else None
    new: list[Node] = []
    for message in messages:
        number = database.execute(INSERT_MESSAGE, (session, leaf, *columns_of(message))).lastrowid
        assert number is not None
        new.append(Node(number, leaf, message))
        leaf = number
    whole = [*path, *new]
    for sample in sampled:
        last = last_of(whole, sample.first)
        database.execute(INSERT_SAMPLE, (session, last and last.id, *sample.columns()))
        database.execute("delete from draft where session = ?", (session,))
    if piece is not None:
        database.execute(INSERT_PIECE, (session, leaf, *piece.columns()))
    for count, reason in endings.items():
        if (last := last_of(whole, count)) is not None:
            database.execute("insert or replace into ending values (?, ?)", (last.id, reason))
    database.execute(
        f"update session set touched = ?, written = {_NEXT}, leaf = ? where id = ?",
        (time.time(), leaf, session),
    )
    index(database)
    return new


def _has(database: sqlite3.Connection, session: str, node: Node) -> bool:
    """True if the file has this node, and not another message under its number."""
    query = f"select parent, {COLUMNS} from message where session = ? and id = ?"
    found = database.execute(query, (session, node.id)).fetchone()
    return bool(found == (node.parent, *columns_of(node.message)))


def _remaining(database: sqlite3.Connection, session: str, path: Sequence[Node]) -> list[Node]:
    """The first nodes of the path, as far as the file has their messages, under whatever numbers."""
    nodes, odd = nodes_of(database.execute(NODES, (session,)))
    by_number, by_place = set(nodes), {(node.parent, node.message): node for node in nodes}
    remaining: list[Node] = []
    for node in path:
        above = remaining[-1].id if remaining else None
        is_same = node in by_number and (node.parent == above or node.parent in odd)
        found = node if is_same else by_place.get((above, node.message))
        if found is None:
            break
        remaining.append(found)
    return remaining
