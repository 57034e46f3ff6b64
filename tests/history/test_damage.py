"""A damaged file is set aside under a new name, and what can be read of it goes on in a fresh one."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.events.events import Resumed, StoreRescued, Unsaved
from gptoss_tui.harmony import Channel, DeveloperPrompt, Message, Role, SystemPrompt
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.check import Check
from gptoss_tui.history.pages import RawRow, open_pages
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.store import Store
from gptoss_tui.history.stored import StoredSession

ANSWER = "<|channel|>final<|message|>4<|return|>"
PAGE = 4096
NAMES = [f"conversation-{number}" for number in range(6)]

Damage = Callable[[Path], None]


def said(name: str) -> tuple[Message, ...]:
    """A conversation with short and very long messages, and a call with its result in the middle."""
    noise = random.Random(name)
    text = " ".join(f"{name}-{noise.randrange(10**6)}" for _ in range(40))
    call = Message(Role.ASSISTANT, "print(1)", channel=Channel.ANALYSIS, recipient="python")
    return (
        *(
            Message(Role.USER, text * length) if length % 2 else Message(Role.ASSISTANT, text * length)
            for length in (1, 2, 9, 4)
        ),
        call,
        Message(Role.TOOL, text, name="python", channel=Channel.ANALYSIS),
        *(Message(Role.USER, f"{text} {number}") for number in range(6)),
        Message(Role.ASSISTANT, "It is done.", channel=Channel.FINAL),
    )


async def write(file: Path) -> None:
    store = Store(file)
    for name in NAMES:
        sampled = Sampled(1, tuple(range(900)), "stop", None, SystemPrompt(), DeveloperPrompt(), (), 9)
        await store.begin(StoredSession(name, "demo", "2026-01-01", "", said(name)), [sampled])
    await store.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("whole") / "s.sqlite3"
    asyncio.run(write(file))
    return file


@pytest.fixture
def file(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "s.sqlite3"))


def rows(file: Path) -> dict[int, tuple[Any, ...]]:
    """The messages of the file without their parents, as SQLite reads them."""
    with closing(sqlite3.connect(file)) as database:
        columns = "id, session, role, text, name, channel, recipient, content_type"
        return {row[0]: row[1:] for row in database.execute(f"select {columns} from message")}


def is_sound(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as database:
        return (
            database.execute("pragma integrity_check").fetchall() == [("ok",)]
            and database.execute("pragma foreign_key_check").fetchall() == []
        )


def overwrite(file: Path, place: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(content)


def kinds(file: Path) -> dict[str, list[int]]:
    """The pages of each kind of each table and index, as SQLite tells them."""
    found: dict[str, list[int]] = {}
    with closing(sqlite3.connect(file)) as database:
        try:
            pages = database.execute("select name || ' ' || pagetype, pageno from dbstat").fetchall()
        except sqlite3.OperationalError:
            pages = [("any", page) for page in range(1, file.stat().st_size // PAGE + 1)]
    for kind, page in pages:
        found.setdefault(kind, []).append(page)
    return found


async def rescued(file: Path, before: bytes) -> dict[int, tuple[Any, ...]]:
    """Open the damaged file, check what must hold of every rescue, and return the messages that go on."""
    store = Store(file)
    await store.check()
    last = await store.read()
    await store.close()
    (told,) = store.rescues
    assert told.aside.read_bytes() == before, "the damaged file is as it was"
    assert str(told.aside) in told.sentence and str(file) in told.sentence
    assert is_sound(file)
    after = rows(file)
    made_up = [row for row in after.values() if b"was lost: the file of conversations" in row[2]]
    assert told.messages == len(after) - len(made_up)
    assert (last is not None) == (told.conversations > 0)
    for name in {row[0] for row in after.values()}:
        read = Archive(file).read(name)
        assert (read.damage, read.elsewhere) == ("", 0)
    assert Archive(file).search("conversation") or not after
    return after


async def test_noise_in_a_page_of_any_kind_costs_no_row_of_another_page(whole: Path, file: Path) -> None:
    good = rows(whole)
    for kind, pages in sorted(kinds(whole).items()):
        page = random.choice(pages)
        shutil.copy(whole, file)
        with open_pages(whole) as (alone, _, _):
            here = {row.number for row in alone.rows_on(page, lambda count: count == 9)}
        overwrite(file, (page - 1) * PAGE, os.urandom(PAGE))
        after = await rescued(file, file.read_bytes())
        lost = good.keys() - {number for number, row in after.items() if row == good.get(number)}
        limit = 1 if kind == "message overflow" else len(here) if kind == "message leaf" else 0
        if kind != "any":
            assert len(lost) <= limit, f"{kind}, page {page}"
        assert len(good) - len(lost) > 40
        for path in file.parent.iterdir():
            path.unlink()


@pytest.mark.parametrize("length", [16, 100, PAGE])
async def test_an_overwritten_header_costs_no_message(whole: Path, file: Path, length: int) -> None:
    overwrite(file, 0, os.urandom(length))
    assert await rescued(file, file.read_bytes()) == rows(whole)
    assert Archive(file).read().session.id == NAMES[-1]
    assert [one.id for one in Archive(file).summaries()[0]] == NAMES[::-1], "in their order"


@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
async def test_a_truncated_file_is_recovered_as_far_as_it_goes(whole: Path, file: Path, share: float) -> None:
    os.truncate(file, int(whole.stat().st_size * share))
    good = rows(whole)
    after = await rescued(file, file.read_bytes())
    assert all(good[number] == row for number, row in after.items() if b"was lost" not in row[2])
    assert len(after) >= len(good) * (share - 0.4)


async def test_a_call_whose_result_is_lost_gets_another(whole: Path, file: Path) -> None:
    result = next(number for number, row in rows(whole).items() if row[1] == "tool")
    with open_pages(whole) as (alone, _, _):
        page = next(
            page
            for page in range(1, len(alone) + 1)
            if result in {row.number for row in alone.rows_on(page, lambda count: count == 9)}
        )
        lost = {row.number for row in alone.rows_on(page, lambda count: count == 9)}
    overwrite(file, (page - 1) * PAGE, os.urandom(PAGE))
    await rescued(file, file.read_bytes())
    messages = Archive(file).read(NAMES[0]).session.messages
    for number, message in enumerate(messages):
        if message.recipient:
            assert messages[number + 1].role is Role.TOOL
    assert result - 1 in lost or any("was lost" in message.text for message in messages)


async def test_it_is_told_before_the_conversation_is_taken_up(
    stage: Callable[..., Any], whole: Path, file: Path
) -> None:
    overwrite(file, 20 * PAGE, os.urandom(PAGE))
    s = stage(ANSWER, store=Store(file), resume="")
    kinds = [type(event) async for event in s.session.load()]
    assert kinds.index(StoreRescued) < kinds.index(Resumed)
    assert len(s.session.past()) > 3
    await s.session.runtime.close()


async def test_a_new_conversation_tells_it_as_well(stage: Callable[..., Any], file: Path) -> None:
    overwrite(file, 20 * PAGE, os.urandom(PAGE))
    s = stage(ANSWER, store=Store(file))
    assert StoreRescued in [type(event) async for event in s.session.load()]
    await s.session.runtime.close()


async def test_damage_met_in_mid_run_loses_nothing_that_is_in_memory(
    stage: Callable[..., Any], whole: Path, file: Path
) -> None:
    s = stage(ANSWER, ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    for page in kinds(whole).get("message leaf", range(2, 40)):
        overwrite(file, (page - 1) * PAGE, os.urandom(PAGE))
    read = await s.session.runtime.store.read(NAMES[0])
    events = await s.play("two")
    assert not any(isinstance(event, Unsaved) for event in events)
    assert [type(event) for event in events].count(StoreRescued) == 1
    assert read is None or len(read.messages) < len(said(NAMES[0]))
    assert list(Archive(file).read(s.session.id).session.messages) == s.session.conversation.messages
    await s.play("three")
    await s.session.runtime.close()
    assert is_sound(file)
    assert list(Archive(file).read().session.messages) == s.session.conversation.messages


async def test_what_the_check_finds_late_is_mended_without_a_word_said(
    file: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    """The check of a large file goes on behind; what it finds is set aside though nothing is written."""
    overwrite(file, (file.stat().st_size // PAGE - 1) * PAGE, os.urandom(PAGE))
    monkeypatch.setattr("gptoss_tui.history.store._CHECK_S", 0.0)
    go, run = asyncio.Event(), Check.run
    loop = asyncio.get_running_loop()

    def late(check: Check) -> None:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
        run(check)

    monkeypatch.setattr(Check, "run", late)
    store = Store(file)
    await store.check()
    assert not store.rescues
    go.set()
    await until(lambda: store.rescues)
    await store.close()
    assert is_sound(file)


@pytest.fixture
def killed(file: Path) -> Iterator[Path]:
    """The file and its log as a program leaves them that is killed after a commit."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma journal_mode = wal")
        for number in range(30):
            with database:
                database.execute(
                    "insert into message select max(id) + 1, ?, max(id), 'user', ?, null, null, null, null"
                    " from message where session = ?",
                    (NAMES[-1], f"late {number} {'x' * 3000}".encode(), NAMES[-1]),
                )
                database.execute(
                    "update session set leaf = (select max(id) from message), written = written + 1"
                    " where id = ?",
                    (NAMES[-1],),
                )
        copy = file.with_name("killed.sqlite3")
        shutil.copy(file, copy)
        shutil.copy(f"{file}-wal", f"{copy}-wal")
    yield copy


