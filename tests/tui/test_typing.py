"""Keys that arrive faster than the application draws: each acts before the next."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.widgets import Button, Input

from gptoss_tui.model.engine import Finished, Generation, Item, Token
from gptoss_tui.tui.screens.help import HelpScreen
from gptoss_tui.tui.terminal.reader import Reader
from gptoss_tui.tui.widgets.approval_prompt import ApprovalPrompt
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.line_editor import LineEditor
from gptoss_tui.tui.widgets.prompt import GRACE_S

StageMaker = Callable[..., AbstractAsyncContextManager[Any]]

ANSWER = "<|channel|>final<|message|>Yes.<|return|>"
CALL = '<|channel|>commentary to=functions.repeat <|constrain|>json<|message|>{"text": "hi"}<|call|>'

LEFT, RIGHT, HOME, END, DELETE = b"\x1b[D", b"\x1b[C", b"\x1b[H", b"\x1b[F", b"\x1b[3~"
BACKSPACE, CTRL_K, CTRL_P, CTRL_U, CTRL_W = b"\x7f", b"\x0b", b"\x10", b"\x15", b"\x17"
MOST = 20_000
"""Tokens after which a flood ends that nobody could type into."""


def paste(text: bytes) -> bytes:
    """`text` as a terminal sends it when it is pasted."""
    return b"\x1b[200~" + text + b"\x1b[201~"


async def type_at_once(app: Any, *writes: bytes) -> None:
    """Every key is in the queue before the first one is handled; done when the last one has acted."""
    reader = Reader()
    for write in writes:
        for event in reader.feed(write):
            app.post_message(event)
    taken = asyncio.Event()
    app.call_later(taken.set)
    await taken.wait()
    if app.acting is not None:
        await app.acting


async def test_enter_sends_all_that_was_typed_before_it(stage: StageMaker) -> None:
    async with stage(ANSWER, ANSWER) as s:
        await s.ready()
        await type_at_once(s.app, b"what is 417 times 38\rand then")
        await s.until_shown("effort medium ·")
        assert "what is 417 times 38<|end|>" in s.engine.prompts[0]
        assert s.app.screen.query_one(Composer).text == "and then"


async def test_a_new_line_stands_where_it_was_typed(stage: StageMaker) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        await type_at_once(s.app, b"one\ntwo\nthree\r")
        await s.until_shown("effort medium ·")
        assert "one\ntwo\nthree<|end|>" in s.engine.prompts[0]


async def test_what_is_rubbed_out_is_not_sent(stage: StageMaker) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        await type_at_once(s.app, b"first" + BACKSPACE * 5 + b"second\r")
        await s.until_shown("effort medium ·")
        assert "<|message|>second<|end|>" in s.engine.prompts[0]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"abc" + BACKSPACE + b"d", "abd"),
        (b"hello" + LEFT * 2 + b"X", "helXlo"),
        (b"one two" + CTRL_W + b"three", "one three"),
        (b"middle" + HOME + b"a " + END + b" z", "a middle z"),
        (b"all gone" + CTRL_U + b"new", "new"),
        (b"keep cut" + LEFT * 4 + CTRL_K + b"!", "keep!"),
        (b"one\ntwo\x1b[A" + END + b"X", "oneX\ntwo"),
        (b"a" + paste(b"b\rc\x1b[D") + b"d" + LEFT + b"e", "ab\nc␛[Ded"),
        (b"/eff\tlow", "/effort low"),
        (b"b\x1b[32u\x1b[47;1u" + LEFT * 2 + b"\xe9 ", "b\ufffd  /"),
        (b"one\\\rtwo", "one\ntwo"),
        (b"x" + BACKSPACE + b"?a\x1b[27u", ""),
    ],
)
async def test_keys_act_in_the_order_they_came(stage: StageMaker, keys: bytes, text: str) -> None:
    async with stage() as s:
        await s.ready()
        await type_at_once(s.app, keys)
        assert s.app.screen.query_one(Composer).text == text


async def test_keys_wait_for_the_screen_that_the_one_before_opens(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await type_at_once(
            s.app, CTRL_P + b"thene" + BACKSPACE + LEFT + b"X" + DELETE + b"\x1b[200~mi\nx\x1b[201~"
        )
        assert isinstance(s.app.screen, CommandPalette)
        assert s.app.screen.query_one(Input).value == "theXmi"
        await type_at_once(s.app, b"\x1b[27u/help\rqab\x1bOP" + b"qcd")
        assert s.app.screen.query_one(Composer).text == "abcd"
        assert not s.engine.prompts


async def test_a_paste_never_acts_on_a_terminal_from_the_palette(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await type_at_once(s.app, CTRL_P + paste(b"\x1b[2Jgone\x07\r"))
        assert s.app.screen.query_one(Input).value == "␛[2Jgone␇"


async def test_a_paste_on_a_screen_without_an_editor_does_nothing(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await type_at_once(s.app, b"\x1bOP" + paste(b"q\x1b\r"))
        assert isinstance(s.app.screen, HelpScreen)
        await type_at_once(s.app, b"q")
        assert s.app.screen.query_one(Composer).text == ""


async def test_a_paste_beside_the_composer_goes_there(stage: StageMaker) -> None:
    async with stage() as s:
        await s.ready()
        await type_at_once(s.app, b"\t" + paste(b"one\r\ntwo") + b" three")
        assert s.app.screen.query_one(Composer).text == "one\ntwo three"


@asynccontextmanager
async def asked(stage: StageMaker, tool: Any) -> AsyncIterator[Any]:
    """A stage on which a call asks for approval, and has done so for long enough."""
    async with stage(CALL, ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("do it")
        await s.until_shown("Run this call?")
        await asyncio.sleep(GRACE_S + 0.05)
        yield s


async def test_a_paste_answers_no_question(stage: StageMaker, repeat: Callable[..., Any]) -> None:
    async with asked(stage, tool := repeat(must_ask=True)) as s:
        await type_at_once(s.app, paste(b"y\rn\x1b[27u\x1by"))
        assert isinstance(s.app.focused, Button)
        assert s.app.screen.query_one(Composer).text == "y\nn␛[27u␛y"
        assert s.app.screen.query(ApprovalPrompt)
        assert not tool.calls


async def test_a_key_that_had_to_wait_counts_as_early_as_it_came(
    stage: StageMaker, repeat: Callable[..., Any]
) -> None:
    async with asked(stage, tool := repeat(must_ask=True)) as s:
        prompt = s.app.screen.query_one(ApprovalPrompt)
        (early,) = Reader().feed(b"y")
        prompt.listen_anew()
        await asyncio.sleep(GRACE_S + 0.05)
        s.app.post_message(early)
        await type_at_once(s.app, b"y")
        assert not tool.calls
        assert s.app.screen.query(ApprovalPrompt)


async def test_a_reason_is_typed_ahead_and_what_follows_goes_back_to_the_composer(
    stage: StageMaker, repeat: Callable[..., Any]
) -> None:
    async with asked(stage, tool := repeat(must_ask=True)) as s:
        await type_at_once(s.app, b"\x1b[27unot here" + BACKSPACE * 4 + paste(b"n\rw") + b"\rnext")
        await s.until_shown("effort medium ·")
        assert "not n\\nw" in s.engine.prompts[1] or "not n\nw" in s.engine.prompts[1]
        assert s.app.screen.query_one(Composer).text == "next"
        assert not tool.calls


async def test_arguments_are_edited_ahead(stage: StageMaker, repeat: Callable[..., Any]) -> None:
    async with asked(stage, repeat(must_ask=True)) as s:
        await type_at_once(s.app, b"e" + LEFT * 2 + b"X" + BACKSPACE + b"Y")
        assert '"hiY"' in s.app.screen.query_one(LineEditor).text


class ReferenceEditor:
    """One line of text, as the keys of the composer change it."""

    def __init__(self) -> None:
        self.before, self.behind = "", ""

    def press(self, key: bytes) -> None:
        """Act as `key` does."""
        match key:
            case b"\x7f":
                self.before = self.before[:-1]
            case b"\x1b[3~":
                self.behind = self.behind[1:]
            case b"\x1b[D":
                self.before, self.behind = self.before[:-1], self.before[-1:] + self.behind
            case b"\x1b[C":
                self.before, self.behind = self.before + self.behind[:1], self.behind[1:]
            case b"\x1b[H":
                # The first press goes to the first letter.
                text = self.before + self.behind
                indent = len(text) - len(text.lstrip()) if text.strip() else 0
                if 0 < len(self.before) <= indent:
                    indent = 0
                self.before, self.behind = text[:indent], text[indent:]
            case b"\x1b[F":
                self.before, self.behind = self.before + self.behind, ""
            case b"\x17":
                self.before = re.sub(r"\w*\s*$", "", self.before)
            case b"\x15":
                self.before = ""
            case b"\x0b":
                self.behind = ""
            case letter:
                self.before += letter.decode()


EDITING = [LEFT, LEFT, RIGHT, HOME, END, DELETE, BACKSPACE, BACKSPACE, CTRL_K, CTRL_U, CTRL_W]


async def test_a_thousand_bursts_end_as_in_a_reference_editor(stage: StageMaker) -> None:
    chance = random.Random(6)
    async with stage(size=(80, 10)) as s:
        await s.ready()
        composer = s.app.screen.query_one(Composer)
        for _ in range(1000):
            keys = [
                chance.choice(EDITING) if chance.random() < 0.3 else chance.choice("abc é").encode()
                for _ in range(chance.randint(2, 10))
            ]
            burst = b"".join(keys)
            cuts = sorted(chance.sample(range(len(burst)), chance.randint(0, 2)))
            await type_at_once(s.app, *(burst[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)))
            reference = ReferenceEditor()
            for key in keys:
                reference.press(key)
            assert composer.text == reference.before + reference.behind, burst
            assert composer.cursor_location == (0, len(reference.before)), burst
            composer.text = ""


async def test_a_flood_of_tokens_lets_every_key_through(stage: StageMaker) -> None:
    """An engine whose tokens are all there already never makes the session wait; the keys must not either."""
    async with stage() as s:
        await s.ready()
        composer = s.app.screen.query_one(Composer)
        begin = s.engine.tokenizer.encode("<|channel|>final<|message|>", allowed_special="all")
        (word,), (end,) = (
            s.engine.tokenizer.encode(text, allowed_special="all") for text in ("a", "<|return|>")
        )
        written = 0

        async def flood(*arguments: Any) -> AsyncGenerator[Item, None]:
            nonlocal written
            for token in begin:
                yield Token(token, -0.1)
            for key in Reader().feed(b"typed in the flood"):
                s.app.post_message(key)
            while composer.text != "typed in the flood" and written < MOST:
                written += 1
                yield Token(word, -0.1)
            yield Token(end, -0.1)
            yield Finished("stop", 0.1, 0.1)

        s.engine.generate = lambda request: Generation(flood)
        await s.say("Go on for ever.")
        await s.until_shown("effort medium ·")
        assert 0 < written < MOST
