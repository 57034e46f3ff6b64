"""Conversations on disk: every message that was shown is there again, exactly, whatever happened."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.events.events import (
    Completed,
    Created,
    OutputDelta,
    ReasoningDelta,
    Resumed,
    ToolCall,
    Unsaved,
)
from gptoss_tui.harmony import (
    Channel,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    Role,
    SystemPrompt,
)
from gptoss_tui.history.archive import Archive, ArchiveError, Recovered
from gptoss_tui.history.node import Node
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.schema import VERSION
from gptoss_tui.history.store import Store, StoreError, new_id
from gptoss_tui.history.stored import StoredSession

ANSWER = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"
CALL = " to=functions.echo<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
ANY_TEXT = st.text(st.characters(), max_size=20)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from([Role.USER, Role.ASSISTANT, Role.TOOL]),
        ANY_TEXT,
        name=st.none() | ANY_TEXT,
        channel=st.none() | st.sampled_from(Channel),
        recipient=st.none() | ANY_TEXT,
        content_type=st.none() | ANY_TEXT,
    ),
    max_size=5,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES)
async def test_whatever_was_said_comes_back_exactly(tmp_path: Path, messages: list[Message]) -> None:
    store = Store(tmp_path / "s.sqlite3")
    session = StoredSession(new_id(), "demo", "2026-01-01", "be \udcff brief")
    await store.begin(session)
    await store.append(session.id, [], messages)
    assert await store.read(session.id) == replace(session, messages=tuple(messages))
    await store.close()


async def test_a_conversation_goes_on_where_it_was_left(
    stage: Callable[..., Any], tmp_path: Path, echo: Callable[..., Any]
) -> None:
    file = tmp_path / "s.sqlite3"
    first = stage(ANSWER, CALL, ANSWER, tools=[echo()], store=Store(file))
    await first.play("my name is Ada")
    await first.play("use the tool")
    left = list(first.session.conversation.messages)
    await first.session.runtime.close()

    again = stage(ANSWER, tools=[echo()], store=Store(file))
    await again.session.resume(first.session.id)
    assert again.session.conversation.messages == left
    turns = again.session.past()
    assert [question for question, _ in turns] == ["my name is Ada", "use the tool"]
    assert [type(event) for event in turns[0][1]] == [ReasoningDelta, OutputDelta]
    assert any(isinstance(event, ToolCall) for event in turns[1][1])
    events = await again.play("who am I?")
    assert isinstance(events[-1], Completed)
    assert "my name is Ada" in again.engine.prompts[0]
    await again.session.runtime.close()

    last = stage(store=Store(file), resume="")
    loaded = [event async for event in last.session.load()]
    assert loaded[0] == Resumed(first.session.id, 3)
    assert len(last.session.conversation.messages) == len(left) + 3


async def test_a_message_is_on_disk_before_it_is_shown(stage: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    s = stage(ANSWER, store=Store(file))
    await s.load()
    async for event in s.session.send("2+2?"):
        count = sqlite3.connect(file).execute("select count(*) from message").fetchone()[0]
        if isinstance(event, Created):
            assert count == 1
        elif isinstance(event, OutputDelta):
            assert count == 2, "the reasoning is whole"
        elif isinstance(event, Completed):
            assert count == 3


async def test_a_call_that_was_under_way_gets_a_result(stage: Callable[..., Any], tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite3")
    call = Message(Role.ASSISTANT, "1", channel=Channel.ANALYSIS, recipient="python", content_type="code")
    await store.begin(StoredSession("s", "demo", None, ""))
    await store.append("s", [], [Message(Role.USER, "go"), call])
    s = stage(store=store)
    await s.session.resume("s")
    reply = s.session.conversation.messages[-1]
    assert (reply.role, reply.name, reply.channel) == (Role.TOOL, "python", Channel.ANALYSIS)


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "s.sqlite3")
    await store.begin(StoredSession("s", "demo", None, ""))
    for file in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    await store.close()


async def test_a_damaged_file_is_moved_aside_and_the_chat_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    file.write_bytes(b"not a database at all" * 100)
    store = Store(file)
    await store.begin(StoredSession("s", "demo", None, ""))
    (aside,) = tmp_path.glob("s.sqlite3.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")
    assert (await store.read("s")) == StoredSession("s", "demo", None, "")
    await store.close()


async def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    with sqlite3.connect(file) as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(StoreError, match="newer gptoss-chat"):
        await Store(file).read()


async def test_a_store_that_fails_does_not_stop_the_chat(stage: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    s = stage(ANSWER, store=Store(tmp_path / "file" / "s.sqlite3"))
    events = await s.play("2+2?")
    assert any(isinstance(event, Unsaved) for event in events)
    assert isinstance(events[-1], Completed)


async def test_resuming_nothing_says_so(stage: Callable[..., Any], tmp_path: Path) -> None:
    s = stage(store=Store(tmp_path / "s.sqlite3"))
    with pytest.raises(AgentError, match="no conversation to continue"):
        await s.session.resume()
    with pytest.raises(AgentError, match="no conversation named x"):
        await s.session.resume("x")


async def test_nothing_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    script = """
import asyncio, sys
from pathlib import Path
from gptoss_tui.history.store import Store
from gptoss_tui.history.stored import StoredSession
from gptoss_tui.harmony import Message, Role

