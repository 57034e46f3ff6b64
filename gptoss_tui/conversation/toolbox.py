"""The tools on offer in a conversation: what the model is told of them, and one call from start to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from ..harmony.message import Function, Message, Role
from ..tools import Output, Reach, Tool
from ..tools.excerpt import excerpt
from .approval import Approval, Approver
from .events import Events, ToolCall, ToolOutput, ToolOutputDelta
from .stop import Stopped, unless_stopped, until_stopped

LONGEST_OUTPUT = 20_000
"""Characters of one tool message; a longer output is cut in the middle."""

_FUNCTIONS = "functions."


@dataclass(slots=True)
class Toolbox:
    """The tools by the name the model writes, and what the person has agreed to for this session."""

    tools: Sequence[Tool]  # replaced when files and servers have said what they have
    approve: Approver
    _agreed: set[str] = field(default_factory=set)

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
                    tool.recall(author, message.text)

    async def start(self) -> None:
        """Get every tool ready; one that cannot start says so when it is called."""
        await asyncio.gather(*(tool.start() for tool in self.tools), return_exceptions=True)

    async def close(self) -> None:
        """Give back what the tools hold."""
        await asyncio.gather(*(tool.close() for tool in self.tools), return_exceptions=True)

    async def call(self, call: ToolCall, stop: asyncio.Event) -> Events:
        """Run one call: its output as it comes, then the whole as the model is told. Never raises."""
        started = time.monotonic()
        parts: list[str] = []
        files: list[str] = []
        failed = False
        try:
            async with aclosing(self._outputs(call, stop)) as outputs:
                async for piece in outputs:
                    failed = failed or piece.is_error
                    parts.append(piece.text)
                    files += map(str, piece.files)
                    yield ToolOutputDelta(call.call_id, piece.text)
        except Stopped:
            failed = True
            parts.append("[ERROR] Stopped by the user; it may already have had an effect.")
        except Exception as error:  # a tool must not end the conversation
            failed = True
            parts.append(f"[ERROR] The tool itself failed: {type(error).__name__}: {error}")
        output = excerpt("".join(parts), LONGEST_OUTPUT)
        yield ToolOutput(call.call_id, output, failed, time.monotonic() - started, tuple(files))

    async def _outputs(self, call: ToolCall, stop: asyncio.Event) -> AsyncGenerator[Output, None]:
        tool = self.find(call.recipient)
        if tool is None:
            yield Output(self._unknown(call.recipient), is_error=True)
            return
        await unless_stopped(stop, tool.start())
        if objection := await unless_stopped(stop, tool.objection(call.arguments)):
            yield Output(objection, is_error=True)
            return
        if not await unless_stopped(stop, self._may_run(call, tool)):
            refused = f"[ERROR] The user did not allow this call of {tool.name}. Go on without it."
            yield Output(refused, is_error=True)
            return
        async for output in until_stopped(stop, tool.call(call.arguments)):
            yield output

    async def _may_run(self, call: ToolCall, tool: Tool) -> bool:
        if tool.risk(call.arguments).reach < Reach.OUTSIDE or tool.name in self._agreed:
            return True
        answer = await self.approve(call, tool)
        if answer is Approval.SESSION:
            self._agreed.add(tool.name)
        return answer is not Approval.NO

    def _unknown(self, recipient: str) -> str:
        names = ", ".join(sorted(self.recipients)) or "none"
        return f"[ERROR] There is no tool named {recipient[:100]}. Available tools: {names}."
