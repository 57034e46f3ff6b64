"""Recorder: messages are on disk before they are shown; a failure is reported, and saving tried again."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.events.events import (
    Completed,
    Event,
    Incomplete,
    OutputDelta,
    Saved,
    ToolCall,
    ToolOutput,
    ToolOutputDelta,
    ToolStarted,
    Unsaved,
)
from gptoss_tui.harmony import Message, Role
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.store import Store
from gptoss_tui.permissions.question import Approval, Crowded, Decision, GoOn, MakeRoom, Pause, Question
from gptoss_tui.plain import ask as plain
from gptoss_tui.tools import Output, Reach, Risk, Tool

ANSWER = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"
CALL = " to=functions.echo<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
TWO_CALLS = f"{CALL.replace('<|call|>', '<|end|>')}<|start|>assistant{CALL}"

Fault = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "s.sqlite3"


def on_disk(file: Path) -> list[Message]:
    """The messages of the last conversation as another program reads them."""
    return list(Archive(file).read().session.messages)


@contextmanager
def refused(file: Path) -> Iterator[None]:
    """A state in which the file opens, and no message can be added."""
    statement = "create trigger refuse before insert on message begin select raise(abort, 'no room'); end"
    with closing(sqlite3.connect(file)) as database:
        database.execute(statement)
    yield
    with closing(sqlite3.connect(file)) as database:
        database.execute("drop trigger refuse")


@contextmanager
def out_of_reach(file: Path) -> Iterator[None]:
    """A state in which the folder is away, and something else stands in its place."""
    aside = file.parent.with_name("aside")
    file.parent.rename(aside)
    file.parent.write_text("in the way")
    yield
    file.parent.unlink()
    aside.rename(file.parent)


FAULTS = pytest.mark.parametrize("fault", [refused, out_of_reach])


class Watched(Tool):
    """A tool that must ask, prints, and looks at the disk while it does."""

    name = "functions.echo"
    description = "Looks at the disk."

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def risk(self, arguments: str) -> Risk:
        return Risk(Reach.OUTSIDE)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        self._look()
        yield Output("got it")


class Watcher:
    """A person who says yes to everything, and looks at the disk when asked."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    async def approve(self, question: Question) -> Decision:
        self._look()
        return Decision(Approval.ONCE)

    async def go_on(self, pause: Pause) -> GoOn:
        self._look()
        return GoOn.CONTINUE

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        self._look()
        return MakeRoom.DROP


@pytest.mark.parametrize("scripts", [(CALL, ANSWER), (TWO_CALLS, CALL, ANSWER), (CALL, CALL, CALL, ANSWER)])
async def test_what_is_shown_or_asked_is_on_disk(
    stage: Callable[..., Any], file: Path, scripts: tuple[str, ...]
) -> None:
    looks: list[bool] = []

    def look() -> None:
        looks.append(on_disk(file) == s.session.conversation.messages)

    tool, person = Watched(look), Watcher(look)
    s = stage(*scripts, tools=[tool], person=person, store=Store(file), max_tool_calls=1)
    await s.load()
    async for event in s.session.send("go"):
        look()
        last = on_disk(file)[-1]
        match event:
            case ToolCall(recipient=recipient, arguments=arguments):
                assert (last.recipient, last.text) == (recipient, arguments)
            case ToolOutput(output=output):
                assert (last.role, last.text) == (Role.TOOL, output)
            case Completed(output_text=text):
                assert last.text == text
    assert isinstance(event, Completed)
    assert len(looks) > 15
    assert all(looks)
    await s.session.runtime.close()


@pytest.mark.parametrize("last", [ToolCall, ToolStarted, ToolOutputDelta, ToolOutput])
async def test_each_call_has_one_result_wherever_its_turn_is_left(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any], last: type[Event]
) -> None:
    s = stage(TWO_CALLS, ANSWER, tools=[echo()], store=Store(file))
    async with aclosing(s.session.send("go")) as stream:
        async for event in stream:
            if isinstance(event, last):
                break
    messages = on_disk(file)
    assert messages == s.session.conversation.messages
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert messages[-1].text == ("got {}" if last is ToolOutput else "[ERROR] Interrupted before it ended.")
    await s.session.runtime.close()


async def test_it_is_committed_by_the_message_and_not_by_the_token(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any]
) -> None:
    long = f"<|channel|>final<|message|>{'word ' * 50}<|return|>"
    s = stage(ANSWER, CALL, long, tools=[echo()], store=Store(file))
    await s.play("2+2?")
    versions = []
    with closing(sqlite3.connect(file)) as database:
        async for _ in s.session.send("go"):
            (version,) = database.execute("pragma data_version").fetchone()
            versions.append(version)
    assert len(versions) > 50
    commits = 1 + sum(one != other for one, other in pairwise(versions))
    assert commits == 4, "the question, the call, its result and the answer"
    await s.session.runtime.close()


