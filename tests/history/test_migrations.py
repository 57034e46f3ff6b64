"""Files of older versions: the archive reads them as they are, the store migrates them whole."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.harmony import Channel, DeveloperPrompt, Effort, Function, Message, Role, SystemPrompt
from gptoss_tui.history.archive import Archive, Recovered
from gptoss_tui.history.cut import Cut
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.schema import VERSION
from gptoss_tui.history.store import Store
from gptoss_tui.history.stored import StoredSession

STORES = Path(__file__).parent / "stores"
CONTENT: list[dict[str, Any]] = json.loads((STORES / "content.json").read_text())
SYSTEM = SystemPrompt(Effort.HIGH, "2026-11-01", python=True)
DEVELOPER = DeveloperPrompt(
    "Be brief. \udcff", (Function("get_weather", "The weather.", {"type": "object"}),)
)


@pytest.fixture(params=[1, 2, 3])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old(version: int, tmp_path: Path) -> Path:
    """A copy of a file that the code of an older version wrote."""
    return Path(shutil.copy(STORES / f"{version}.sqlite3", tmp_path / "s.sqlite3"))


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("pragma user_version").fetchone()[0])


def touched(file: Path) -> dict[str, float]:
    with closing(sqlite3.connect(file)) as database:
        return dict(database.execute("select id, touched from session"))


def session_of(content: dict[str, Any]) -> StoredSession:
    messages = [
        Message(**message | {"role": Role(message["role"]), "channel": Channel(message["channel"])})
        if "channel" in message
        else Message(**message | {"role": Role(message["role"])})
        for message in content["messages"]
    ]
    return StoredSession(
        content["id"], content["model"], content["date"], content["instructions"], tuple(messages)
    )


def samples_of(content: dict[str, Any], version: int) -> tuple[Sampled, ...]:
    return tuple(
        Sampled(
            sample["first"],
            tuple(sample["ids"]),
            sample["reason"],
            Channel(sample["channel"]) if sample["channel"] else None,
            SYSTEM,
            DEVELOPER,
        )
        for sample in content["samples"]
        if version >= 2
    )


def looked_back(file: Path) -> list[Recovered]:
    return [Archive(file).read(session["id"]) for session in CONTENT]


def written(version: int) -> list[Recovered]:
    return [Recovered(session_of(session), samples_of(session, version)) for session in CONTENT]


def test_looking_back_leaves_an_old_file_as_it_is(old: Path, version: int) -> None:
    before = old.read_bytes()
    assert looked_back(old) == written(version)
    summaries, damage = Archive(old).summaries()
    assert damage == ""
    assert [(summary.id, summary.messages, summary.question) for summary in summaries] == [
        ("261101-aaaaaa", 8, "What is the weather in Zürich?"),
        ("261103-cccccc", 4, ""),
        ("261102-bbbbbb", 0, ""),
    ]
    assert {summary.id: summary.touched for summary in summaries} == touched(old)
    assert (old.read_bytes(), version_of(old)) == (before, version)


async def test_an_old_file_is_taken_over_whole(old: Path, version: int) -> None:
    times, before = touched(old), Archive(old).summaries()
    store = Store(old)
    for content in CONTENT:
        stored = await store.read(content["id"])
        assert stored == session_of(content)
        nodes = await store.nodes(content["id"])
        assert tuple(nodes) == stored.path
        assert [node.parent for node in nodes] == [None, *(node.id for node in nodes)][: len(nodes)]
    assert version_of(old) == VERSION
    assert touched(old) == times
    assert looked_back(old) == written(version)
    assert Archive(old).summaries() == before

    last = await store.read()
    assert last is not None
    assert last.id == "261101-aaaaaa"
    more = Message(Role.USER, "Thanks.")
    sampled = Sampled(9, (1, 2), "stop", None, SYSTEM, DEVELOPER, (-0.5, -2.0), 321)
    await store.append(last.id, last.path, [more], [sampled])
    empty = await store.read("261102-bbbbbb")
    assert empty is not None
    await store.append(empty.id, empty.path, [more])
    await store.close()
    after = Archive(old).read(last.id)
    assert after.session.messages == (*last.messages, more)
    assert after.sampled == (*samples_of(CONTENT[0], version), sampled)
    assert Archive(old).read(empty.id).session.messages == (more,)


async def test_all_words_of_an_old_file_are_found(old: Path) -> None:
    store = Store(old)
    await store.read()
    for words in (
        "weather zurich",
        "function",
        "drizzle sky",
        "Schirm",
        "東京",
        "晴れ",
        "print 6",
        "42",
        "channel",
    ):
        assert Archive(old).search(words), words
    await store.close()


async def test_a_file_that_was_taken_over_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite3"
    tables = []
    for file in (old, new):
        store = Store(file)
        await store.read()
        await store.close()
        with closing(sqlite3.connect(file)) as database:
            tables.append(
                database.execute("select type, name, sql from sqlite_master order by name").fetchall()
            )
            assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
            assert database.execute("pragma foreign_key_check").fetchall() == []
    assert tables[0] == tables[1]


async def test_ids_that_no_store_wrote_stay(tmp_path: Path) -> None:
    file = Path(shutil.copy(STORES / "2.sqlite3", tmp_path / "s.sqlite3"))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("update sample set ids = '5,-1,1180591620717411303424' where first_message = 1")
        database.execute("update sample set ids = x'2c78ff' where first_message = 7")
    before = looked_back(file)
    assert before[0].sampled[0].ids == (5, -1, 2**70)
    assert before[0].damage.startswith("1 of the samples cannot be read")
    store = Store(file)
    await store.read()
    await store.close()
    assert [conversation.sampled for conversation in looked_back(file)] == [
        conversation.sampled for conversation in before
    ]
    assert looked_back(file)[0].damage == before[0].damage


@pytest.mark.parametrize("version", [1, 2])
async def test_a_list_with_a_gap_is_one_path(old: Path) -> None:
    """Version 1 left such a list when an older file had been put in the place of its file."""
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("delete from message where session = '261101-aaaaaa' and seq in (0, 4)")
    before = Archive(old).read("261101-aaaaaa")
    assert len(before.session.messages) == 6
    store = Store(old)
    assert await store.read("261101-aaaaaa") == before.session
    assert Archive(old).read("261101-aaaaaa").session == before.session
    await store.close()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of version 2 whose migration fills more than SQLite's cache: a part reaches the log early."""
    return enlarged(2, tmp_path / "large.sqlite3")


