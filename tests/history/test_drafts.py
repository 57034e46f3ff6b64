"""What the model is writing is on disk while it writes, and what is left of it after a kill is marked."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.cli.main import main
from gptoss_tui.events.endings import Ending
from gptoss_tui.events.events import Completed, Incomplete, OutputDelta, ReasoningDelta, ToolOutput
from gptoss_tui.harmony import Channel, DeveloperPrompt, Message, Role, SystemPrompt
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.draft import SampleDraft, drafted
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.store import Store, default_file
from gptoss_tui.history.stored import StoredSession

ANSWER = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"
LONG = f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{'word ' * 500}"
THINKING = f"<|channel|>analysis<|message|>{'hm ' * 500}"
CALLING = f" to=functions.echo<|channel|>commentary<|message|>{'{' * 500}"


async def left_by(stage: Callable[..., Any], script: str, folder: Path) -> Path:
    """The file that a program leaves which is killed while it shows an answer."""
    file = folder / "live" / "s.sqlite3"
    s = stage(script, store=Store(file), pause=0.01)
    shown: list[Any] = []

    async def listen() -> None:
        async for event in s.session.send("count"):
            shown.append(event)

    listening = asyncio.create_task(listen())
    archive = Archive(file)
    while not archive.summaries()[0] or archive.read().session.drafted is None:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    before = "".join(e.delta for e in shown if isinstance(e, OutputDelta | ReasoningDelta))
    while len(archive.read().sampled[-1].ids) < 30:  # noqa: ASYNC110  (a second piece)
        await asyncio.sleep(0.05)
    left = folder / "left"
    shutil.copytree(file.parent, left, ignore=shutil.ignore_patterns("*-shm"))
    written = "".join(message.text for message in Archive(left / file.name).read().session.writing)
    assert script in (CALLING, LONG) or written.startswith(before[:10])
    await s.session.runtime.close()
    await listening
    assert archive.read().session.drafted is None, "the sample has taken its place"
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("select count(*) from draft").fetchone() == (0,)
    return left / file.name


@pytest.mark.parametrize(
    ("script", "channel"),
    [(LONG, Channel.FINAL), (THINKING, Channel.ANALYSIS), (CALLING, None)],
    ids=["answer", "reasoning", "call"],
)
async def test_what_was_streaming_is_kept_and_marked_and_the_chat_goes_on(
    stage: Callable[..., Any], tmp_path: Path, tokenizer: Any, script: str, channel: Channel | None
) -> None:
    file = await left_by(stage, script, tmp_path)
    again = stage(ANSWER, ANSWER, store=Store(file))
    await again.session.resume()
    messages = again.session.conversation.messages
    last = messages[-1]
    if channel is None:
        assert last.role is Role.USER, "a call that was cut short is neither shown nor run"
    else:
        assert (last.role, last.channel) == (Role.ASSISTANT, channel)
        assert 3 < len(last.text) < len(script)
        assert script.endswith("word ") or script.startswith(f"<|channel|>analysis<|message|>{last.text}")
    ((_, answer),) = again.session.past()
    assert isinstance(answer[-1], Incomplete) and answer[-1].reason is Ending.UNFINISHED
    sampled = Archive(file).read().sampled[-1]
    assert script.startswith(tokenizer.decode(list(sampled.ids)))
    assert sampled.reason == ""

    events = await again.play("go on")
    assert isinstance(events[-1], Completed)
    prompt = again.engine.prompts[0]
    assert "<|start|>user<|message|>count<|end|>" in prompt
    if channel is Channel.FINAL:
        assert f"<|channel|>final<|message|>{last.text}<|end|><|start|>user<|message|>go on" in prompt
    await again.session.runtime.close()
    kept = Archive(file).read()
    assert kept.session.messages[: len(messages)] == tuple(messages[: len(messages)])
    assert kept.session.writing == ()
    assert "unfinished" in kept.session.endings.values()
    assert sampled in kept.sampled, "its tokens as well"
    third = stage(store=Store(file))
    await third.session.resume()
    first, second = third.session.past()
    assert isinstance(first[1][-1], Incomplete) and isinstance(second[1][-1], OutputDelta)


async def test_it_is_marked_in_what_looks_back(
    stage: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = await left_by(stage, LONG, tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    default_file().parent.mkdir(parents=True)
    shutil.copytree(file.parent, default_file().parent, dirs_exist_ok=True)
    file.rename(default_file())
    (file.parent / f"{file.name}-wal").rename(f"{default_file()}-wal")
    assert main(["export"]) == 0
    out = capsys.readouterr().out
    assert "word" in out
    assert out.endswith("*Interrupted: this answer is not whole.*\n")
    assert main(["export", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)["messages"][-1]
    assert last["ending"] == "unfinished" and last["text"].startswith("word")
    assert main(["sessions"]) == 0
    assert "[interrupted] count" in capsys.readouterr().out
    assert main(["sessions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ending"] == "unfinished"


async def test_how_a_turn_ended_is_told_again(
    stage: Callable[..., Any], tmp_path: Path, echo: Callable[..., Any]
) -> None:
    file = tmp_path / "s.sqlite3"
    waiting = ' to=functions.echo<|channel|>commentary <|constrain|>json<|message|>{"text": "wait"}<|call|>'
    s = stage(waiting, ANSWER, tools=[echo()], store=Store(file))
    async for event in s.session.send("go"):
        if event.type == "response.tool_output.delta":
            await s.session.stop()
    await s.play("again")
    await s.session.runtime.close()
    again = stage(store=Store(file))
    await again.session.resume()
    first, second = again.session.past()
    assert isinstance(first[1][-2], ToolOutput)
    assert isinstance(first[1][-1], Incomplete) and first[1][-1].reason is Ending.INTERRUPTED
    assert isinstance(second[1][-1], OutputDelta)


async def test_a_turn_with_nothing_but_a_question_is_unfinished(
    stage: Callable[..., Any], tmp_path: Path
) -> None:
    store = Store(tmp_path / "s.sqlite3")
    await store.begin(StoredSession("s", "demo", None, "", (Message(Role.USER, "hello?"),)))
    s = stage(store=store)
    await s.session.resume()
    ((_, answer),) = s.session.past()
    assert [type(event) for event in answer] == [Incomplete]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(Channel), st.booleans()),
        st.tuples(st.just("add"), st.text(max_size=5), st.integers(0, 9)),
        st.tuples(st.sampled_from(["close", "write", "lose"])),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_the_pieces_make_up_the_message_that_is_open(steps: list[tuple[Any, ...]]) -> None:
    """Wherever pieces are written, those on disk give the tokens and the open text as of the last one."""
    draft, whole = SampleDraft(), 0
    rows: list[Any] = []
    ids: list[int] = []
    logprobs = array("f")
    begun = Sampled(1, (), "", None, SystemPrompt(), DeveloperPrompt(), (), 12)
    draft.begin(begun, ids, logprobs)
    text, channel, is_open = "", None, False
    for name, *values in steps:
        match name:
            case "open" if not is_open:
                channel, is_open, text = (None if values[1] else values[0]), True, ""
                draft.open(values[0], is_call=values[1])
            case "add" if is_open:
                draft.add(values[0])
                text += values[0] if channel else ""
                ids.append(values[1])
                logprobs.append(-0.5)
            case "close" if is_open:
                whole += bool(text)  # it is part of the conversation, and committed with the next piece
                draft.close()
                text, is_open = "", False
            case "lose":
                rows.clear()
                draft.lose()
            case "write":
                if (piece := draft.piece()) is not None:
                    rows.append((whole, *piece.columns()))
                    draft.keep(piece)
                assert not draft.has_grown
                messages, sampled = drafted(rows, whole, {number: number + 1 for number in range(99)})
                assert [message.text for message in messages] == ([text] if text else [])
                assert not messages or messages[0].channel is channel
                assert sampled is None or (sampled.ids, len(sampled.logprobs)) == (tuple(ids), len(ids))
