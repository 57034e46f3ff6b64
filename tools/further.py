"""What a running call comes to beyond its arguments: judged before it is done, like a call of its own.

Whoever runs a call says who judges; a tool that is used outside a conversation is judged by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from .tool import Reach

Judge = Callable[[str, str, Reach], str | None]
"""Told the tool, the arguments and the reach of what is about to be done: why not, or None if it may."""

_judge: ContextVar[Judge | None] = ContextVar("judge", default=None)


def judged_by(judge: Judge) -> None:
    """Have `judge` judge what this task, and the tasks it starts, come to."""
    _judge.set(judge)


def objection(name: str, arguments: str, reach: Reach) -> str | None:
    """Why the running call must not go on to what calling the tool `name` with `arguments` would do, or None.

    The reason completes a sentence: "it is not opened: ...".
    """
    judge = _judge.get()
    return judge(name, arguments, reach) if judge is not None else None
