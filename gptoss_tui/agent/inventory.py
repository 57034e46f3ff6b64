"""The list that `/tools` shows: the tools, where each runs, who defined it, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from ..calls.sources import prompt_length
from ..permissions.policy import Asked, Permissions, Refused
from ..tools import Tool

if TYPE_CHECKING:
    from .session import Session

_CHARACTERS_PER_TOKEN = 4


def inventory(session: Session) -> Iterator[str]:
    """One line for each built-in tool, each file or server with its tools, and each that is missing."""
    permissions = session.permissions
    for (origin, how), tools in groupby(session.tools, lambda tool: (tool.origin, _how(tool, permissions))):
        names = ", ".join(tool.name.removeprefix("functions.") for tool in tools)
        yield f"{names}: {how}" if not origin else f"{names}: {how}, from {origin}"
    for origin in session.tools_starting:
        yield f"{origin}: starting"
    yield from session.tools_missing
    length = sum(prompt_length(tool) for tool in session.tools if tool.origin)
    if length:
        yield f"These functions take about {length // _CHARACTERS_PER_TOKEN:,} tokens of every prompt."


def _how(tool: Tool, permissions: Permissions) -> str:
    """Where the tool runs, and whether an ordinary call of it is asked about."""
    match permissions.weigh(tool, "{}"):
        case Refused():
            asks = ", refused"
        case Asked(rule=None):
            asks = ", asks before every call"
        case Asked():
            asks = ", asks"
        case _:
            asks = ""
    return f"runs {tool.where or 'here'}{asks}"