@FAULTS
async def test_a_failure_in_mid_turn_is_told_at_once_and_made_good(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any], fault: Fault
) -> None:
    s = stage(CALL, ANSWER, ANSWER, ANSWER, tools=[echo()], store=Store(file))
    kinds: list[type[Event]] = []
    with ExitStack() as trouble:
        async for event in s.session.send("go"):
            kinds.append(type(event))
            if isinstance(event, ToolStarted):
                trouble.enter_context(fault(file))
            elif isinstance(event, Unsaved):
                assert str(file) in event.message
        assert kinds.count(Unsaved) == 1
        assert kinds.index(Unsaved) == kinds.index(ToolOutput) - 1, "before anything is shown as finished"
        assert Saved not in kinds
        assert kinds[-1] is Completed
        assert s.session.runtime.recorder.lost.startswith(
            "Not saved: the last 3 messages of this conversation ("
        )
        again = [type(event) for event in await s.play("and now?")]
        assert again[0] is Unsaved
        assert again.count(Unsaved) == 1
        assert s.session.runtime.recorder.lost.startswith(
            "Not saved: the last 6 messages of this conversation ("
        )
    last = await s.play("and now?")
    assert isinstance(last[0], Saved)
    assert not any(isinstance(event, Unsaved) for event in last)
    assert on_disk(file) == s.session.conversation.messages
    assert s.session.runtime.recorder.lost == ""
    await s.session.runtime.close()


@FAULTS
async def test_it_is_tried_again_while_nothing_is_said(
    stage: Callable[..., Any], file: Path, fault: Fault
) -> None:
    s = stage(ANSWER, ANSWER, store=Store(file))
    await s.play("2+2?")
    async with aclosing(s.session.runtime.recorder.follow()) as troubles:
        with fault(file):
            await s.play("and 3+3?")
            assert str(file) in await anext(troubles)
        assert await anext(troubles) == ""
    assert on_disk(file) == s.session.conversation.messages
    await s.session.runtime.close()


@FAULTS
async def test_nothing_is_promised_that_is_not_on_disk(
    stage: Callable[..., Any], file: Path, fault: Fault
) -> None:
    empty = Store(file)
    await empty.read()
    await empty.close()
    s = stage(ANSWER, ANSWER, store=Store(file))
    assert s.session.id is None
    await s.load()
    with fault(file):
        events = await s.play("2+2?")
        assert isinstance(events[0], Unsaved)
        assert isinstance(events[-1], Completed)
        await s.session.runtime.close()
    assert s.session.id is None
    assert s.session.runtime.recorder.lost.startswith("Not saved: this conversation (")
    assert Archive(file).summaries() == ([], ""), "not even an empty conversation, for --continue to find"