async def main():
    store = Store(Path(sys.argv[1]))
    await store.begin(StoredSession("s", "demo", None, ""))
    path = []
    for n in range(10_000):
        path += await store.append("s", path, [Message(Role.USER, str(n))])
        print(n, flush=True)

asyncio.run(main())
"""
    program = subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    for _ in range(20):
        shown = int(program.stdout.readline())
    program.kill()
    program.wait()
    session = await Store(file).read()
    assert session is not None
    assert [m.text for m in session.messages[: shown + 1]] == [str(n) for n in range(shown + 1)]


async def test_a_loss_of_power_takes_nothing_that_was_committed(
    stage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every commit reaches the disk, for which a WAL needs synchronous = FULL, which is 2."""
    connect, connections = sqlite3.connect, list[sqlite3.Connection]()

    def connect_and_collect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connections.append(connect(*arguments, **options))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_and_collect)
    s = stage(ANSWER, store=Store(tmp_path / "s.sqlite3"))
    await s.play("2 + 2?")
    assert {connection.execute("pragma synchronous").fetchone() for connection in connections} == {(2,)}
    await s.session.runtime.close()


async def test_closing_in_the_middle_of_an_answer_keeps_it(stage: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    s = stage("<|channel|>final<|message|>one two three four<|return|>", store=Store(file), pause=0.01)
    shown = ""

    async def listen() -> None:
        nonlocal shown
        async for event in s.session.send("count"):
            if isinstance(event, OutputDelta):
                shown += event.delta

    listening = asyncio.create_task(listen())
    while len(shown) < 5:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await s.session.runtime.close()
    await listening
    stored = await Store(file).read()
    assert stored is not None
    assert stored.messages[-1].text == shown


FUNCTIONS = st.builds(Function, ANY_TEXT, ANY_TEXT, st.none() | st.just({"type": "object"}))
SAMPLES = st.lists(
    st.builds(
        Sampled,
        st.integers(0, 9),
        st.lists(st.integers(-5, 2**70)).map(tuple),
        st.sampled_from(["stop", "length", ""]),
        st.none() | st.sampled_from(Channel),
        st.builds(SystemPrompt, st.sampled_from(Effort), st.none() | ANY_TEXT, st.booleans(), st.booleans()),
        st.builds(
            DeveloperPrompt,
            ANY_TEXT,
            st.lists(
                st.builds(Function, ANY_TEXT, ANY_TEXT, st.none() | st.just({"type": "object"})), max_size=2
            ).map(tuple),
        ),
    ),
    max_size=3,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, sampled=SAMPLES)
async def test_the_archive_gives_what_was_written_and_writes_nothing(
    tmp_path: Path, messages: list[Message], sampled: list[Sampled]
) -> None:
    store = Store(tmp_path / "s.sqlite3")
    session = StoredSession(new_id(), "demo", "2026-01-01", "be brief")
    await store.begin(session)
    sampled = [replace(sample, first=min(sample.first, len(messages))) for sample in sampled]
    path = await store.append(session.id, [], messages, sampled[:1])
    await store.append(session.id, path, [], sampled[1:])
    await store.close()
    before = store.file.read_bytes()
    recovered = Archive(store.file).read(session.id)
    assert recovered == Recovered(replace(session, messages=tuple(messages)), tuple(sampled))
    assert store.file.read_bytes() == before


async def test_what_the_model_sampled_is_kept(
    stage: Callable[..., Any], tmp_path: Path, tokenizer: Any
) -> None:
    """Every sample of a turn as it came, malformed or not, with the number of messages before it."""
    file = tmp_path / "s.sqlite3"
    malformed = "<|channel|>comment to=functions.echo json<|message|>{}<|call|>"
    s = stage(malformed, ANSWER, store=Store(file))
    await s.play("go")
    recovered = Archive(file).read()
    written = [tokenizer.decode(list(sample.ids)) for sample in recovered.sampled]
    assert written == [malformed, ANSWER]
    assert [sample.first for sample in recovered.sampled] == [1, 3]
    assert [sample.reason for sample in recovered.sampled] == ["stop", "stop"]
    assert recovered.sampled[0].developer == s.session.conversation.developer


VERSION_1 = """
create table session (
    id text primary key, model text not null, date text, instructions blob not null, touched real not null
);
create table message (
    session text not null references session, seq integer not null,
    role text not null, text blob not null, name blob, channel text, recipient blob, content_type blob,
    primary key (session, seq)
) without rowid;
insert into session values ('old', 'demo', '2026-01-01', x'6265', 1.5);
insert into message values ('old', 0, 'user', x'6869', null, null, null, null);
insert into message values ('old', 1, 'assistant', x'796573', null, 'final', null, null);
pragma user_version = 1;
"""
OLD = StoredSession(
    "old",
    "demo",
    "2026-01-01",
    "be",
    (Message(Role.USER, "hi"), Message(Role.ASSISTANT, "yes", channel=Channel.FINAL)),
)


async def test_a_file_of_version_1_goes_on_in_place(stage: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    with sqlite3.connect(file) as database:
        database.executescript(VERSION_1)
    assert Archive(file).read() == Recovered(OLD), "looking does not need the new version"
    s = stage(ANSWER, store=Store(file))
    await s.session.resume("old")
    await s.play("more")
    recovered = Archive(file).read("old")
    assert recovered.session.messages[:2] == OLD.messages
    assert len(recovered.session.messages) == 5
    assert [sample.first for sample in recovered.sampled] == [3]
    assert sqlite3.connect(file).execute("pragma user_version").fetchone() == (VERSION,)


async def test_the_archive_goes_as_far_as_it_can(tmp_path: Path) -> None:
    """A page in the middle of the file is overwritten: the part before it is read, and nothing is moved."""
    store = Store(tmp_path / "s.sqlite3")
    await store.begin(StoredSession("s", "demo", None, ""))
    messages = [Message(Role.USER, f"{n} " + "x" * 3000) for n in range(100)]
    path: list[Node] = []
    for message in messages:
        path += await store.append("s", path, [message])
    await store.close()
    content = bytearray(store.file.read_bytes())
    place = content.index(b"60 xxx") // 4096 * 4096
    content[place : place + 4096] = b"\xff" * 4096
    store.file.write_bytes(content)
    recovered = Archive(store.file).read("s")
    assert 30 < len(recovered.session.messages) <= 60
    assert recovered.session.messages == tuple(messages[: len(recovered.session.messages)])
    assert "malformed" in recovered.damage
    assert [file.name for file in tmp_path.iterdir() if "damaged" in file.name] == []


@pytest.mark.parametrize(
    "damage",
    [
        "update message set role = 'nobody' where seq = 1",
        "update message set channel = 'elsewhere' where seq = 1",
        "update message set text = x'ff' where seq = 1",
    ],
)
async def test_a_row_that_no_store_wrote_is_left_out_and_counted(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "s.sqlite3"
    with sqlite3.connect(file) as database:
        database.executescript(VERSION_1)
        database.execute(damage)
    for recovered in (Archive(file).read("old"), Archive(file).read()):
        assert (recovered.session.messages, recovered.session.odd) == (OLD.messages[:1], (1,))
        assert "1 message is left out after message 1" in recovered.damage
    store = Store(file)
    for read in (await store.read("old"), await store.read()):
        assert read is not None
        assert (read.messages, read.odd) == (OLD.messages[:1], (1,))
    more = Message(Role.USER, "more")
    assert read is not None
    await store.append("old", read.path, [more])
    assert Archive(file).read("old").session.messages == (OLD.messages[0], more)
    await store.close()


async def test_nothing_to_look_at(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "s.sqlite3")
    assert archive.summaries() == ([], "")
    with pytest.raises(ArchiveError, match="no conversation yet"):
        archive.read()
    assert not archive.file.exists(), "looking makes nothing"
    archive.file.write_bytes(b"not a database at all" * 100)
    for look in (archive.summaries, archive.read):
        with pytest.raises(ArchiveError, match="not a database"):
            look()
    archive.file.unlink()
    with sqlite3.connect(archive.file) as database:
        database.executescript(VERSION_1)
    with pytest.raises(ArchiveError, match="no conversation named x"):
        archive.read("x")


async def test_the_list_begins_with_the_last(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite3")
    for name in "abc":
        await store.begin(StoredSession(name, "demo", None, ""))
        await store.append(name, [], [Message(Role.USER, f"I am {name}"), Message(Role.USER, "more")])
    await store.append("b", await store.nodes("b"), [Message(Role.USER, "again")])
    summaries, _ = Archive(store.file).summaries()
    assert [(summary.id, summary.messages, summary.question) for summary in summaries] == [
        ("b", 3, "I am b"),
        ("c", 2, "I am c"),
        ("a", 2, "I am a"),
    ]


async def test_the_last_conversation_is_the_last_written_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "s.sqlite3")
    now = time.time()
    for name, days in (("a", 0), ("b", -400), ("c", -800)):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        await store.begin(StoredSession(name, "demo", None, "", (Message(Role.USER, name),)))
    for name, *rest in (["c", "b", "a"], ["a", "c", "b"], ["b", "a", "c"]):
        last = await store.read()
        assert last is not None and last.id == name
        assert Archive(store.file).read().session.id == name
        assert [summary.id for summary in Archive(store.file).summaries()[0]] == [name, *rest]
        following = rest[-1]
        await store.append(following, await store.nodes(following), [Message(Role.USER, "more")])
    await store.close()
