"""The tools on offer in a conversation, and their description for the model."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..harmony.message import Function, Message, Role
from ..permissions.policy import Permissions
from ..permissions.question import GoOn, Pause, Person
from ..tools import Tool
from .cancel import Stopped, unless_stopped
from .output import OutputFolder, OutputRoom
from .run import contained

_FUNCTIONS = "functions."


@dataclass(slots=True)
class Toolbox:
    """The tools by the name the model writes, the person who is asked about calls, and the permissions.

    `off` are tools, or groups of tools, that the person has switched off: a call of such a tool fails with
    that reason. `outputs` is the folder for outputs that are too long for the model; None leaves them cut.
    `room` is what the model's context has for one of them, None while that is unknown.
    `has_run_python` is true once the person has been told where Python runs.
    """

    tools: Sequence[Tool]  # replaced when files and servers have listed their tools
    person: Person
    permissions: Permissions = field(default_factory=Permissions)
    off: Collection[str] = ()
    outputs: OutputFolder | None = None
    room: OutputRoom | None = None
    has_run_python: bool = False

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
        """The tool of that name; `functions.python` means the built-in tool, as models write it so."""
        by_name = {tool.name: tool for tool in self.tools}
        return by_name.get(recipient) or by_name.get(recipient.removeprefix(_FUNCTIONS))

    def absence(self, recipient: str) -> str:
        """The output of a call of a tool that is not on offer."""
        name = recipient.removeprefix(_FUNCTIONS)
        if any(name == off or name.startswith(f"{off}.") for off in self.off):
            return f"[ERROR] {name[:100]} is turned off by the user. Go on without it."
        names = ", ".join(_nearest(recipient, self.recipients)) or "none"
        return f"[ERROR] There is no tool named {recipient[:100]}. Available tools: {names}."

    def recall(self, messages: Iterable[Message]) -> None:
        """Give every tool the messages of the person and of the tools; see `Tool.recall`."""
        for message in messages:
            author = "user" if message.role is Role.USER else message.name
            if author and message.role in (Role.USER, Role.TOOL):
                for tool in self.tools:
                    with suppress(Exception):  # a tool must not end the conversation
                        tool.recall(author, message.text)

    def keep(self, folder: Path) -> None:
        """Have every tool write its files to `folder`, from the next start on."""
        for tool in self.tools:
            tool.keep(folder)

    async def start(self) -> None:
        """Start every tool; a tool that cannot start says so when it is called."""
        await asyncio.gather(*(contained(tool.start) for tool in self.tools), return_exceptions=True)

    async def close(self) -> None:
        """Close every tool."""
        await asyncio.gather(*(contained(tool.close) for tool in self.tools), return_exceptions=True)

    async def go_on(self, pause: Pause, stop: asyncio.Event) -> GoOn:
        """Ask the person whether a turn goes on."""
        try:
            return await unless_stopped(stop, self.person.go_on(pause))
        except Stopped:
            return GoOn.STOP


def _nearest(name: str, names: Collection[str]) -> list[str]:
    """The `names`, the most similar to `name` first."""

    def likeness(other: str) -> float:
        short, last = name[:100].lower(), other.rpartition(".")[2].lower()
        same_ending = short.rpartition(".")[2] == last
        return same_ending + difflib.SequenceMatcher(None, short, other.lower()).ratio()

    return sorted(sorted(names), key=likeness, reverse=True)
