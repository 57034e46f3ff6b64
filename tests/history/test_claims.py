"""Of two that go on with one conversation the second is told who has it, and goes on in a copy of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.events.events import Completed, Forked, Resumed
from gptoss_tui.harmony import Channel, Message, Role
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.claim import Claim, Holder, claim
from gptoss_tui.history.store import Store
from gptoss_tui.history.stored import StoredSession
from gptoss_tui.plain.show import AsText

ANSWER = "<|channel|>final<|message|>4<|return|>"

HOLD = """
import sys, time
from pathlib import Path
from gptoss_tui.history.claim import claim
held = claim(Path(sys.argv[1]), "s")
print(type(held).__name__, flush=True)
time.sleep(600)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "s.sqlite3"


async def keep(file: Path, *messages: Message) -> None:
    store = Store(file)
    await store.begin(StoredSession("s", "demo", "2026-01-01", "", messages))
    await store.close()


def texts(file: Path, name: str | None = None) -> str:
    return " ".join(message.text for message in Archive(file).read(name).session.messages)


async def loaded(stage: Callable[..., Any], file: Path, *scripts: str, **more: Any) -> tuple[Any, list[Any]]:
    s = stage(*scripts, store=Store(file), resume="", **more)
    return s, [event async for event in s.session.load()]


@pytest.mark.parametrize("names", ["s", "../s", "über/" * 90])
def test_a_claim_keeps_others_out_until_it_is_released(tmp_path: Path, names: str) -> None:
    file = tmp_path / "s.sqlite3"
    first = claim(file, names)
    assert isinstance(first, Claim)
    second = claim(file, names)
    assert isinstance(second, Holder) and second.pid == os.getpid()
    other = claim(file, "other")
    assert isinstance(other, Claim)
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path] * 2
    first.release()
    first.release()
    again = claim(file, names)
    assert isinstance(again, Claim)
    again.release()
    other.release()
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_program_that_was_killed_is_void_at_once(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None and program.stdout.readline() == "Claim\n"
        held = claim(file, "s")
        assert isinstance(held, Holder) and held.pid == program.pid
        program.send_signal(signal.SIGKILL)
        program.wait()
        mine = claim(file, "s")
        assert isinstance(mine, Claim)
        mine.release()


async def test_what_a_killed_program_left_of_its_claims_is_removed(file: Path) -> None:
    await keep(file, Message(Role.USER, "hello"))
    left = file.with_name(f"{file.name}-held-dead")
    left.write_text("{}")
    living = claim(file, "living")
    store = Store(file)
    await store.check()
    assert not left.exists()
    assert isinstance(claim(file, "living"), Holder)
    assert isinstance(living, Claim)
    living.release()
    await store.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


async def test_the_second_goes_on_in_a_copy_and_nothing_is_lost(
    stage: Callable[..., Any], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await keep(file, Message(Role.USER, "a"), Message(Role.ASSISTANT, "b", channel=Channel.FINAL))
    first, events = await loaded(stage, file, ANSWER, ANSWER)
    assert not any(isinstance(event, Forked) for event in events)
    second, events = await loaded(stage, file, ANSWER, ANSWER)
    (told,) = (event for event in events if isinstance(event, Forked))
    assert (told.origin, told.pid) == ("s", os.getpid())
    assert Resumed(told.id, 1) in events
    AsText()(told)
    assert told.id in capsys.readouterr().err
    assert second.session.id is None, "until something is said there is but one conversation"
    assert [one.id for one in Archive(file).summaries()[0]] == ["s"]

    for number, s in enumerate((first, second, first, second)):
        assert isinstance((await s.play(f"said {number}"))[-1], Completed)
    assert "<|start|>user<|message|>a<|end|>" in second.engine.prompts[0]
    assert [s.session.id for s in (first, second)] == ["s", told.id]
    assert texts(file, "s") == "a b said 0 4 said 2 4"
    assert texts(file, told.id) == "a b said 1 4 said 3 4"
    assert Archive(file).read("s").elsewhere == 0
    for s in (first, second):
        await s.session.runtime.close()
    assert list(file.parent.iterdir()) == [file]


async def test_a_copy_in_which_nothing_is_said_leaves_nothing(stage: Callable[..., Any], file: Path) -> None:
    await keep(file, Message(Role.USER, "a"))
    first, _ = await loaded(stage, file)
    second, _ = await loaded(stage, file)
    await second.session.runtime.close()
    await first.session.runtime.close()
    assert [one.id for one in Archive(file).summaries()[0]] == ["s"]
    assert second.session.runtime.recorder.lost == ""


async def test_a_conversation_is_free_once_it_is_left(stage: Callable[..., Any], file: Path) -> None:
    await keep(file, Message(Role.USER, "a"))
    first, _ = await loaded(stage, file, ANSWER, ANSWER)
    await first.play("more")
    await first.session.resume("s")
    await first.play("and more")
    assert texts(file, "s") == "a more 4 and more 4", "it does not keep itself out"
    first.session = await first.session.successor()
    second, events = await loaded(stage, file, ANSWER)
    assert not any(isinstance(event, Forked) for event in events)
    await second.play("last")
    assert texts(file, "s").endswith("and more 4 last 4")
    for s in (first, second):
        await s.session.runtime.close()


async def test_a_new_conversation_is_held_from_its_first_message_on(
    stage: Callable[..., Any], file: Path
) -> None:
    first = stage(ANSWER, ANSWER, store=Store(file))
    await first.play("one")
    second, events = await loaded(stage, file, ANSWER)
    assert any(isinstance(event, Forked) for event in events)
    await second.play("two")
    await first.play("three")
    assert texts(file, first.session.id) == "one 4 three 4"
    assert texts(file, second.session.id) == "one 4 two 4"
    for s in (first, second):
        await s.session.runtime.close()


async def test_the_files_of_its_tools_are_copied(
    stage: Callable[..., Any], file: Path, echo: Callable[..., Any], tmp_path: Path
) -> None:
    await keep(file, Message(Role.USER, "a"))
    files = tmp_path / "files"
    (files / "s").mkdir(parents=True)
    (files / "s" / "plot.png").write_bytes(b"picture")
    os.mkfifo(files / "s" / "odd")
    first, _ = await loaded(stage, file, files=files)
    tool = echo()
    second, events = await loaded(stage, file, files=files, tools=[tool])
    (told,) = (event for event in events if isinstance(event, Forked))
    assert tool.folders[-1] == files / told.id
    assert (files / told.id / "plot.png").read_bytes() == b"picture"
    for s in (first, second):
        await s.session.runtime.close()


async def test_where_nothing_can_be_claimed_the_chat_goes_on(
    stage: Callable[..., Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder of somebody else's."""
    await keep(file, Message(Role.USER, "a"))
    (file.parent / f"{file.name}-held-s").mkdir()
    first, events = await loaded(stage, file, ANSWER)
    assert not any(isinstance(event, Forked) for event in events)
    await first.play("more")
    assert texts(file) == "a more 4"
    await first.session.runtime.close()
