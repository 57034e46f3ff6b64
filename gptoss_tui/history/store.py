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
from .check import Check, is_damage
from .claim import Claim, Holder, claim, forget_the_dead
from .cut import INSERT as INSERT_CUT
from .cut import Cut
from .draft import INSERT as INSERT_PIECE
from .draft import DraftPiece
from .lock import FileLock
from .node import COLUMNS, Node, columns_of, last_of, nodes_of, pack
from .rescue import Rescue, damage_of_log, rescue
from .sampled import Sampled
from .schema import INSERT_MESSAGE, INSERT_SAMPLE, NODES, prepare
from .search import index
from .stored import FORMS, TREE, StoredSession, connect, read_path

T = TypeVar("T")

_NONE: Mapping[int, str] = MappingProxyType({})

_READ_S = 5.0
"""How long reading waits for another program, before there is anything to go on with."""

_WRITE_S = 0.5
"""How long writing waits for another program: it is tried again, and a turn goes on meanwhile."""

_REOPEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""Trouble that stays with an open file, even when it is over."""

_CHECK_S = 0.5
"""How long opening waits for the check, which goes on behind: 100 MB take some 0.05 s once they were read."""

# The number of what is written now: the clock may have been set back.
_NEXT = "(select coalesce(max(written), 0) + 1 from session)"


class StoreError(Exception):
    """Conversations cannot be written or read; the message says which file and why."""


class Busy(StoreError):
    """Another program is writing, and what was to be written can be written when it has ended."""


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

    If the file is removed or replaced meanwhile, the file in its place is opened. If it turns out to be
    damaged, it is set aside, and what can be read of it goes on; `rescues` tell of it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._database: sqlite3.Connection | None = None
        self._opened: _Places = ()
        self._sure: set[str] = set()  # the sessions whose paths came from the file that is open
        self._use = FileLock(file.with_name(f"{file.name}-users"))
        self._check: Check | None = None
        self.rescues: list[Rescue] = []

    async def begin(
        self,
        session: StoredSession,
        sampled: Sequence[Sampled] = (),
        *,
        piece: DraftPiece | None = None,
        endings: Mapping[int, str] = _NONE,
        cuts: Sequence[Cut] | None = None,
    ) -> list[Node]:
        """Add a session with its messages; for the rest see `append`.

        A session that is there already gets the messages from its root.
        """
        row = (session.id, session.model, session.date, pack(session.instructions), time.time())

        def write(database: sqlite3.Connection) -> list[Node]:
            database.execute(f"insert or ignore into session values (?, ?, ?, ?, ?, {_NEXT}, null)", row)
            self._sure.add(session.id)
            return _append(
                database,
                session.id,
                (),
                session.messages,
                sampled=sampled,
                piece=piece,
                endings=endings,
                cuts=cuts,
            )

        return await self._run(write)

    async def append(
        self,
        session: str,
        path: Sequence[Node],
        messages: Sequence[Message],
        sampled: Sequence[Sampled] = (),
        *,
        piece: DraftPiece | None = None,
        endings: Mapping[int, str] = _NONE,
        cuts: Sequence[Cut] | None = None,
    ) -> list[Node]:
        """Add messages after the last node of `path`, and samples, in one commit; raises StoreError.

        The last message becomes the leaf. A `piece` adds to the draft of the next sample, and a sample takes
        the place of its draft. `endings` tell how turns ended otherwise than with an answer, by the number of
        messages up to there. `cuts` take the place of those on the path. Returns the nodes of the messages.
        Raises Gone, and adds nothing, when the file lacks nodes of the path.
        """

        def write(database: sqlite3.Connection) -> list[Node]:
            if path and not (session in self._sure and _has(database, session, path[-1])):
                remaining = _remaining(database, session, path)
                if remaining != list(path):
                    raise Gone(self.file, remaining)
                self._sure.add(session)
            return _append(
                database,
                session,
                path,
                messages,
                sampled=sampled,
                piece=piece,
                endings=endings,
                cuts=cuts,
            )

        return await self._run(write)

    async def read(self, session: str | None = None) -> StoredSession | None:
        """A session with the path to its leaf, by default the last written; None if there is none.

        Raises StoreError. A file that cannot be written is read all the same, of whatever version.
        """

        def read(database: sqlite3.Connection) -> StoredSession | None:
            found = read_path(database, TREE, session)
            if found is None:
                return None
            if found.error is not None:
                raise found.error
            self._sure.add(found.session.id)
            return found.session

        try:
            return await self._run(read, _READ_S)
        except StoreError:
            archived = await asyncio.to_thread(_read_only, self.file, session)
            if archived is None:
                raise
            return archived

    async def claim(self, session: str) -> Claim | Holder | None:
        """Claim a session, or tell who holds it; None where nothing can be written, nor claimed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, claim, self.file, session)
        except (OSError, RuntimeError):
            return None

    async def nodes(self, session: str) -> list[Node]:
        """The nodes of all messages of a session, on whatever path, in the order of their insertion."""
        return await self._run(lambda db: nodes_of(db.execute(NODES, (session,)))[0])

    async def check(self) -> None:
        """Open the file, if there is one, so that damage to it is found and told; raises StoreError."""
        if self.file.exists():
            await self._run(lambda _: None, _READ_S)

    async def close(self) -> None:
        """Close the file, with all that is in its log. Does nothing the second time."""
        with contextlib.suppress(RuntimeError):  # the thread is gone
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        check, self._check = self._check, None
        if check is not None:
            check.cancel()
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(database):
                if _places(self.file) == self._opened:  # to a file without a name nothing need be written
                    database.execute("pragma busy_timeout = 0")
                    database.execute("pragma wal_checkpoint(truncate)")
        self._use.release()

    async def _run(self, work: Callable[[sqlite3.Connection], T], patience: float = _WRITE_S) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._commit, work, patience)
        except RuntimeError as error:  # the thread is gone
            raise StoreError(f"it is closed already: {self.file}") from error

    def _commit(self, work: Callable[[sqlite3.Connection], T], patience: float = _WRITE_S) -> T:
        try:
            try:
                return self._attempt(work, patience)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._rescue(str(error))
                return self._attempt(work, patience)
        except OSError as error:
            raise StoreError(f"{error.strerror or error}: {self.file}") from error
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that no store wrote
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _REOPEN:
                self._close()
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Busy(f"another program is writing in {self.file} ({error})") from error
            raise StoreError(f"{error}: {self.file}") from error

    def _attempt(self, work: Callable[[sqlite3.Connection], T], patience: float) -> T:
        if self._check is not None and self._check.damage:
            self._rescue(self._check.damage)
        if self._database is not None and _places(self.file) != self._opened:
            self._close()
        if self._database is None:
            self._database = self._open(patience)
            self._opened = _places(self.file)
            self._sure.clear()
        self._database.execute(f"pragma busy_timeout = {int(patience * 1000)}")
        with self._database:
            return work(self._database)

    def _open(self, patience: float) -> sqlite3.Connection:
        """Open the file; a damaged one is set aside before."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.file.exists():
            is_alone = self._use_alone()
            if is_alone:
                forget_the_dead(self.file)
            self._check = check = Check(self.file, self._found_damage)
            check.start()
            check.join(_CHECK_S)
            damage = check.damage or (damage_of_log(self.file) if is_alone else "")
            if damage:
                self._rescue(damage)
        self._use_shared()
        try:
            return _connect(self.file, patience)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._rescue(str(error))
            return _connect(self.file, patience)

    def _rescue(self, damage: str) -> None:
        """Set the file aside, unless another program has done so, and go on with what can be read of it."""
        seen = self._opened if self._database is not None else _places(self.file)
        database, self._database = self._database, None
        check, self._check = self._check, None
        if check is not None:
            check.cancel()
        if database is not None:
            database.close()
        lock = FileLock(self.file.with_name(f"{self.file.name}-rescue"))
        try:
            lock.acquire(wait=True)
            if _places(self.file)[0] == seen[0]:
                self.rescues.append(rescue(self.file, damage))
        finally:
            lock.release()

    def _found_damage(self) -> None:
        """Have the rescue begin though nothing is to be written; called by the check, in its own thread."""
        with contextlib.suppress(RuntimeError):  # the store is closed
            self._thread.submit(self._commit, lambda _: None)

    def _use_alone(self) -> bool:
        """True if no other program has the file open; others wait then."""
        try:
            return self._use.acquire()
        except OSError:
            return False

    def _use_shared(self) -> None:
        with contextlib.suppress(OSError):
            self._use.acquire(shared=True, wait=True)


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


def _connect(file: Path, patience: float) -> sqlite3.Connection:
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite makes it, readable by others
    database = connect(file, "mode=rw", timeout=patience)
    try:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        prepare(database)
        database.execute("pragma foreign_keys = on")
    except BaseException:
        database.close()
        raise
    return database


def _read_only(file: Path, session: str | None) -> StoredSession | None:
    """A session of a file that cannot be written; None if it cannot be read either, or is not there."""
    for options in (["mode=ro"], ["immutable=1"]):  # its log, too, has to be opened for writing
        with contextlib.suppress(sqlite3.Error, OSError):
            with contextlib.closing(connect(file, *options, timeout=_READ_S)) as database:
                (version,) = database.execute("pragma user_version").fetchone()
                form = FORMS.get(version)
                found = read_path(database, form, session) if form else None
            return found.session if found else None
    return None


def _append(
    database: sqlite3.Connection,
    session: str,
    path: Sequence[Node],
    messages: Sequence[Message],
    *,
    sampled: Sequence[Sampled],
    piece: DraftPiece | None,
    endings: Mapping[int, str],
    cuts: Sequence[Cut] | None,
) -> list[Node]:
    if not (messages or sampled or piece or endings or cuts is not None):
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
    if cuts is not None:
        gone = [(session, node.id) for node in whole]
        database.executemany("delete from cut where session = ? and message = ?", gone)
        rows = [(session, *cut.columns(whole)) for cut in cuts]
        database.executemany(INSERT_CUT, rows)
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