def enlarged(version: int, file: Path) -> Path:
    """A file of that version with more conversations."""
    shutil.copy(STORES / f"{version}.sqlite3", file)
    if version == 3:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(
                "with recursive n (n) as (select 0 union all select n + 1 from n where n < 299)"
                " insert into session"
                " select 'many-' || n, 'demo', null, cast(hex(randomblob(4500)) as blob), n, null from n"
            )
        return file
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "with recursive n (n) as (select 0 union all select n + 1 from n where n < 29)"
            " insert into session select 'many-' || n, 'demo', null, x'', n from n"
        )
        database.execute(
            "with recursive n (n) as (select 0 union all select n + 1 from n where n < 99)"
            " insert into message select id, n, 'user',"
            " cast(id || ' says ' || n || ' ' || hex(randomblob(600)) as blob), null, null, null, null"
            " from session, n where id like 'many-%'"
        )
        database.execute(
            "insert into sample select session, seq, seq, x'312c322c33', 'stop', null,"
            " (select prompts from sample limit 1) from message where session like 'many-%' and seq % 10 = 0"
        )
    return file


def everything(file: Path) -> list[Recovered]:
    archive = Archive(file)
    return [archive.read(summary.id) for summary in archive.summaries()[0]]


# Each 1,000 steps of SQLite's machine are counted; at the given count the program is killed.
CHILD = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from gptoss_tui.history.store import Store

connect, count, last = sqlite3.connect, 0, int(sys.argv[2])

def watched(*arguments, **options):
    def step():
        global count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    connection = connect(*arguments, **options)
    connection.set_progress_handler(step, 1000)
    return connection

