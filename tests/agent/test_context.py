"""What the model is shown of a conversation fits its context, whatever was said, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.agent.context import SHORTENED, SUMMARY_REQUEST, Capacity, shown
from gptoss_tui.agent.options import Options
from gptoss_tui.agent.renderer import Renderer, table_of
from gptoss_tui.agent.rendering import Open, Table, Tokenizing
from gptoss_tui.agent.room import Room
from gptoss_tui.events.events import ContextCut, Event
from gptoss_tui.harmony import render
from gptoss_tui.harmony.message import Channel, Conversation, DeveloperPrompt, Function, Message, Role
from gptoss_tui.history.cut import Cut
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.engine.fake import FakeEngine
from gptoss_tui.permissions.question import Nobody

WORDS = st.text("ab é雨\n", max_size=60) | st.text(min_size=1, max_size=8).map(lambda text: text * 40)
OUTPUTS = WORDS | st.integers(50, 500).map(lambda count: "got it " * count)
FIXED = DeveloperPrompt("Be brief.", (Function("echo", "Gives back what it gets."),))


class InProcess(Renderer):
    """The renderer's own work, in this process: no example of a property waits for another process."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        self._tokenizing = Tokenizing()
        opened = self._tokenizing.work(Open(str(checkpoint)))
        assert isinstance(opened, Table)
        self._table = table_of(opened)

    async def _ask(self, request: Any) -> Any:
        return self._tokenizing.work(request)


@pytest.fixture(scope="session")
def in_process(checkpoint: Path) -> InProcess:
    return InProcess(checkpoint)


@st.composite
def samples(draw: st.DrawFn) -> list[Message]:
    """What the model writes until it is answered: perhaps a thought, and perhaps a call with its result."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(Role.ASSISTANT, draw(WORDS), channel=Channel.ANALYSIS))
    channel = draw(st.sampled_from([Channel.COMMENTARY, Channel.ANALYSIS]))
    call = Message(Role.ASSISTANT, draw(WORDS), channel=channel, recipient="functions.echo")
    result = Message(Role.TOOL, draw(OUTPUTS), name="functions.echo", channel=channel)
    return [*messages, call, result]


ANSWERS = st.none() | WORDS.map(lambda text: Message(Role.ASSISTANT, text, channel=Channel.FINAL))
TURNS = st.tuples(WORDS, st.lists(samples(), max_size=4), ANSWERS)


async def grown(room: Room, turns: Sequence[Any], tokenizer: tiktoken.Encoding) -> None:
    """Let a conversation grow as turns do, with room made before each sample; checks every prompt."""
    told: list[Event] = []

    async def emit(event: Event) -> None:
        told.append(event)

    messages, last = room.conversation.messages, list[Message]()
    for text, parts, answer in turns:
        question = Message(Role.USER, text)
        if await room.refusal(question):
            alone = Conversation(room.conversation.system, room.conversation.developer, [question])
            assert room.capacity is not None
            assert len(render(alone, tokenizer, channel=Channel.COMMENTARY)) > room.capacity.prompt
            continue
        messages.append(question)
        for part in [[], *parts]:
            messages += part
            before, cuts = list(messages), len(told)
            if not room.holds(await room.prompt(None)):
                assert await room.make(emit)
                assert len(told) == cuts + 1, "a cut is told"
            assert messages == before, "the history stays whole"
            view = await check(room, question, tokenizer)
            said = [message for message in view if message.channel is not Channel.ANALYSIS]
            if len(told) == cuts:
                assert said[: len(last)] == last, "what was read stays read until a cut is told"
            last = said
        messages += [answer] if answer else []
    for cut in told:
        assert isinstance(cut, ContextCut)
        assert cut.after < cut.before
        assert cut.turns or cut.messages or cut.outputs


async def check(room: Room, question: Message, tokenizer: tiktoken.Encoding) -> list[Message]:
    """The prompt as the model gets it; returns its messages."""
    capacity, view = room.capacity, shown(room.conversation.messages, room.cut)
    prompt = await room.prompt(None)
    assert capacity is not None
    assert len(prompt) <= capacity.prompt <= capacity.context - 1
    first = Conversation(room.conversation.system, room.conversation.developer)
    fixed = render(first, tokenizer)
    fixed = fixed[: -fixed[::-1].index(room.renderer.control.start) - 1]
    assert prompt[: len(fixed)] == fixed, "it begins with the system and the developer message"
    last_asked = max(i for i, message in enumerate(view) if message.role is Role.USER)
    assert view[last_asked] == question
    answered = max((i for i, m in enumerate(view[:last_asked]) if m.channel is Channel.FINAL), default=-1)
    assert all(m.channel is not Channel.ANALYSIS for m in view[: answered + 1])
    for place, message in enumerate(view):
        if message.role is Role.TOOL:
            assert view[place - 1].recipient == message.name
        if message.recipient is not None:
            assert view[place + 1].role is Role.TOOL
    return view


@given(
    st.lists(TURNS, min_size=1, max_size=8), st.sampled_from([50, 400, 1000, 2500, 5000]), st.integers(1, 400)
)
@settings(max_examples=40)
def test_whatever_was_said_the_prompt_fits_and_is_well_formed(
    in_process: InProcess, tokenizer: tiktoken.Encoding, turns: Any, spare: int, answer: int
) -> None:
    conversation = Conversation(developer=FIXED)
    least = len(render(conversation, tokenizer))
    context = (least + spare) * 4 // 3

    async def play() -> None:
        engine = FakeEngine(tokenizer, context=context)
        async for _ in engine.load():
            pass
        options = Options(sampling=Sampling(max_tokens=answer), context_full="drop")
        room = Room(conversation, [], engine, in_process, Nobody(), options, lambda: 0)
        await grown(room, turns, tokenizer)

    asyncio.run(play())


def test_room_is_kept_for_an_answer() -> None:
    def of(context: int, **sampling: Any) -> Capacity:
        from gptoss_tui.model.engine import Abilities, EngineInfo

        able = Abilities(True, True, True, True, True, True)
        return Capacity.of(EngineInfo("m", "d", context, 0, 0, 0.0, able), Sampling(**sampling))

    assert of(131_072).answer == 8_192, "what gpt-oss may need to think"
    assert of(8_192).answer == 2_048, "but no more than a quarter"
    assert of(131_072, max_tokens=500).answer == 500, "nor than it may write"
    assert of(3).prompt == 2


def test_a_summary_stands_where_the_turns_stood() -> None:
    """As the model's own words: what came from a page must gain no authority by being summed up."""
    messages = [
        Message(Role.USER, "one"),
        Message(Role.ASSISTANT, "1", channel=Channel.FINAL),
        Message(Role.USER, "two"),
    ]
    request, summary, *rest = shown(messages, Cut(first=2, summary="They counted."))
    assert (request.role, request.text) == (Role.USER, SUMMARY_REQUEST)
    assert (summary.role, summary.channel, summary.text) == (Role.ASSISTANT, Channel.FINAL, "They counted.")
    assert rest == messages[2:]


def test_a_short_output_is_not_made_longer() -> None:
    short = Message(Role.TOOL, "391", name="python", channel=Channel.ANALYSIS)
    long = Message(Role.TOOL, "3" * 500, name="python", channel=Channel.ANALYSIS)
    call = Message(Role.ASSISTANT, "17*23", channel=Channel.ANALYSIS, recipient="python")
    view = shown([Message(Role.USER, "?"), call, short, call, long], Cut(outputs=5))
    assert [m.text for m in view if m.role is Role.TOOL] == ["391", SHORTENED]
