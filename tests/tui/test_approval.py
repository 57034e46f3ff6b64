"""The question whether a call may run: every key, on terminals of every size."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, OptionList

from gptoss_tui.events.events import ToolOutput
from gptoss_tui.permissions.always import LastingAnswers
from gptoss_tui.permissions.policy import Permissions
from gptoss_tui.permissions.rules import read_rules
from gptoss_tui.tools import Output
from gptoss_tui.tui.screens.help import HelpScreen
from gptoss_tui.tui.screens.permissions import PermissionsScreen
from gptoss_tui.tui.widgets.approval_prompt import ApprovalPrompt
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.go_on_prompt import GoOnPrompt
from gptoss_tui.tui.widgets.line_editor import LineEditor

StageMaker = Callable[..., Any]
ToolMaker = Callable[..., Any]

ANSWER = "<|channel|>final<|message|>Done.<|return|>"
GRACE_S = 0.1
BUTTONS = ("n  No", "y  Once", "a  This session", "A  Always", "e  Edit", "Esc  No, and why")


@pytest.fixture(autouse=True)
def grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter than in life; test_tool_cards.py looks at what it is for."""
    monkeypatch.setattr("gptoss_tui.tui.widgets.prompt.GRACE_S", GRACE_S)


def call(arguments: str = '{"text": "x"}', recipient: str = "functions.repeat") -> str:
    return f"<|channel|>commentary to={recipient} <|constrain|>json<|message|>{arguments}<|call|>"


async def asked(s: Any) -> None:
    """Wait for the question, and until it listens."""
    await s.until(lambda: isinstance(s.app.focused, Button))
    await asyncio.sleep(GRACE_S + 0.05)
    await s.pilot.pause()


async def told(s: Any) -> str:
    """What the model was told of the call."""
    await s.until_shown("Done.")
    return str(s.engine.prompts[-1]).rpartition("to=assistant")[2]


@pytest.mark.parametrize(
    ("keys", "ran"),
    [
        (["y"], True),
        (["a"], True),
        (["A"], True),
        (["n"], False),
        (["enter"], False),
        (["escape", "escape"], False),
        (["escape", "enter"], False),
        (["right", "enter"], True),
        (["left", "left", "right", "right", "enter"], False),
        (["z", "q", "y", "n"], True),
        (["n", "y"], False),
    ],
)
async def test_each_key_answers_once(
    stage: StageMaker, repeat: ToolMaker, keys: list[str], ran: bool
) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press(*keys)
        output = await told(s)
        assert len(tool.calls) == ran
        assert ("did not allow" in output) is not ran
        assert isinstance(s.app.screen.focused, Composer)


