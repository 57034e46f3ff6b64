"""The chat screen, driven by its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.binding import Binding

from gptoss_tui.commands import COMMANDS
from gptoss_tui.harmony import Channel, Role
from gptoss_tui.history.store import Store
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.reasoning_pane import ReasoningPane
from gptoss_tui.tui.widgets.transcript import Transcript

StageMaker = Callable[..., Any]

LABEL = "raw reasoning, unmoderated"
THOUGHT = "<|channel|>analysis<|message|>The person greets.\nA secret plan.<|end|><|start|>assistant"
ANSWER = "<|channel|>final<|message|>Hello **world**.<|return|>"
LONG_ANSWER = "<|channel|>final<|message|>" + "so it goes on " * 200 + "<|return|>"


async def test_an_answer_is_markdown_and_the_reasoning_stays_folded(stage: StageMaker) -> None:
    async with stage(THOUGHT + ANSWER) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("effort medium ·")
        assert "▌ hi" in s.screen
        assert "Hello world." in s.screen
        assert f"▸ {LABEL}" in s.screen
        assert "secret" not in s.screen
        assert not s.app.screen.query("ReasoningPane PlainText Static"), "nothing is drawn into a folded pane"


async def test_ctrl_t_goes_from_line_to_tail_to_full_and_back(stage: StageMaker) -> None:
    thought = "".join(f"step {number}\n" for number in range(1, 31))
    async with stage(f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant{ANSWER}") as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("effort medium ·")
        await s.pilot.press("ctrl+t")
        await s.until_shown("step 30")
        pane = s.app.screen.query_one(ReasoningPane)
        assert f"▾ {LABEL}" in s.screen
        assert "step 20\n" not in s.screen
        assert pane.size.height <= 10
        await s.pilot.press("ctrl+t")
        await s.until(lambda: pane.size.height > 30)
        await s.pilot.press("ctrl+t")
        await s.until(lambda: pane.size.height == 1)


async def test_live_reasoning_shows_in_an_open_pane(stage: StageMaker) -> None:
    endless = "<|channel|>analysis<|message|>" + "thinking hard " * 300
    async with stage(endless, pause=0.01) as s:
        await s.ready()
        await s.pilot.press("ctrl+t")
        await s.say("hi")
        await s.until_shown("thinking hard thinking hard")
        await s.until_shown("tok/s")
        await s.pilot.press("escape")
        await s.until_shown("Stopped.")


async def test_shift_tab_and_f2_change_the_effort_of_the_next_turn(stage: StageMaker) -> None:
    async with stage(LONG_ANSWER, ANSWER, pause=0.01) as s:
        await s.ready()
        assert "effort medium" in s.screen
        await s.say("hi")
        await s.until_shown("so it goes on")
        await s.pilot.press("shift+tab")
        await s.until_shown("effort medium → high next turn")
        await s.pilot.press("f2")
        await s.until_shown("effort medium → low next turn")
        await s.pilot.press("escape")
        await s.ready()
        assert "effort low" in s.screen
        s.engine.pause = 0
        await s.say("again")
        await s.until_shown("effort low ·")
        assert "Reasoning: medium" in s.engine.prompts[0]
        assert "Reasoning: low" in s.engine.prompts[1]
        assert isinstance(s.app.screen.focused, Composer), "Shift+Tab must not move the focus"


async def test_escape_stops_and_keeps_what_was_said(stage: StageMaker) -> None:
    async with stage(LONG_ANSWER, ANSWER, pause=0.01) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("so it goes on so it")
        await s.pilot.press("escape", "escape")
        await s.until_shown("Stopped.")
        await s.ready()
        assert "so it goes on so it" in s.screen
        chat = s.app.screen._player.session
        kept = [m for m in chat.conversation.messages if m.role is Role.ASSISTANT]
        assert kept[-1].channel is Channel.FINAL and kept[-1].text.startswith("so it goes on")
        await s.pilot.press("escape")
        s.engine.pause = 0
        await s.say("again")
        await s.until_shown("Hello world.")


async def test_messages_queue_while_busy_and_the_last_can_be_taken_back(stage: StageMaker) -> None:
    async with stage(LONG_ANSWER, ANSWER, pause=0.01) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("so it goes on")
        await s.say("one")
        await s.say("two")
        await s.until_shown("2 queued, sent next")
        await s.pilot.press("up")
        await s.until_shown("1 queued, sent next")
        assert s.app.screen.query_one(Composer).text == "two"
        await s.pilot.press("ctrl+c")
        s.engine.pause = 0
        await s.until_shown("Hello world.")
        assert [
            m.text for m in s.app.screen._player.session.conversation.messages if m.role is Role.USER
        ] == [
            "hi",
            "one",
        ]
        assert "queued" not in s.screen


async def test_typing_is_possible_while_the_model_loads(stage: StageMaker) -> None:
    hold = asyncio.Event()
    async with stage(ANSWER, hold=hold) as s:
        await s.until_shown("reading the script")
        assert "25%" in s.screen
        await s.say("hi")
        await s.until_shown("1 queued, sent when the model is ready")
        hold.set()
        await s.until_shown("Hello world.")
        assert "context" in s.screen


@pytest.mark.parametrize("newline", ["shift+enter", "ctrl+j", "alt+enter"])
async def test_a_message_may_have_several_lines(stage: StageMaker, newline: str) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        await s.pilot.press("a", newline, "b", "\\", "enter", "c", "enter")
        await s.until_shown("Hello world.")
        assert s.app.screen._player.session.conversation.messages[0].text == "a\nb\nc"


async def test_a_paste_is_text_and_never_sends(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        composer = s.app.screen.query_one(Composer)
        s.app.post_message(events.Paste("one\r\ntwo\n\x1b[2Jthree\u202e\n"))
        await s.until(lambda: composer.text)
        assert composer.text == "one\ntwo\n␛[2Jthree\ufffd\n"
        assert not s.engine.prompts


async def test_up_and_down_walk_through_what_was_sent(stage: StageMaker) -> None:
    async with stage(ANSWER, ANSWER) as s:
        await s.ready()
        await s.say("first")
        await s.until_shown("Hello world.")
        await s.pilot.press("d", "r", "a", "f", "t", "up")
        composer = s.app.screen.query_one(Composer)
        assert composer.text == "first"
        await s.pilot.press("down")
        assert composer.text == "draft"
        await s.pilot.press("ctrl+c")
        assert composer.text == ""
        await s.pilot.press("up")
        assert composer.text == "draft", "a cleared draft can be had back"


async def test_text_that_looks_like_html_is_kept(stage: StageMaker) -> None:
    answer = "A List<String> and <b>this</b>.\n\n<div>a block</div>\n\nEnd."
    async with stage(f"<|channel|>final<|message|>{answer}<|return|>") as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("effort medium ·")
        for text in ("A List<String> and <b>this</b>.", "<div>a block</div>", "End."):
            assert text in s.screen


async def test_escape_between_turns_stops_reading_ahead(stage: StageMaker) -> None:
    async with stage(ANSWER, hold_ahead=asyncio.Event()) as s:
        await s.ready()
        await s.until(lambda: s.engine.reading_ahead)
        await s.say("hi")
        await s.until(lambda: len(s.engine.ahead) == 2 and s.engine.reading_ahead)
        await s.ready()
        assert "● ready" in s.screen
        await s.pilot.press("escape")
        await s.until(lambda: not s.engine.reading_ahead)


async def test_no_escape_sequence_reaches_the_terminal(stage: StageMaker) -> None:
    evil = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202etxt"
    thought = f"<|channel|>analysis<|message|>{evil}<|end|><|start|>assistant"
    script = f"{thought}<|channel|>final<|message|>{evil}<|return|>"
    async with stage(script) as s:
        await s.ready()
        await s.pilot.press("ctrl+t", "ctrl+t")
        await s.say("hi")
        await s.until_shown("effort medium ·")
        assert s.screen.count("␛]0;owned␇␛[31mred\ufffd2J\ufffdtxt") == 2
        assert not set("\x1b\x07\x9b\u202e") & set(s.app.export_screenshot())


async def test_markup_is_text(stage: StageMaker) -> None:
    async with stage("<|channel|>final<|message|>[red]x[/red] [@click=app.quit]y[/]<|return|>") as s:
        await s.ready()
        await s.say("[bold]hi")
        await s.until_shown("[red]x[/red] [@click=app.quit]y[/]")
        assert "▌ [bold]hi" in s.screen


async def test_ctrl_n_forgets_and_starts_over(stage: StageMaker) -> None:
    async with stage(LONG_ANSWER, ANSWER, pause=0.01) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("so it goes on")
        await s.say("queued")
        await s.pilot.press("ctrl+n")
        await s.until_shown("every key and command")
        await s.ready()
        assert s.app.screen._player.session.conversation.messages == []
        assert "so it goes on" not in s.screen
        s.engine.pause = 0
        await s.say("again")
        await s.until_shown("Hello world.")
        assert "so it goes on" not in s.engine.prompts[1]


async def test_ctrl_c_copies_then_clears_then_stops_then_quits(stage: StageMaker) -> None:
    async with stage(LONG_ANSWER, pause=0.01) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("so it goes on")
        composer = s.app.screen.query_one(Composer)
        await s.pilot.press("a", "b", "shift+left", "ctrl+c")
        assert s.app.clipboard == "b"
        assert composer.text == "ab"
        await s.pilot.press("ctrl+c")
        assert composer.text == ""
        await s.pilot.press("ctrl+c")
        await s.until_shown("Stopped.")
        await s.ready()
        await s.pilot.press("ctrl+c")
        await s.until_shown("Ctrl+C again to quit")
        await s.pilot.press("ctrl+c")
        await s.until(lambda: s.app._exit)


async def test_slash_commands(stage: StageMaker) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        await s.say("/nonsense")
        await s.until_shown("There is no command /nonsense")
        await s.say("/effort high")
        await s.until_shown("Effort is high.")
        await s.say("/effort huge")
        await s.until_shown('not "huge"')
        await s.say("/tools")
        await s.until_shown("The model has no tools")
        assert not s.engine.prompts
        await s.say("hi")
        await s.until_shown("Hello world.")
        await s.say("/copy")
        await s.until(lambda: s.app.clipboard == "Hello **world**.")
        await s.say("/new")
        await s.until_shown("every key and command")
        await s.say("/quit")
        await s.until(lambda: s.app._exit)


async def test_a_half_typed_command_is_completed(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await s.pilot.press("/", "t", "h")
        await s.until_shown("/thinking [line|tail|full]")
        await s.pilot.press("tab")
        assert s.app.screen.query_one(Composer).text == "/thinking "


@pytest.mark.parametrize("key", ["f1", "?"])
async def test_help_lists_every_key_and_command(stage: StageMaker, key: str) -> None:
    async with stage(size=(120, 72)) as s:
        await s.ready()
        await s.pilot.press(key)
        await s.until_shown("Keys and commands")
        for section in keys.SECTIONS:
            for shown, what in section.rows():
                assert shown in s.screen and what in s.screen
        for command in COMMANDS:
            assert command.usage in s.screen
        await s.pilot.press("escape")
        await s.until(lambda: "Keys and commands" not in s.screen)
        assert s.app.screen.query_one(Composer).text == ""


def test_every_binding_can_be_rebound() -> None:
    bindings = [binding for section in keys.SECTIONS for binding in section.bindings]
    ids = [binding.id for binding in bindings if isinstance(binding, Binding)]
    assert len(ids) == len(bindings)
    assert all(ids)
    assert len(set(ids)) == len(ids)


async def test_the_view_follows_the_end_until_the_person_scrolls_up(stage: StageMaker) -> None:
    lines = "".join(f"line {number}\n\n" for number in range(5000))  # more than the test can wait for
    answer = f"<|channel|>final<|message|>{lines}<|return|>"
    async with stage(answer, pause=0.004, context=10**6, size=(80, 20)) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("line 20")
        await s.pilot.press("pageup")
        transcript = s.app.screen.query_one(Transcript)
        seen = transcript.scroll_y
        height = transcript.virtual_size.height
        await s.until(lambda: transcript.virtual_size.height > height + 10)
        assert transcript.scroll_y == seen
        await s.pilot.press("ctrl+l")
        await s.until(lambda: transcript.scroll_y == transcript.max_scroll_y > seen)
        height = transcript.virtual_size.height
        await s.until(lambda: transcript.virtual_size.height > height + 4)
        assert transcript.scroll_y == transcript.max_scroll_y
        await s.pilot.press("escape")
        await s.ready()


async def test_old_messages_are_hidden_and_can_be_revealed(
    stage: StageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tui.widgets.transcript._MOST_WIDGETS", 100)
    answer = "<|channel|>final<|message|>" + "- item\n" * 8 + "<|return|>"
    async with stage(*[answer] * 8, size=(80, 40)) as s:
        await s.ready()
        for number in range(8):
            s.app.screen.query_one(Composer).post_message(Composer.Sent(f"message {number}"))
        await s.until(lambda: len(s.engine.prompts) == 8)
        await s.ready()
        transcript = s.app.screen.query_one(Transcript)
        shown = [w for w in transcript.walk_children() if all(a.display for a in w.ancestors_with_self)]
        assert len(shown) < 150 < len(transcript.walk_children())
        transcript.focus()
        await s.pilot.press("home", "home", "home", "home")
        await s.until_shown("▌ message 0")


async def test_escape_closes_the_list_of_commands_first(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await s.pilot.press("/")
        await s.until_shown("/thinking")
        await s.pilot.press("escape")
        await s.until(lambda: "/thinking" not in s.screen)
        assert s.app.screen.query_one(Composer).text == "/"


async def test_typing_reaches_the_composer_wherever_the_focus_is(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await s.pilot.press("tab")
        assert isinstance(s.app.screen.focused, Transcript)
        await s.pilot.press("h", "i")
        assert s.app.screen.query_one(Composer).text == "hi"


async def test_a_stored_conversation_is_taken_up(stage: StageMaker, tmp_path: Path) -> None:
    script = THOUGHT + ANSWER
    async with stage(script, store=Store(tmp_path / "kept.sqlite3")) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("Hello world.")
        await s.ready()
    async with stage(ANSWER, store=Store(tmp_path / "kept.sqlite3"), resume="") as s:
        await s.ready()
        assert "▌ hi" in s.screen and "Hello world." in s.screen
        assert "unmoderated, may be wrong · 6 words" in s.screen
        await s.say("again")
        await s.until(lambda: s.screen.count("Hello world.") == 2)
        assert "Hello **world**." in s.engine.prompts[0]
