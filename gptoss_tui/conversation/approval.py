"""The person's consent to a tool call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from ..tools import Tool
from .events import ToolCall


class Approval(StrEnum):
    """The answer to "may this call run?"; SESSION holds for this tool until the program ends."""

    ONCE = "once"
    SESSION = "session"
    NO = "no"


Approver = Callable[[ToolCall, Tool], Awaitable[Approval]]
"""How a front end asks. It is only called for tools that must ask."""
