"""The tools on offer in a conversation: what the model is told of them, and one call from start to end."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..events import events
from ..events.events import Event, Events, ToolCall, ToolOutput, ToolOutputDelta
from ..harmony.message import Function, Message, Role
from ..permissions.always import LastingAnswerError
from ..permissions.policy import Allowed, Asked, Permissions, Refused
from ..permissions.question import Approval, Decision, GoOn, Pause, Person, Question
from ..tools import Output, Reach, Tool, further
from .cancel import Stopped, unless_stopped
from .output import Collected, OutputFolder
from .run import TookTooLong, ToolFailed, answered, contained, guarded, in_time

MARGIN_S = 10.0
"""How much longer than its own limit a tool may take: it knows best how to end a call in order."""

MOST_OUTPUT = 100_000_000
"""Characters after which a call is stopped."""

_MOST_SHOWN = 1_000_000
"""Characters of an output that are shown as they come; people read the end of it, or the file."""

_FUNCTIONS = "functions."


@dataclass(slots=True)
class Toolbox:
    """The tools by the name the model writes, who is asked about them, and what has been laid down.

    `off` are tools, or groups of them, that the person has switched off: a call of one is answered as such.
    `outputs` is where outputs that are too long are kept whole; None keeps none.
    """

    tools: Sequence[Tool]  # replaced when files and servers have said what they have
    person: Person
    permissions: Permissions = field(default_factory=Permissions)
    off: Collection[str] = ()
    outputs: OutputFolder | None = None
    _has_run_python: bool = False

    @property
    def has_python(self) -> bool:
        """True when the system message must describe the Python tool."""
        return any(tool.name == "python" for tool in self.tools)

    @property
    def has_browser(self) -> bool:
        """True when the system message must describe the browser."""
        return any(tool.name.startswith("browser.") for tool in self.tools)

    @property
    def functions(self) -> tuple[Function, ...]:
        """The developer functions, as the developer message declares them."""
        return tuple(
            Function(tool.name.removeprefix(_FUNCTIONS), tool.description, tool.parameters)
            for tool in self.tools
            if tool.name.startswith(_FUNCTIONS)
        )

    @property
    def recipients(self) -> frozenset[str]:
        """Every name that can be called."""
        return frozenset(tool.name for tool in self.tools)

    def find(self, recipient: str) -> Tool | None:
        """The tool called by that name; `functions.python` means the built-in, as models write it so."""
        by_name = {tool.name: tool for tool in self.tools}
        return by_name.get(recipient) or by_name.get(recipient.removeprefix(_FUNCTIONS))

    def recall(self, messages: Iterable[Message]) -> None:
        """Tell every tool what the person and the tools said; see `Tool.recall`."""
        for message in messages:
            author = "user" if message.role is Role.USER else message.name
            if author and message.role in (Role.USER, Role.TOOL):
                for tool in self.tools:
                    with suppress(Exception):  # a tool must not end the conversation
                        tool.recall(author, message.text)

    def keep(self, folder: Path) -> None:
        """Have every tool keep its files in `folder`, from the next start on."""
        for tool in self.tools:
            tool.keep(folder)

    async def start(self) -> None:
        """Get every tool ready; one that cannot start says so when it is called."""
        await asyncio.gather(*(contained(tool.start) for tool in self.tools), return_exceptions=True)

    async def close(self) -> None:
        """Give back what the tools hold."""
        await asyncio.gather(*(contained(tool.close) for tool in self.tools), return_exceptions=True)

    async def go_on(self, pause: Pause, stop: asyncio.Event) -> GoOn:
        """Ask the person whether a turn goes on."""
        try:
            return await unless_stopped(stop, self.person.go_on(pause))
        except Stopped:
            return GoOn.STOP

    async def call(self, call: ToolCall, stop: asyncio.Event) -> Events:
        """Run one call: its output as it comes, then the whole as the model is told. Never raises."""
        clock = _Clock()
        collected = Collected(call.recipient, self.outputs)
        files: list[str] = []
        failed, note = False, ""
        try:
            async with aclosing(self._run(call, stop, clock)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Event):
                        yield piece
                        continue
                    failed = failed or piece.is_error
                    files += map(str, piece.files)
                    shown = collected.add(piece.text)
                    if shown and collected.length <= _MOST_SHOWN:
                        yield ToolOutputDelta(call.call_id, shown)
                    if collected.length > MOST_OUTPUT:
                        note = "[ERROR] Stopped because it printed too much."
                        break
        except Stopped:
            may_have_acted = "; it may already have had an effect" if clock.running else " before it was run"
            note = f"[ERROR] Stopped by the user{may_have_acted}."
        except TookTooLong:
            note = f"[ERROR] Timed out after {clock.limit_s:g} s; it may have had an effect."
        except ToolFailed as error:
            note = f"[ERROR] The tool itself failed: {error}"
        except Exception as error:  # a tool must not end the conversation
            note = f"[ERROR] The tool itself failed: {type(error).__name__}: {error}"
        finally:
            collected.close()
        output = collected.text("\n" + note if note and collected.length else note)
        whole = str(collected.whole) if collected.whole else None
        yield ToolOutput(call.call_id, output, failed or bool(note), clock.seconds, tuple(files), whole)

    async def _run(
        self, call: ToolCall, stop: asyncio.Event, clock: _Clock
    ) -> AsyncGenerator[Output | Event, None]:
        tool = self.find(call.recipient)
        if tool is None:
            yield Output(self._absent(call.recipient), is_error=True)
            return
        clock.limit_s = tool.time_limit + MARGIN_S
        await in_time(tool.start, stop, clock.limit_s)
        if objection := await in_time(partial(tool.objection, call.arguments), stop, clock.limit_s):
            yield Output(objection, is_error=True)
            return
        arguments: str | None = None
        async with aclosing(self._asking(call, tool, stop)) as steps:
            async for step in steps:
                if isinstance(step, str):
                    arguments = step
                else:
                    yield step
        if stop.is_set():
            raise Stopped
        if arguments is None:
            return
        allowed = arguments
        yield events.ToolStarted(call.call_id, allowed, tool.time_limit)
        if tool.name == "python" and not self._has_run_python:
            self._has_run_python = True
            yield events.ToolNote(call.call_id, f"Python runs {tool.where}.")
        if allowed != call.arguments:
            yield Output(f"[The user changed the call to: {allowed}]\n")
        clock.start()
        refused: list[str] = []

        def run() -> AsyncGenerator[Output, None]:
            further.judged_by(partial(self._judge, refused))
            return tool.call(allowed)

        async with aclosing(guarded(run, stop, clock.limit_s)) as outputs:
            async for output in outputs:
                yield output
        for told in refused:
            yield events.ToolRefused(call.call_id, told)

    async def _asking(
        self, call: ToolCall, tool: Tool, stop: asyncio.Event
    ) -> AsyncGenerator[str | Output | Event, None]:
        """The arguments to run the call with, if it may be run; else what the model is told."""
        arguments, objection, is_edited = call.arguments, "", False
        while True:
            verdict = answered(partial(self.permissions.weigh, tool, arguments))
            if damage := self.permissions.take_damage():
                yield events.ToolNote(call.call_id, damage)
            match verdict:
                case Allowed() if not is_edited:
                    yield arguments
                    return
                case Refused(why, remedy):
                    yield events.ToolRefused(call.call_id, f"{tool.name} was not run: {why}. {remedy}")
                    yield Output(f"[ERROR] {tool.name} was not run: {why}. Go on without it.", is_error=True)
                    return
            asked = verdict if isinstance(verdict, Asked) else Asked("", None, "", Reach.SESSION)
            rule = asked.rule.text if asked.rule else None
            question = Question(
                call.call_id, call.recipient, tool, arguments, asked.why, rule, objection, asked.remedy
            )
            decision = await unless_stopped(stop, self.person.approve(question))
            match decision.answer:
                case Approval.NO:
                    if decision.nobody:
                        told = f"{tool.name} was not run: {decision.reason}. {asked.remedy}"
                        yield events.ToolRefused(call.call_id, told)
                    yield Output(_refusal(tool, decision), is_error=True)
                    return
                case Approval.EDIT:
                    arguments, is_edited = decision.arguments, True
                    objected = await in_time(partial(tool.objection, arguments), stop, MARGIN_S)
                    objection = objected or ""
                    continue
            if rule is not None:
                for told in self._lay_down(decision.answer, rule, tool, asked.reach):
                    yield events.ToolNote(call.call_id, told)
            yield arguments
            return

    def _judge(self, refused: list[str], name: str, arguments: str, reach: Reach) -> str | None:
        """Why a running call must not go on to what such a call would do; see `further`.

        Nobody is asked while a call is running: the model may make the call itself, and they are asked then.
        """
        tool = self.find(name)
        if tool is None:
            return f"there is no {name}"
        match self.permissions.weigh(tool, arguments, reach):
            case Allowed():
                return None
            case Refused(why, remedy):
                refused.append(f"{name} was not run on {arguments}: {why}. {remedy}")
                return why
            case Asked():
                return f"the user must be asked first, so call {name} for it directly"

    def _lay_down(self, answer: Approval, rule: str, tool: Tool, reach: Reach) -> list[str]:
        """Remember a lasting answer; what to tell the person of it."""
        if answer is Approval.SESSION:
            self.permissions.allow_for_session(rule, tool, reach)
        if answer is not Approval.ALWAYS:
            return []
        try:
            self.permissions.allow_always(rule, tool, reach)
        except LastingAnswerError as error:
            self.permissions.allow_for_session(rule, tool, reach)
            return [f"{error}. The rule holds for this session only."]
        return [f"From now on without asking: {rule}. /permissions revokes it."]

    def _absent(self, recipient: str) -> str:
        name = recipient.removeprefix(_FUNCTIONS)
        if any(name == off or name.startswith(f"{off}.") for off in self.off):
            return f"[ERROR] {name[:100]} is turned off by the user. Go on without it."
        names = ", ".join(_nearest(recipient, self.recipients)) or "none"
        return f"[ERROR] There is no tool named {recipient[:100]}. Available tools: {names}."


@dataclass(slots=True)
class _Clock:
    """How long a call has been running; what it waits for before does not count."""

    limit_s: float = 0.0
    _started: float | None = None

    @property
    def running(self) -> bool:
        return self._started is not None

    @property
    def seconds(self) -> float:
        return 0.0 if self._started is None else time.monotonic() - self._started

    def start(self) -> None:
        self._started = time.monotonic()


def _refusal(tool: Tool, decision: Decision) -> str:
    if decision.nobody:
        return f"[ERROR] {tool.name} was not run: {decision.reason}. Go on without it."
    if decision.reason:
        return f"[ERROR] The user did not allow this call of {tool.name}, and says: {decision.reason}"
    return f"[ERROR] The user did not allow this call of {tool.name}. Go on without it."


def _nearest(name: str, names: Collection[str]) -> list[str]:
    """`names`, those first that are most like `name`."""

    def likeness(other: str) -> float:
        short, last = name[:100].lower(), other.rpartition(".")[2].lower()
        same_ending = short.rpartition(".")[2] == last
        return same_ending + difflib.SequenceMatcher(None, short, other.lower()).ratio()

    return sorted(sorted(names), key=likeness, reverse=True)
