"""Further actions of a running call, beyond its arguments: each is judged beforehand, like a call of its own.

The caller of a tool sets the judge; outside a conversation there is none, and everything is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from .tool import Reach

ActionJudge = Callable[[str, str, Reach], str | None]
"""Takes the tool, the arguments and the reach of an action; returns an objection, or None to allow it."""

_judge: ContextVar[ActionJudge | None] = ContextVar("judge", default=None)


def judged_by(judge: ActionJudge) -> None:
    """Let `judge` decide on the further actions of this task and of the tasks that it starts."""
    _judge.set(judge)


def objection(name: str, arguments: str, reach: Reach) -> str | None:
    """The objection to doing what a call of the tool `name` with `arguments` would do; None if it is allowed.

    It completes a sentence: "it is not opened: ...".
    """
    judge = _judge.get()
    return judge(name, arguments, reach) if judge is not None else None
