"""What is written and not sent outlives the program, and no program takes what another still writes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.model.engine import EngineError
from gptoss_tui.tui.draft import Draft
from gptoss_tui.tui.widgets.composer import Composer

ANSWER = "<|channel|>final<|message|>Hello there.<|return|>"

WRITER = """
import sys
from pathlib import Path
from gptoss_tui.tui.draft import Draft

draft = Draft(Path(sys.argv[1]))
for draft.text in sys.argv[2:]:
    draft.save()
print("kept", flush=True)
sys.stdin.read()
"""

Writer = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A function `(*texts) -> process` that keeps the texts as its draft, one after the other, and waits."""
    running: list[subprocess.Popen[bytes]] = []

    def write(*texts: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-c", WRITER, str(tmp_path), *texts]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        return process

    yield write
    for process in running:
        process.kill()
        process.communicate()


def _killed(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_the_draft_of_a_killed_program_is_taken_up_once(tmp_path: Path, writer: Writer) -> None:
    _killed(writer("old", "new\nlines"))
    draft = Draft(tmp_path)
    assert draft.take_up() == "new\nlines"
    assert draft.is_saved
    assert Draft(tmp_path).take_up() == "", "it has an owner again"
    draft.text = ""
    draft.save()
    assert list(tmp_path.iterdir()) == []


def test_what_another_program_still_writes_is_left_alone(tmp_path: Path, writer: Writer) -> None:
    first, second = writer("first"), writer("second")
    draft = Draft(tmp_path)
    assert draft.take_up() == ""
    draft.text = "third"
    draft.save()
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["first", "second", "third"]
    os.utime(next(path for path in tmp_path.iterdir() if path.read_text() == "first"), (1, 1))
    _killed(first)
    _killed(second)
    heirs = [Draft(tmp_path) for _ in range(3)]
    assert [heir.take_up() for heir in heirs] == ["second", "first", ""]


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "state" / "drafts")
    draft.text = "secret"
    draft.save()
    (file,) = (tmp_path / "state" / "drafts").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_cut_off_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef.new").write_text("half a sent")
    (tmp_path / "0123456789abcdef.txt").write_text("")
    (tmp_path / "letter.odt").write_text("somebody else's")
    assert Draft(tmp_path).take_up() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["letter.odt"]


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "drafts").write_text("a file where the folder should be")
    draft = Draft(tmp_path / "drafts")
    assert draft.take_up() == ""
    draft.text = "words"
    draft.save()
    assert not draft.is_saved


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_comes_back_as_it_was_last(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("drafts")
    draft = Draft(folder)
    for text in texts:
        draft.text = text
        draft.save()
        assert [path.read_bytes().decode() for path in folder.iterdir()] == ([text] if text else [])
    draft.text = ""
    draft.save()


async def test_what_is_typed_is_saved_and_forgotten_once_sent(stage: Any, tmp_path: Path) -> None:
    async with stage(ANSWER, draft=Draft(tmp_path)) as s:
        await s.ready()
        await s.pilot.press("h", "i")
        await s.until(lambda: _texts(tmp_path) == ["hi"])
        await s.pilot.press("enter")
        await s.until_shown("Hello there.")
        await s.until(lambda: _texts(tmp_path) == [])


async def test_messages_that_wait_are_kept_with_what_is_being_written(stage: Any, tmp_path: Path) -> None:
    hold = asyncio.Event()
    async with stage(ANSWER, ANSWER, hold=hold, draft=Draft(tmp_path)) as s:
        await s.say("first")
        await s.say("second")
        await s.pilot.press("x")
        await s.until(lambda: _texts(tmp_path) == ["first\n\nsecond\n\nx"])
        hold.set()
        await s.until(lambda: _texts(tmp_path) == ["x"])


async def test_a_message_that_no_model_took_is_saved(stage: Any, tmp_path: Path) -> None:
    hold = asyncio.Event()
    cut_short = EngineError("The file is cut short.")
    async with stage(hold=hold, load_failure=cut_short, draft=Draft(tmp_path)) as s:
        await s.say("a long thought")
        hold.set()
        await s.until_shown("The file is cut short.")
        await s.until_shown("▌ a long thought")
        await s.until_shown("● no model")
    assert _texts(tmp_path) == ["a long thought"]


async def test_an_orderly_end_keeps_the_draft(stage: Any, tmp_path: Path) -> None:
    async with stage(draft=Draft(tmp_path)) as s:
        await s.pilot.press("w", "o", "r", "d", "ctrl+q")
    assert _texts(tmp_path) == ["word"]


async def test_it_stands_in_the_composer_of_the_next_program(
    stage: Any, tmp_path: Path, writer: Writer
) -> None:
    _killed(writer("two\nlines\x1b[2J"))
    async with stage(ANSWER, draft=Draft(tmp_path)) as s:
        await s.until_shown("What you had written is back.")
        assert s.app.screen.query_one(Composer).text == "two\nlines␛[2J"
        await s.ready()
        await s.pilot.press("enter")
        await s.until_shown("Hello there.")
        await s.until(lambda: _texts(tmp_path) == [])


async def test_slash_commands_and_cleared_lines_leave_nothing(stage: Any, tmp_path: Path) -> None:
    async with stage(draft=Draft(tmp_path)) as s:
        await s.ready()
        await s.say("/effort low")
        await s.until_shown("Effort is low.")
        await s.pilot.press("n", "o")
        await s.until(lambda: _texts(tmp_path) == ["no"])
        await s.pilot.press("ctrl+c")
        await s.until(lambda: _texts(tmp_path) == [])


def _texts(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("*.txt")]
