"""Stored conversations as they are read: in files of every version, and past rows that no store wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from ..harmony.message import Message
from .cut import CUTS, Cut
from .draft import PIECES, drafted
from .node import COLUMNS, ODD, Node, Row, node_of, path_of, unpack
from .sampled import Sampled
from .schema import NODES, VERSION

T = TypeVar("T")

UNFINISHED: Final = "unfinished"
"""How a turn ended with which the program ended."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A stored conversation: its date and instructions, and its messages from the root to the leaf.

    `path` are the nodes of the messages, if the store has read the session. The model was, or is, `writing`
    one more message, whose sample is `drafted`. `endings` tell how turns ended otherwise than with an answer,
    by the number of messages up to there. `odd` are the places of messages that are left out, for no store
    wrote them and they cannot be read, again by the number of messages before each. `cuts` say what the model
    is not shown of the messages; the last one holds.
    """

    id: str
    model: str
    date: str | None
    instructions: str
    messages: tuple[Message, ...] = ()
    path: tuple[Node, ...] = field(default=(), compare=False, repr=False)
    endings: Mapping[int, str] = field(default_factory=dict)
    writing: tuple[Message, ...] = ()
    drafted: Sampled | None = None
    odd: tuple[int, ...] = ()
    cuts: tuple[Cut, ...] = ()

    def with_draft(self) -> StoredSession:
        """The session with what the model was writing as its last message, and that as unfinished."""
        if not (self.writing or self.drafted):
            return self
        messages = (*self.messages, *self.writing)
        endings = {**self.endings, len(messages): UNFINISHED}
        return replace(self, messages=messages, endings=endings, writing=())

    @property
    def gaps(self) -> str:
        """What is left out, in words; "" for nothing."""
        if not self.odd:
            return ""
        count = "1 message is" if len(self.odd) == 1 else f"{len(self.odd)} messages are"
        return f"{count} left out after message {self.odd[0]}, in a form that no gptoss-chat wrote"


@dataclass(frozen=True, slots=True)
class Form:
    """The SQL to read files of a version.

    The leaf of a session, and the order of sessions by what was written last; the outline of a session, its
    nodes, samples, endings, the pieces of its draft, and its cuts, of which old files have none.
    """

    leaf: str
    order: str
    outline: str
    nodes: str
    samples: str = ""
    endings: str = ""
    pieces: str = ""
    cuts: str = ""


_OUTLINE: Final = """
with recursive path (id, parent, role) as (
    select id, parent, role from message where id = :leaf
    union all
    select above.id, above.parent, above.role from message as above join path on above.id = path.parent
    where above.id < path.id
)
select count(*), (select text from message where id = (select min(id) from path where role = 'user'))
from path
"""

_SAMPLES: Final = """
select parent, ids, logprobs, prompt_tokens, reason, channel, prompts from sample
where session = ? order by id
"""

_VERSION_4: Final = Form(
    "leaf",
    "written desc",
    _OUTLINE,
    NODES,
    _SAMPLES,
    "select message, reason from ending where message in (select id from message where session = ?)",
    PIECES,
)

TREE: Final = replace(_VERSION_4, cuts=CUTS)

_VERSION_3: Final = Form("leaf", "leaf desc, touched desc, rowid desc", _OUTLINE, NODES, _SAMPLES)

_LIST: Final = Form(
    leaf="null",
    order="touched desc, rowid desc",
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
"""A tree with one path, whose leaf is the last message."""

FORMS: Final = {
    1: Form(_LIST.leaf, _LIST.order, _LIST.outline, _LIST.nodes),
    2: _LIST,
    3: _VERSION_3,
    4: _VERSION_4,
    VERSION: TREE,
}


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """Values that were read from rows; `odd` counts the rows left out, and `error` is what ended them."""

    values: list[T]
    odd: int = 0
    error: sqlite3.Error | None = None


@dataclass(frozen=True, slots=True)
class PathReading:
    """A session with its path, as far as it can be read.

    `places` are the numbers of the messages up to each node, and `elsewhere` are the nodes on other paths.
    `error` is what ended a part of it, if it did, and `is_cut` is true if that was the path.
    """

    session: StoredSession
    places: Mapping[int | None, int]
    elsewhere: frozenset[int]
    error: sqlite3.Error | None = None
    is_cut: bool = False


def connect(file: Path, *options: str, timeout: float) -> sqlite3.Connection:
    """A connection on which texts that are not UTF-8 are odd, and no error; raises sqlite3.Error."""
    uri = f"{file.absolute().as_uri()}?{'&'.join(options)}"
    database = sqlite3.connect(uri, uri=True, timeout=timeout, check_same_thread=False)
    database.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return database


def rows_of(database: sqlite3.Connection, query: str, *values: object) -> Iterator[Any]:
    """The rows of the query, which does not begin before the first row is asked for; none for no query."""
    if query:
        yield from database.execute(query, values)


def read_rows(rows: Iterable[Any], read: Callable[[Any], T]) -> Reading[T]:
    """What `read` makes of the rows, without those that it raises one of ODD for."""
    values: list[T] = []
    odd = 0
    try:
        for row in rows:
            try:
                values.append(read(row))
            except ODD:
                odd += 1
    except sqlite3.Error as error:
        return Reading(values, odd, error)
    return Reading(values, odd)


def read_path(database: sqlite3.Connection, form: Form, name: str | None) -> PathReading | None:
    """A session with its path, by default the last written that can be read; None if there is none.

    Raises sqlite3.Error where the sessions themselves cannot be read.
    """
    which, values = ("where id = ?", (name,)) if name is not None else (f"order by {form.order}", ())
    query = f"select id, model, date, instructions, {form.leaf} from session {which}"
    for row in database.execute(query, values).fetchall():
        try:
            session = StoredSession(row[0], row[1], row[2], unpack(row[3]))
        except ODD:
            continue
        return _read_path(database, form, session, row[4])
    return None


def read_samples(database: sqlite3.Connection, form: Form, path: PathReading) -> Reading[Sampled]:
    """The samples on the path."""
    places, last = path.places, len(path.session.path)

    def read(row: tuple[Any, ...]) -> Sampled:
        return Sampled.of(places.get(row[0], last) if row[0] else 0, row[1:])

    rows = rows_of(database, form.samples, path.session.id)
    return read_rows((row for row in rows if row[0] not in path.elsewhere), read)


def _read_path(
    database: sqlite3.Connection, form: Form, session: StoredSession, leaf: int | None
) -> PathReading:
    rows: Reading[Row] = read_rows(rows_of(database, form.nodes, session.id), tuple)
    path: list[Node] = []
    places: dict[int | None, int] = {}
    chosen = path_of(rows.values, leaf)
    odd: list[int] = []
    for row in chosen:
        try:
            path.append(node_of(row))
        except ODD:
            odd.append(len(path))
        places[row[0]] = len(path)  # an odd row has the place of the message before it
    ended = read_rows(
        rows_of(database, form.endings, session.id), lambda row: (places.get(row[0], 0), str(row[1]))
    )
    endings = {place: reason for place, reason in ended.values if place}
    last = chosen[-1][0] if chosen else None
    pieces: Reading[Any] = read_rows(rows_of(database, form.pieces, session.id), tuple)
    cuts: Reading[Cut] = read_rows(rows_of(database, form.cuts, session.id), lambda row: Cut.of(row, places))
    writing, sampled = drafted(pieces.values, last, places)
    found = replace(
        session,
        messages=tuple(node.message for node in path),
        path=tuple(path),
        endings=endings,
        writing=tuple(writing),
        drafted=sampled,
        odd=tuple(odd),
        cuts=tuple(cuts.values),
    )
    others = frozenset(row[0] for row in rows.values) - {row[0] for row in chosen}
    error = rows.error or ended.error or pieces.error or cuts.error
    return PathReading(found, places, others, error, rows.error is not None and leaf not in places)