sqlite3.connect = watched
asyncio.run(Store(Path(sys.argv[1])).read())
print(count)
"""


def take_over(file: Path, killed_at: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(file), str(killed_at)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)


def copy_of(file: Path, name: str) -> Path:
    return Path(shutil.copy(file, file.with_name(name)))


@pytest.mark.parametrize("version", [2, 3])
def test_killed_in_the_middle_it_has_lost_nothing(tmp_path: Path, version: int) -> None:
    large = enlarged(version, tmp_path / "large.sqlite3")
    whole = everything(large)
    assert len(whole) > 30
    steps = int(take_over(copy_of(large, "measured.sqlite3")).stdout)
    assert steps > 10
    chosen = [1, *random.sample(range(2, steps - 1), 2)]
    for place in chosen:
        file = copy_of(large, f"{place}.sqlite3")
        assert take_over(file, place).returncode == -signal.SIGKILL
        assert everything(file) == whole, f"killed at {place} of {steps}"
        asyncio.run(Store(file).read())
        assert version_of(file) == VERSION
        assert everything(file) == whole, f"killed at {place} of {steps}"
        with closing(sqlite3.connect(file)) as database:
            assert database.execute("pragma integrity_check").fetchall() == [("ok",)]


async def test_two_programs_at_once(large: Path) -> None:
    whole = everything(large)
    stores: Sequence[Store] = [Store(large) for _ in range(3)]
    await asyncio.gather(*(store.read("many-1") for store in stores))
    assert everything(large) == whole
    for number, store in enumerate(stores):
        stored = await store.read("many-2")
        assert stored is not None
        assert len(stored.messages) == 100 + number
        await store.append("many-2", stored.path, [Message(Role.USER, "more")])
        await store.close()
    assert len(Archive(large).read("many-2").session.messages) == 103


@pytest.mark.parametrize("version", [2, 3])
async def test_a_damaged_old_file_is_set_aside_as_it_is_and_what_can_be_read_goes_on(
    tmp_path: Path, version: int
) -> None:
    large = enlarged(version, tmp_path / "large.sqlite3")
    content = bytearray(large.read_bytes())
    before = {one.session.id: one for one in everything(large)}
    place = content.index(b"many-20 says 50" if version == 2 else b"many-20") // 4096 * 4096
    content[place : place + 4096] = b"\xff" * 4096
    large.write_bytes(content)
    store = Store(large)
    last = await store.read()
    assert last is not None and last.id == "261101-aaaaaa"
    await store.close()
    (aside,) = large.parent.glob("*.damaged-*")
    assert aside.read_bytes() == content
    (told,) = store.rescues
    assert (told.file, told.aside) == (large, aside)
    assert str(aside) in told.sentence and str(large) in told.sentence
    assert version_of(large) == VERSION
    after = {one.session.id: one for one in everything(large)}
    assert after["261101-aaaaaa"] == written(version)[0]
    changed = {name for name, one in before.items() if after.get(name) != one}
    if version == 2:
        assert changed == {"many-20"} and 80 < len(after["many-20"].session.messages) < 100
        assert after["many-20"].session.messages[-1] == before["many-20"].session.messages[-1]
    else:
        assert len(changed) < 5


async def test_a_file_of_version_4_keeps_cuts_from_now_on(tmp_path: Path) -> None:
    """Version 4 had all but the table of what the model is not shown."""
    file = tmp_path / "s.sqlite3"
    store = Store(file)
    messages = (Message(Role.USER, "one"), Message(Role.ASSISTANT, "1", channel=Channel.FINAL))
    await store.begin(StoredSession("a", "m", None, "", messages))
    await store.close()
    with closing(sqlite3.connect(file)) as database:
        database.executescript("drop table cut; pragma user_version = 4")
    assert Archive(file).read("a").session.messages == messages
    assert version_of(file) == 4
    store = Store(file)
    stored = await store.read("a")
    assert stored is not None and stored.messages == messages
    cut = Cut(first=2, outputs=1, summary="Counted. \udcff", at=2, before=70, after=50)
    await store.append("a", stored.path, [Message(Role.USER, "two")], cuts=[cut])
    await store.close()
    assert version_of(file) == VERSION
    assert Archive(file).read("a").session.cuts == (cut,)
