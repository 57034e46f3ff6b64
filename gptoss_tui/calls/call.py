"""One call from start to end: the verdict, the question to the person, the run, and the output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from ..events import events
from ..events.events import ToolCall, ToolOutput
from ..events.stream import Sink
from ..permissions.always import LastingAnswerError
from ..permissions.policy import Allowed, Asked, Refused
from ..permissions.question import Approval, Decision, Question
from ..tools import Output, Reach, Tool, further
from .cancel import Stopped, unless_stopped
from .output import Collected
from .run import TookTooLong, ToolFailed, answered, guarded, in_time
from .toolbox import Toolbox

MARGIN_S = 10.0
"""How much longer than its own limit a tool may take: the tool knows best how to end a call in order."""

MOST_OUTPUT = 100_000_000
"""Characters of output after which a call is stopped."""

_MOST_SHOWN = 1_000_000
"""Characters of an output that are shown as they come; of a longer one people read the end, or the file."""


async def run_call(toolbox: Toolbox, call: ToolCall, stop: asyncio.Event, emit: Sink) -> ToolOutput:
    """Run one call; `emit` takes its output as it comes. Returns the output for the model.

    Nothing that the tool does raises. Once `stop` is set, the call ends soon.
    """
    return await _Running(toolbox, call, stop, emit).run()


class _PrintedTooMuch(Exception):
    """The output is longer than MOST_OUTPUT."""


@dataclass(slots=True)
class _Running:
    """A call under way. `limit_s` bounds the tool alone; the time of a person's answer does not count."""

    toolbox: Toolbox
    call: ToolCall
    stop: asyncio.Event
    emit: Sink
    collected: Collected = field(init=False)
    files: list[str] = field(default_factory=list)
    has_failed: bool = False
    limit_s: float = 0.0
    started: float | None = None

    def __post_init__(self) -> None:
        self.collected = Collected(self.call.recipient, self.toolbox.outputs)

    async def run(self) -> ToolOutput:
        note = ""
        try:
            await self._run()
        except _PrintedTooMuch:
            note = "[ERROR] Stopped because it printed too much."
        except Stopped:
            when = " before it was run" if self.started is None else "; it may already have had an effect"
            note = f"[ERROR] Stopped by the user{when}."
        except TookTooLong:
            note = f"[ERROR] Timed out after {self.limit_s:g} s; it may have had an effect."
        except ToolFailed as error:
            note = f"[ERROR] The tool itself failed: {error}"
        except Exception as error:  # a tool must not end the conversation
            note = f"[ERROR] The tool itself failed: {type(error).__name__}: {error}"
        finally:
            self.collected.close()
        seconds = 0.0 if self.started is None else time.monotonic() - self.started
        note = "\n" + note if note and self.collected.length else note
        output = await self.collected.within(self.toolbox.room, note)
        whole = str(self.collected.whole) if self.collected.whole else None
        has_failed = self.has_failed or bool(note)
        return ToolOutput(self.call.call_id, output, has_failed, seconds, tuple(self.files), whole)

    async def _run(self) -> None:
        call, stop = self.call, self.stop
        tool = self.toolbox.find(call.recipient)
        if tool is None:
            await self._refuse(self.toolbox.absence(call.recipient))
            return
        self.limit_s = tool.time_limit + MARGIN_S
        await in_time(tool.start, stop, self.limit_s)
        if objection := await in_time(partial(tool.objection, call.arguments), stop, self.limit_s):
            await self._refuse(objection)
            return
        arguments = await self._allowed(tool)
        if stop.is_set():
            raise Stopped
        if arguments is None:
            return
        await self.emit(events.ToolStarted(call.call_id, arguments, tool.time_limit))
        if tool.name == "python" and not self.toolbox.has_run_python:
            self.toolbox.has_run_python = True
            await self.emit(events.ToolNote(call.call_id, f"Python runs {tool.where}."))
        if arguments != call.arguments:
            await self._put_out(Output(f"[The user changed the call to: {arguments}]\n"))
        self.started = time.monotonic()
        refusals: list[str] = []

        def outputs_of_tool() -> AsyncGenerator[Output, None]:
            further.judged_by(partial(self._judge, refusals))
            return tool.call(arguments)

        async with aclosing(guarded(outputs_of_tool, stop, self.limit_s)) as outputs:
            async for output in outputs:
                await self._put_out(output)
        for message in refusals:
            await self.emit(events.ToolRefused(call.call_id, message))

    async def _put_out(self, output: Output) -> None:
        """Take one piece of output; raises _PrintedTooMuch."""
        self.has_failed = self.has_failed or output.is_error
        self.files += map(str, output.files)
        shown = self.collected.add(output.text)
        if shown and self.collected.length <= _MOST_SHOWN:
            await self.emit(events.ToolOutputDelta(self.call.call_id, shown))
        if self.collected.length > MOST_OUTPUT:
            raise _PrintedTooMuch

    async def _refuse(self, why: str) -> None:
        """Tell the model why the call is not run."""
        await self._put_out(Output(why, is_error=True))

    async def _allowed(self, tool: Tool) -> str | None:
        """The arguments to run the call with; None when it may not run, and its output says so."""
        permissions, call_id = self.toolbox.permissions, self.call.call_id
        arguments, objection, is_edited = self.call.arguments, "", False
        while True:
            verdict = answered(partial(permissions.weigh, tool, arguments))
            if damage := permissions.take_damage():
                await self.emit(events.ToolNote(call_id, damage))
            match verdict:
                case Allowed() if not is_edited:
                    return arguments
                case Refused(why, remedy):
                    message = f"{tool.name} was not run: {why}. {remedy}"
                    await self.emit(events.ToolRefused(call_id, message))
                    await self._refuse(f"[ERROR] {tool.name} was not run: {why}. Go on without it.")
                    return None
            asked = verdict if isinstance(verdict, Asked) else Asked("", None, "", Reach.SESSION)
            rule = asked.rule.text if asked.rule else None
            question = Question(
                call_id, self.call.recipient, tool, arguments, asked.why, rule, objection, asked.remedy
            )
            decision = await unless_stopped(self.stop, self.toolbox.person.approve(question))
            match decision.answer:
                case Approval.NO:
                    if decision.nobody:
                        message = f"{tool.name} was not run: {decision.reason}. {asked.remedy}"
                        await self.emit(events.ToolRefused(call_id, message))
                    await self._refuse(_refusal(tool, decision))
                    return None
                case Approval.EDIT:
                    arguments, is_edited = decision.arguments, True
                    objected = await in_time(partial(tool.objection, arguments), self.stop, MARGIN_S)
                    objection = objected or ""
                    continue
            if rule is not None and (note := self._lay_down(decision.answer, rule, tool, asked.reach)):
                await self.emit(events.ToolNote(call_id, note))
            return arguments

    def _judge(self, refusals: list[str], name: str, arguments: str, reach: Reach) -> str | None:
        """The reason why a running call may not do what a call of `name` would do, or None; see `further`.

        No person is asked while a call runs: the model may make that call, and the person decides then.
        """
        tool = self.toolbox.find(name)
        if tool is None:
            return f"there is no {name}"
        match self.toolbox.permissions.weigh(tool, arguments, reach):
            case Allowed():
                return None
            case Refused(why, remedy):
                refusals.append(f"{name} was not run on {arguments}: {why}. {remedy}")
                return why
            case Asked():
                return f"the user must be asked first, so call {name} for it directly"

    def _lay_down(self, answer: Approval, rule: str, tool: Tool, reach: Reach) -> str:
        """Store a lasting answer; returns the note on it for the person, "" for none."""
        permissions = self.toolbox.permissions
        if answer is Approval.SESSION:
            permissions.allow_for_session(rule, tool, reach)
        if answer is not Approval.ALWAYS:
            return ""
        try:
            permissions.allow_always(rule, tool, reach)
        except LastingAnswerError as error:
            permissions.allow_for_session(rule, tool, reach)
            return f"{error}. The rule holds for this session only."
        return f"From now on without asking: {rule}. /permissions revokes it."


def _refusal(tool: Tool, decision: Decision) -> str:
    if decision.nobody:
        return f"[ERROR] {tool.name} was not run: {decision.reason}. Go on without it."
    if decision.reason:
        return f"[ERROR] The user did not allow this call of {tool.name}, and says: {decision.reason}"
    return f"[ERROR] The user did not allow this call of {tool.name}. Go on without it."