async def test_closing_saves_what_could_not_be_saved_before(stage: Callable[..., Any], file: Path) -> None:
    """An earlier conversation, which the person has left by then, is saved as well."""
    s = stage(ANSWER, ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    with out_of_reach(file):
        await s.play("two")
        first, messages = s.session.id, list(s.session.conversation.messages)
        s.session = await s.session.successor()
        await s.play("three")
        assert s.session.id is None
        assert (
            f"the last 3 messages of conversation {first} and this conversation"
            in s.session.runtime.recorder.lost
        )
    await s.session.runtime.close()
    assert s.session.runtime.recorder.lost == ""
    assert list(Archive(file).read(first).session.messages) == messages
    assert list(Archive(file).read(s.session.id).session.messages) == s.session.conversation.messages


async def test_what_closing_saves_is_told(
    stage: Callable[..., Any], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s = stage(ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    with out_of_reach(file):
        assert any(isinstance(event, Unsaved) for event in await s.play("two"))
    await plain.close(s.session)
    assert capsys.readouterr().err == "gptoss-chat: All of the conversation is saved now.\n"


def remove_file(file: Path) -> None:
    file.unlink()


def remove_all(file: Path) -> None:
    for path in file.parent.iterdir():
        path.unlink()
    file.parent.rmdir()


def remove_log(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


def go_back(file: Path) -> None:
    """Replace the file by a copy from after the first turn."""
    remove_all(file)
    file.parent.mkdir()
    (file.parent.parent / "copy").rename(file)


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("disturb", [remove_file, remove_all, remove_log, go_back])
async def test_a_file_that_is_removed_or_replaced_is_written_again(
    stage: Callable[..., Any], file: Path, disturb: Callable[[Path], None], goes_on: bool
) -> None:
    s = stage(ANSWER, ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    with closing(sqlite3.connect(file)) as database:
        database.execute("vacuum into ?", [str(file.parent.parent / "copy")])
    await s.play("two")
    disturb(file)
    if goes_on:
        events = await s.play("three")
        assert not any(isinstance(event, Unsaved) for event in events)
        assert on_disk(file) == s.session.conversation.messages
    await s.session.runtime.close()
    assert s.session.id is not None
    assert on_disk(file) == s.session.conversation.messages
    assert s.session.runtime.recorder.lost == ""


async def test_a_turn_that_is_cancelled_while_it_saves(stage: Callable[..., Any], file: Path) -> None:
    s = stage(ANSWER, ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        playing = asyncio.create_task(s.play("two"))
        while len(s.session.conversation.messages) == 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        playing.cancel()
        await asyncio.sleep(0.01)
        other.execute("rollback")
    with pytest.raises(asyncio.CancelledError):
        await playing
    events = await s.play("three")
    assert not any(isinstance(event, Unsaved) for event in events)
    assert on_disk(file) == s.session.conversation.messages
    await s.session.runtime.close()


async def test_a_locked_file_holds_up_a_turn_no_more_than_once(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any]
) -> None:
    s = stage(ANSWER, CALL, ANSWER, tools=[echo()], store=Store(file))
    await s.play("one")
    kinds = []
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        async for event in s.session.send("two"):
            kinds.append(type(event))
            if isinstance(event, Unsaved):
                assert "locked" in event.message
        other.execute("rollback")
    assert kinds.count(Unsaved) == 1
    assert kinds[-1] is Completed
    await s.session.runtime.close()
    assert on_disk(file) == s.session.conversation.messages


async def test_a_turn_that_is_stopped_is_on_disk_when_it_says_so(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any]
) -> None:
    waiting = CALL.replace("{}", '{"text": "wait"}')
    s = stage(waiting, ANSWER, tools=[echo()], store=Store(file))
    await s.load()
    async for event in s.session.send("go"):
        assert on_disk(file) == s.session.conversation.messages
        if isinstance(event, ToolOutputDelta | OutputDelta):
            await s.session.stop()
    assert isinstance(event, Incomplete)
    assert on_disk(file)[-1].role is Role.TOOL
    await s.session.runtime.close()


async def test_closing_waits_for_another_program_that_writes(stage: Callable[..., Any], file: Path) -> None:
    s = stage(ANSWER, ANSWER, store=Store(file))
    await s.play("one")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        await s.play("two")
        assert s.session.runtime.recorder.lost
        closing_ = asyncio.create_task(s.session.runtime.close())
        await asyncio.sleep(0.1)
        assert not closing_.done()
        other.execute("rollback")
    await closing_
    assert s.session.runtime.recorder.lost == ""
    assert on_disk(file) == s.session.conversation.messages


async def test_a_conversation_is_taken_up_while_another_program_writes(
    stage: Callable[..., Any], file: Path
) -> None:
    s = stage(ANSWER, store=Store(file))
    await s.play("one")
    await s.session.runtime.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        again = stage(ANSWER, store=Store(file), resume="")
        events = await again.play("two")
        assert isinstance(events[-1], Completed)
        assert [type(event) for event in events].count(Unsaved) == 1
        other.execute("rollback")
    await again.session.runtime.close()
    assert on_disk(file) == again.session.conversation.messages


async def test_a_file_that_cannot_be_written_is_taken_up_and_written_once_it_can(
    stage: Callable[..., Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = stage(ANSWER, store=Store(file))
    await s.play("one")
    await s.session.runtime.close()
    system_open = os.open

    def refused(path: Any, flags: int, *more: Any) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(file)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return system_open(path, flags, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        again = stage(ANSWER, ANSWER, store=Store(file), resume="")
        events = await again.play("two")
        assert any(isinstance(event, Unsaved) and "Permission denied" in event.message for event in events)
        assert "<|start|>user<|message|>one<|end|>" in again.engine.prompts[0]
    await again.play("three")
    await again.session.runtime.close()
    assert on_disk(file) == again.session.conversation.messages
    assert len(Archive(file).summaries()[0]) == 1


async def test_a_file_that_was_read_only_for_a_while_is_opened_again(
    stage: Callable[..., Any], file: Path
) -> None:
    """SQLite keeps what it learnt when it opened the file, and would refuse to write for ever."""
    store = Store(file)
    s = stage(ANSWER, ANSWER, store=store)
    await s.play("one")
    assert store._database is not None
    store._database.execute("pragma query_only = on")
    events = await s.play("two")
    assert isinstance(events[0], Unsaved) and "readonly" in events[0].message
    await s.session.runtime.close()
    assert on_disk(file) == s.session.conversation.messages


async def test_closing_folds_the_log_into_the_file(stage: Callable[..., Any], file: Path) -> None:
    s = stage(ANSWER, store=Store(file))
    await s.play("one")
    with closing(sqlite3.connect(file)) as reader:  # for which SQLite itself would leave the log as it is
        reader.execute("select 1 from session").fetchone()
        await s.session.runtime.close()
        log = file.with_name(f"{file.name}-wal")
        assert not log.exists() or log.stat().st_size == 0
    copy = Path(shutil.copy(file, file.with_name("copy")))
    assert on_disk(copy) == s.session.conversation.messages
