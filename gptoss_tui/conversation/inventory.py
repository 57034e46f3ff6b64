"""What `/tools` says: what the model may call, where it runs, who defined it, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..tools import Reach, Tool
from .sources import told_length

if TYPE_CHECKING:
    from .chat import Chat

_CHARACTERS_PER_TOKEN = 4


def inventory(chat: Chat) -> Iterator[str]:
    """One line for each tool, each source that is not ready, and each notice."""
    for tool in chat.tools:
        yield _line(tool)
    for origin in chat.tools_starting:
        yield f"{origin}: starting"
    yield from chat.tools_missing
    told = sum(told_length(tool) for tool in chat.tools if tool.origin)
    if told:
        yield f"These functions take about {told // _CHARACTERS_PER_TOKEN:,} tokens of every prompt."


def _line(tool: Tool) -> str:
    origin = f", from {tool.origin}" if tool.origin else ""
    asks = ", asks before every call" if tool.risk("").reach >= Reach.OUTSIDE else ""
    return f"{tool.name}: runs {tool.where or 'here'}{origin}{asks}"