async def test_a_no_can_say_why(stage: StageMaker, repeat: ToolMaker) -> None:
    async with stage(call(), ANSWER, tools=[repeat(must_ask=True)]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press("escape")
        await s.until(lambda: isinstance(s.app.focused, LineEditor))
        s.app.focused.insert("use the n other y tool")
        await s.pilot.press("enter")
        assert "and says: use the n other y tool" in await told(s)


async def test_esc_in_the_composer_leads_to_the_question(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        s.app.screen.query_one(Composer).focus()
        await s.pilot.press("y", "escape")
        assert s.app.screen.query_one(Composer).text == "y", "a letter in the composer answers nothing"
        await s.until(lambda: isinstance(s.app.focused, LineEditor))
        await s.pilot.press("escape")
        assert "did not allow" in await told(s)
        assert tool.calls == []


async def test_an_edited_call_is_asked_about_again(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call('{"text": "\u202ex"}'), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press("e")
        await s.until(lambda: isinstance(s.app.focused, LineEditor))
        assert s.app.focused.text == '{"text": "\ufffdx"}', "nothing hidden can be edited"
        s.app.focused.text = '{"text": "better"}'
        await s.pilot.press("enter")
        await s.until_shown("better")
        assert tool.calls == []
        await asked(s)
        await s.pilot.press("y")
        assert "The user changed the call to" in await told(s)
        assert tool.calls == ['{"text": "better"}']


async def test_leaving_the_editor_leads_back_to_the_question(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call('{"text": "\u200bx"}'), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press("e", "escape")
        await s.until(lambda: isinstance(s.app.focused, Button))
        await s.pilot.press("e", "enter")
        await asked(s)
        await s.pilot.press("y")
        await s.until_shown("Done.")
        assert tool.calls == ['{"text": "\u200bx"}'], "what was not changed stays as it is"


async def test_always_shows_its_rule_before_and_when_it_is_made(
    stage: StageMaker, repeat: ToolMaker, tmp_path: Path
) -> None:
    kept = LastingAnswers(tmp_path / "permissions.json")
    async with stage(
        call(), ANSWER, tools=[repeat(must_ask=True)], permissions=Permissions(lasting=kept)
    ) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        assert "a and A stop asking for: functions.repeat" in s.screen
        await s.pilot.press("A")
        await s.until_shown("From now on without asking: functions.repeat")
        assert [one.rule for one in kept.read()] == ["functions.repeat"]


async def test_what_is_asked_every_time_offers_no_lasting_answer(
    stage: StageMaker, repeat: ToolMaker
) -> None:
    tool = repeat(must_ask=True)
    permissions = Permissions(rules=read_rules({"ask": ["functions.*"]}))
    async with stage(call(), ANSWER, tools=[tool], permissions=permissions) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        assert "This session" not in s.screen and "Always" not in s.screen
        await s.pilot.press("a", "A")
        assert s.app.screen.query(ApprovalPrompt)
        assert tool.calls == []


@pytest.mark.parametrize("size", [(120, 40), (60, 20), (50, 19)])
async def test_a_long_call_scrolls_and_the_buttons_stay(
    stage: StageMaker, repeat: ToolMaker, size: tuple[int, int]
) -> None:
    rows = "\n".join(map(str, range(3_000)))
    tool = repeat(must_ask=True)
    tool.where, tool.origin = "on this machine, unconfined", "/home/somebody/functions.py"
    async with stage(call(f"first\r\n{rows}"), ANSWER, tools=[tool], size=size, context=10**6) as s:
        await s.ready()
        await s.say("go")
        await asked(s)

        def all_buttons() -> bool:
            return all(label in s.screen for label in BUTTONS)

        await s.until(all_buttons, 20)
        assert "3,001" in s.screen
        assert "first␍" in s.screen
        await s.pilot.press(*["down"] * 8)
        await s.until(lambda: "first␍" not in s.screen, 20)
        assert all_buttons()
        await s.pilot.press(*["up"] * 8)
        await s.until(lambda: "first␍" in s.screen, 20)
        await s.pilot.press("n")
        await s.until_shown("Done.")
        assert tool.calls == []


async def test_resizing_loses_no_button(stage: StageMaker, repeat: ToolMaker) -> None:
    dice = random.Random(1)
    rows = "\n".join(f"row {number}" for number in range(100))
    async with stage(call(rows), ANSWER, tools=[repeat(must_ask=True)], context=10**6) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        for _ in range(15):
            await s.pilot.resize_terminal(dice.randrange(1, 150), dice.randrange(1, 60))
        await s.pilot.resize_terminal(70, 22)
        await s.until(lambda: all(label in s.screen for label in BUTTONS), 20)


async def test_a_press_that_comes_after_the_stop_starts_nothing(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        prompt = s.app.screen.query_one(ApprovalPrompt)
        await s.pilot.press("ctrl+c")
        prompt.action_choose("once")
        await s.until_shown("Stopped.")
        assert tool.calls == []


async def test_a_key_that_comes_too_early_starts_the_grace_again(
    stage: StageMaker, repeat: ToolMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("gptoss_tui.tui.widgets.prompt.monotonic", lambda: clock[0])
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        for _ in range(10):
            clock[0] += GRACE_S * 0.9
            await s.pilot.press("y")
            assert tool.calls == []
        clock[0] += GRACE_S * 1.1
        await s.pilot.press("y")
        await s.until_shown("Done.")
        assert len(tool.calls) == 1


async def test_what_was_typed_on_another_screen_answers_nothing(
    stage: StageMaker, repeat: ToolMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press("f1")
        await s.until(lambda: isinstance(s.app.screen, HelpScreen))
        monkeypatch.setattr("gptoss_tui.tui.widgets.prompt.GRACE_S", 60.0)
        await s.pilot.press("escape", "y")
        assert s.app.screen.query(ApprovalPrompt)
        assert tool.calls == []


async def test_a_slow_call_says_when_it_will_be_ended(
    stage: StageMaker, repeat: ToolMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tui.widgets.tool_card._COUNTDOWN_FROM_S", 0.0)
    over = asyncio.Event()

    class Slow(repeat):  # type: ignore[misc, valid-type]
        async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
            await over.wait()
            yield Output("late")

    async with stage(call(), ANSWER, tools=[Slow()]) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown("s of 120 s")
        over.set()
        await s.until_shown("Done.")


@pytest.mark.parametrize(
    ("key", "end"), [("c", "Done."), ("w", "Enough."), ("s", "Stopped"), ("escape", "Stopped")]
)
async def test_many_calls_ask_whether_to_go_on(
    stage: StageMaker, repeat: ToolMaker, key: str, end: str
) -> None:
    last = "Enough.<|return|>" if key == "w" else ANSWER
    async with stage(call(), call(), last, tools=[repeat()], max_tool_calls=2) as s:
        await s.ready()
        await s.say("go")
        await s.until(lambda: isinstance(s.app.focused, Button))
        await s.until_shown("The model has made 2 calls in this turn. Shall it go on?")
        await s.until_shown("waiting for your answer")
        await asyncio.sleep(GRACE_S + 0.05)
        await s.pilot.press(key)
        await s.until_shown(end)
        await s.ready()
        assert not s.app.screen.query(GoOnPrompt)


async def test_permissions_lists_and_revokes(stage: StageMaker, repeat: ToolMaker, tmp_path: Path) -> None:
    kept = LastingAnswers(tmp_path / "permissions.json")
    kept.add("functions.repeat", "")
    kept.add("browser.open(https://a.example/*)", "")
    permissions = Permissions(rules=read_rules({"deny": ["functions.rm*"]}), lasting=kept)
    async with stage(tools=[repeat()], permissions=permissions) as s:
        await s.ready()
        await s.say("/permissions")
        await s.until(lambda: isinstance(s.app.screen, PermissionsScreen))
        await s.until_shown("deny  functions.rm*   config.toml")
        await s.until_shown("allow functions.repeat   always, since 20")
        await s.pilot.press("r")
        await s.until_shown("it is changed there")
        await s.pilot.press("down", "r")
        await s.until_shown("Revoked: allow functions.repeat")
        assert [one.rule for one in kept.read()] == ["browser.open(https://a.example/*)"]
        await s.pilot.press("r")
        await s.until(lambda: s.app.screen.query_one(OptionList).option_count == 1)
        assert kept.read() == []
        (tmp_path / "permissions.json").write_text("{")
        await s.pilot.press("escape")
        await s.say("/permissions")
        await s.until_shown("it allowed will be asked")


async def test_a_danger_stays_in_the_status_line(stage: StageMaker) -> None:
    async with stage(size=(60, 20), danger="full access") as s:
        await s.until_shown("FULL ACCESS ● ready")


async def test_a_cut_output_names_its_file(stage: StageMaker, repeat: ToolMaker) -> None:
    async with stage(call(), ANSWER, tools=[repeat(output="x")]) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown("Done.")
        card = next(iter(s.app.screen.query("ToolCard")))
        card.receive(ToolOutput("call_1", "x", False, 0.1, (), "/tmp/\x1boutput.txt"))
        await card.flush()
        await s.until_shown("All of it: /tmp/␛output.txt")
        assert json.dumps(card.output) == '"x"'
