"""Held-out dialogues through the product: its engine, renderer, turn loop, parser and tools."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from gptoss_tui.agent.options import Options
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.turn import Turn
from gptoss_tui.calls.toolbox import Toolbox
from gptoss_tui.events.events import Event
from gptoss_tui.harmony.message import Channel, Conversation, Effort, Function, Message, ResponseFormat, Role
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.engine.local import LocalEngine
from gptoss_tui.permissions.policy import Permissions
from gptoss_tui.permissions.question import Nobody
from gptoss_tui.tools import Output, Tool
from gptoss_tui.tools.browser import browser_tools
from gptoss_tui.tools.browser.citations import Citation, Mark, ShownPages, split
from gptoss_tui.tools.browser.folder import Folder
from gptoss_tui.tools.python import PythonTool

from .dialogues import Dialogue, DialogueTurn
from .dialogues.phrasing import plain


class Unconstrained(Turn):
    """A turn whose answer is not constrained to the response format: the model's own ability."""

    @property
    def response_format(self) -> ResponseFormat | None:
        """None, so that nothing constrains the answer."""
        return None


class ScriptedFunction(Tool):
    """A function of the developer message, with the dialogue's results for the wanted arguments."""

    def __init__(self, function: Function, turns: tuple[DialogueTurn, ...]) -> None:
        self.name = f"functions.{function.name}"
        self.description = function.description
        self.parameters = function.parameters
        self._results: dict[str, deque[str]] = defaultdict(deque)
        for turn in turns:
            for one, output in itertools.pairwise(turn.messages):
                if one.recipient == self.name and output.role is Role.TOOL:
                    self._results[_canonical(plain(one.text))].append(output.text)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """The scripted result of exactly these arguments, whatever their order and spacing."""
        results = self._results.get(_canonical(arguments))
        if not results:
            yield Output("[ERROR] ValueError: unexpected arguments", is_error=True)
            return
        text = results.popleft()
        yield Output(text, is_error=text.startswith("[ERROR]"))


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments


@dataclass(slots=True)
class Outcome:
    """The outcome of a dialogue, by turns: right or not, messages, tokens of first prompt and reasoning."""

    dialogue: Dialogue
    right: list[bool] = field(default_factory=list)
    said: list[list[Message]] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    reasoning_tokens: list[int] = field(default_factory=list)

    @property
    def calls(self) -> list[int]:
        """The number of calls in each turn."""
        return [sum(message.recipient is not None for message in turn) for turn in self.said]


class Trial:
    """A checkpoint under test; one engine, one renderer and one Python for all dialogues."""

    def __init__(self, checkpoint: Path, *, threads: int | None = None, temperature: float = 0.0) -> None:
        self._engine = LocalEngine(checkpoint, name="demo", device="cpu", threads=threads)
        self._renderer = Renderer(checkpoint)
        self._python = PythonTool()
        self._terms = Options(sampling=Sampling(temperature), max_tool_calls=8)
        self._count = itertools.count()

    async def start(self) -> None:
        """Load the model."""
        await self._renderer.start()
        async for _ in self._engine.load():
            pass

    async def close(self) -> None:
        """Give back the processes."""
        await self._engine.close()
        await self._python.close()
        await self._renderer.close()

    async def play(self, dialogue: Dialogue) -> Outcome:
        """Play the dialogue: the person's words are its own, all else comes from the model and the tools."""
        with tempfile.TemporaryDirectory() as scratch:
            tools: list[Tool] = []
            if dialogue.setting.system.python:
                tools.append(self._python)
            tools += [ScriptedFunction(one.function, dialogue.turns) for one in dialogue.setting.functions]
            if dialogue.setting.system.browser:
                tools += _browser(Path(scratch), dialogue)
            return await self._play(dialogue, tools)

    async def _play(self, dialogue: Dialogue, tools: list[Tool]) -> Outcome:
        conversation = Conversation(dialogue.setting.system, dialogue.setting.developer)
        outcome = Outcome(dialogue)
        if dialogue.turn.skill == "python-mended":
            await self._python.close()  # an import of an earlier dialogue would leave nothing to mend
        for wanted in dialogue.turns:
            conversation.messages.append(Message(Role.USER, wanted.user))
            begin = len(conversation.messages)
            turn = Unconstrained(
                conversation,
                self._engine,
                self._renderer,
                Toolbox(tools, Nobody(), Permissions(bypass=True)),
                self._terms,
                next_seed=lambda: next(self._count),
                new_call_id=lambda: f"call_{next(self._count)}",
            )
            await turn.run(_unseen)
            said = conversation.messages[begin:]
            outcome.said.append(said)
            outcome.right.append(_is_right(wanted, said))
            outcome.prompt_tokens.append(turn.samples[0].prompt_tokens if turn.samples else 0)
            outcome.reasoning_tokens.append(turn.usage().reasoning_tokens)
        return outcome


async def _unseen(event: Event) -> None:
    """Nobody watches a trial."""


def _browser(folder: Path, dialogue: Dialogue) -> list[Tool]:
    """The product's browser over the dialogue's documents."""
    documents = folder / "documents"
    documents.mkdir()
    for turn in dialogue.turns:
        for name, text in turn.documents.items():
            (documents / name).write_text(text)
    place = Folder(documents, folder / "index")
    return list(browser_tools(place, place))


def _is_right(wanted: DialogueTurn, said: list[Message]) -> bool:
    last = said[-1] if said else None
    if last is None or last.role is not Role.ASSISTANT or last.channel is not Channel.FINAL:
        return False
    if wanted.skill.startswith("json"):
        try:
            return bool(json.loads(last.text) == json.loads(wanted.final))
        except ValueError:
            return False
    if wanted.skill == "search":
        return _cites(wanted, said)
    return last.text.strip() == wanted.final.strip()


def _cites(wanted: DialogueTurn, said: list[Message]) -> bool:
    """Whether the answer quotes the wanted line, and its one citation resolves to that line."""
    text = said[-1].text
    pages = ShownPages()
    for message in said:
        if message.role is Role.TOOL:
            pages.read(message.name or "", message.text)
    line = plain(wanted.messages[-1].text).removeprefix("I found this: ").partition(" 【")[0]
    marks = [piece for piece in split(text) if isinstance(piece, Mark)]
    if line not in text or len(marks) != 1:
        return False
    cited = pages.resolve(marks[0])
    return isinstance(cited, Citation) and line in cited.quote


def means(outcomes: list[Outcome]) -> dict[Effort, tuple[float, float]]:
    """By effort: the average tokens of reasoning and the average calls of a turn."""
    found: dict[Effort, list[tuple[int, int]]] = defaultdict(list)
    for outcome in outcomes:
        pairs = zip(outcome.reasoning_tokens, outcome.calls, strict=True)
        found[outcome.dialogue.setting.system.effort] += pairs
    return {
        effort: (sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs))
        for effort, pairs in found.items()
    }
