"""The tables of the file, and the migration of a file of an older version, in place.

Version 1 had lists of messages, version 2 samples beside them; version 3 has trees, and version 4 counts what
is written, notes how turns ended, and has drafts of what the model is writing; version 5 has what the model
is not shown any more. A list becomes a tree with one path.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from .node import COLUMNS, last_of
from .sampled import repack
from .search import index

VERSION: Final = 5

_SESSION: Final = """
create table session (
    id text primary key, model text not null, date text, instructions blob not null,
    touched real not null, -- by the clock, for people to read
    written integer not null, -- by count: that of the last written is the highest in the file
    leaf integer, -- what was written last, and is gone on with
    foreign key (id, leaf) references message (session, id)
)"""

_MESSAGES: Final = (
    """
create table message (
    id integer primary key, -- also the row of the index of words
    session text not null references session,
    parent integer check (parent < id),
    role text not null, text blob not null, name blob, channel text, recipient blob, content_type blob,
    unique (session, id),
    foreign key (session, parent) references message (session, id)
)""",
    """
create table sample (
    id integer primary key,
    session text not null references session,
    parent integer, -- the last message that the model had been shown
    ids blob not null, logprobs blob not null, prompt_tokens integer not null,
    reason text not null, channel text, prompts blob not null,
    foreign key (session, parent) references message (session, id)
)""",
    "create index sample_of_session on sample (session, id)",
)

_SINCE_4: Final = (
    "create index session_by_count on session (written)",
    """
create table draft ( -- a sample under way, piece by piece; it goes when the sample takes its place
    id integer primary key,
    session text not null references session,
    parent integer, -- the last message that was whole then
    channel text, text blob not null, -- more of the message that follows it, if that is no call
    ids blob not null, logprobs blob not null, -- more of the sample
    prompt_tokens integer, asked text, prompts blob, -- of the sample; in its first piece alone
    foreign key (session, parent) references message (session, id)
)""",
    "create index draft_of_session on draft (session, id)",
    # A turn that ended otherwise than with an answer, by the last message of it.
    "create table ending (message integer primary key references message, reason text not null)",
)

_SINCE_5: Final = (
    """
create table cut ( -- what the model is not shown; on a path, the last one holds
    id integer primary key,
    session text not null references session,
    message integer not null, -- the last message when it was decided
    first integer, within integer, outputs integer, -- the last message before each of these places
    summary blob not null, before integer not null, after integer not null,
    foreign key (session, message) references message (session, id)
)""",
    "create index cut_of_session on cut (session, id)",
)

INSERT_MESSAGE: Final = f"insert into message (session, parent, {COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)"

INSERT_SAMPLE: Final = """
insert into sample (session, parent, ids, logprobs, prompt_tokens, reason, channel, prompts)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""

NODES: Final = f"select id, parent, {COLUMNS} from message where session = ? order by id"


def prepare(database: sqlite3.Connection) -> None:
    """Bring the file to this version; raises OperationalError for a file of a newer one.

    The migration is one transaction: a program that is killed in it leaves the file as it was, and of two
    programs that begin it at once the second finds it done.
    """
    if _version(database) == VERSION:
        return
    # Tables are renamed here whose names the keys of others have to keep.
    database.execute("pragma foreign_keys = off")
    database.execute("pragma legacy_alter_table = on")
    with database:
        database.execute("begin immediate")
        version = _version(database)
        if version > VERSION:
            raise sqlite3.OperationalError("it was made by a newer gptoss-chat")
        if version == VERSION:
            return
        _migrate(database, version)
        database.execute(f"pragma user_version = {VERSION}")


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("pragma user_version").fetchone()
    return int(version)


def _migrate(database: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version, and fill them from those of an older one; 0 is an empty file."""
    if version == 4:
        for statement in _SINCE_5:
            database.execute(statement)
        return
    match version:
        case 0:
            old: tuple[str, ...] = ()
        case 1 | 2:
            old = ("session", "message", "sample")[: version + 1]
        case _:
            old = ("session",)
    for table in old:
        database.execute(f"alter table {table} rename to old_{table}")
    for statement in (_SESSION, *(_MESSAGES if version < 3 else ()), *_SINCE_4, *_SINCE_5):
        database.execute(statement)
    if old:
        # The numbers of messages tell the order in which they were written; before them there was the clock.
        leaf, order = ("leaf", "leaf, touched") if version == 3 else ("null", "touched")
        database.execute(
            "insert into session select id, model, date, instructions, touched,"
            f" row_number() over (order by {order}, rowid), {leaf} from old_session order by rowid"
        )
    if "message" in old:
        _take_over(database, "sample" in old)
    for table in reversed(old):
        database.execute(f"drop table old_{table}")
    index(database)


def _take_over(database: sqlite3.Connection, has_samples: bool) -> None:
    """Fill the tables of messages from the old tables. Rows that no store wrote are copied as they are."""
    messages = f"select {COLUMNS} from old_message where session = ? order by seq"
    samples = """
    select cast(first_message as integer), cast(ids as blob), reason, channel, prompts from old_sample
    where session = ? order by seq
    """
    for (session,) in database.execute("select id from session order by rowid").fetchall():
        path: list[int | None] = []
        for row in database.execute(messages, (session,)):
            parent = last_of(path, len(path))
            path.append(database.execute(INSERT_MESSAGE, (session, parent, *row)).lastrowid)
        database.execute("update session set leaf = ? where id = ?", (last_of(path, len(path)), session))
        for first, ids, *rest in database.execute(samples, (session,)) if has_samples else ():
            database.execute(INSERT_SAMPLE, (session, last_of(path, first), repack(ids), b"", 0, *rest))
