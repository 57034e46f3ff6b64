"""The slash commands: one registry for the composer, the help screen and the command palette."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One slash command. `arguments` is the form of its arguments in the help, "" for none."""

    name: str
    summary: str
    arguments: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".rstrip()


COMMANDS = (
    Command("help", "keys and commands", aliases=("?",)),
    Command("new", "start a new chat; this one stays on disk", aliases=("clear",)),
    Command("effort", "how long the model thinks, from the next turn", "[low|medium|high]"),
    Command("thinking", "how much of the raw reasoning is shown", "[line|tail|full]"),
    Command("tools", "what the model may call, and where it runs"),
    Command("permissions", "what may run unasked or never; takes rules back", aliases=("approvals",)),
    Command("context", "what fills the model's context", aliases=("tokens",)),
    Command(
        "compact",
        "have the model sum up what was said, to make room",
        "[what to heed]",
        aliases=("summarize",),
    ),
    Command("uncompact", "take back the last cut in what the model is shown"),
    Command("copy", "copy the last answer to the clipboard"),
    Command("quit", "leave", aliases=("exit", "q")),
)

_COMMAND = re.compile(r"/([A-Za-z?][\w-]*)(?:\s+(.*))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A typed slash command. `command` is None when no command has that `name`."""

    name: str
    command: Command | None
    argument: str


def parse(text: str) -> Invocation | None:
    """Read `text` as a slash command; None when it is a message ("/etc/hosts is wrong" is one)."""
    match = _COMMAND.fullmatch(text)
    if match is None:
        return None
    name = match[1].lower()
    command = next((c for c in COMMANDS if name == c.name or name in c.aliases), None)
    return Invocation(name, command, (match[2] or "").strip())


def starting_with(text: str) -> list[Command]:
    """The commands that an incomplete `text` may become."""
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    return [command for command in COMMANDS if command.name.startswith(text[1:].lower())]