def late(file: Path) -> int:
    return sum(row[2].startswith(b"late ") for row in rows(file).values())


async def opened(file: Path) -> Store:
    store = Store(file)
    await store.check()
    await store.close()
    return store


async def test_a_log_that_was_left_is_no_damage(killed: Path) -> None:
    store = await opened(killed)
    assert not store.rescues
    assert late(killed) == 30
    assert not Path(f"{killed}-wal").exists()
    assert not Path(f"{killed}-users").exists()


async def test_a_missing_log_leaves_what_the_file_has(killed: Path, whole: Path) -> None:
    Path(f"{killed}-wal").unlink()
    store = await opened(killed)
    assert not store.rescues
    assert rows(killed) == rows(whole)


@pytest.mark.parametrize("place", [0, 60_000])
async def test_noise_in_the_log_costs_only_the_commits_it_lies_on(killed: Path, place: int) -> None:
    log = Path(f"{killed}-wal")
    overwrite(log, place, os.urandom(PAGE))
    before = log.read_bytes()
    store = await opened(killed)
    (told,) = store.rescues
    assert Path(f"{told.aside}-wal").read_bytes() == before
    assert late(killed) >= 27
    assert is_sound(killed)


async def test_the_log_of_another_file_is_not_applied(killed: Path, whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "s.sqlite3"
    store = Store(other)
    for number in range(9):
        message = Message(Role.USER, f"foreign {number} {'x' * 3000}")
        await store.begin(StoredSession(f"foreign-{number}", "demo", None, "", (message,)))
    shutil.copy(f"{other}-wal", f"{killed}-wal")
    await store.close()
    told = await opened(killed)
    assert len(told.rescues) == 1
    assert rows(killed) == rows(whole)
    assert is_sound(killed)


async def test_a_log_that_is_no_log_is_kept(killed: Path, whole: Path) -> None:
    Path(f"{killed}-wal").write_bytes(b"Dear diary, " * 2000)
    store = await opened(killed)
    (told,) = store.rescues
    assert Path(f"{told.aside}-wal").read_bytes().startswith(b"Dear diary")
    assert rows(killed) == rows(whole)


async def test_of_several_programs_that_find_it_one_sets_it_aside(file: Path) -> None:
    overwrite(file, 20 * PAGE, os.urandom(PAGE))
    stores = [Store(file) for _ in range(3)]
    found = await asyncio.gather(*(store.read() for store in stores))
    assert all(one is not None and one.id == NAMES[-1] for one in found)
    assert sum(len(store.rescues) for store in stores) == 1
    for store in stores:
        await store.close()
    assert is_sound(file)


# Each 100 steps of SQLite's machine are counted; at the given count the program is killed.
CHILD = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from gptoss_tui.history.store import Store

connect, count, last = sqlite3.connect, 0, int(sys.argv[2])

def step():
    global count
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0

def watched(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_progress_handler(step, 100)
    return connection

sqlite3.connect = watched
link = os.link
os.link = lambda *names: (link(*names), last == -1 and os.kill(os.getpid(), signal.SIGKILL))
asyncio.run(Store(Path(sys.argv[1])).check())
print(count)
"""


def test_killed_in_the_middle_of_a_rescue_it_has_lost_nothing(whole: Path, file: Path) -> None:
    overwrite(file, 0, os.urandom(100))
    command = [sys.executable, "-c", CHILD]
    copy = shutil.copy(file, file.with_name("measured.sqlite3"))
    measured = subprocess.run([*command, copy, "0"], stdout=subprocess.PIPE, text=True, check=True)
    steps = int(measured.stdout)
    assert steps > 50
    for place in (random.randrange(1, steps), -1):
        copy = Path(shutil.copy(file, file.with_name(f"{place}.sqlite3")))
        program = subprocess.run([*command, str(copy), str(place)], check=False)
        assert program.returncode == -signal.SIGKILL
        asyncio.run(opened(copy))
        assert rows(copy) == rows(whole)
        assert is_sound(copy)


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | st.integers(0, 30_000).map(bytes)
    | st.integers(0, 30_000).map(lambda count: "ä" * count)
)
TABLE = st.dictionaries(
    st.integers(-(2**63), 2**63 - 1), st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=20
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=TABLE, size=st.sampled_from([512, 1024, 4096, 65536]), has_log=st.booleans())
def test_the_pages_give_the_rows_that_sqlite_gives(
    tmp_path: Path, table: dict[int, tuple[Any, ...]], size: int, has_log: bool
) -> None:
    file = tmp_path / "any.sqlite3"
    for path in tmp_path.iterdir():
        path.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"pragma page_size = {size}")
        if has_log:
            database.execute("pragma journal_mode = wal")
        database.execute("create table one (a, b, c)")
        database.execute("create table two (a, b, c, d, primary key (a)) without rowid")
        with database:
            database.executemany(
                "insert into one (rowid, a, b, c) values (?, ?, ?, ?)",
                [(number, *values) for number, values in table.items()],
            )
            database.executemany(
                "insert into two values (?, ?, ?, ?)",
                [(number, *values) for number, values in table.items()],
            )
        expected = {RawRow(row[0], row[1:]) for row in database.execute("select rowid, * from one")}
        expected |= {RawRow(None, row) for row in database.execute("select * from two")}
        with open_pages(file) as (_, logged, log):
            assert log.damage == ""
            found = list(logged.rows(lambda count: count in (3, 4)))
    assert set(found) == expected
    assert len(found) == len(expected)
