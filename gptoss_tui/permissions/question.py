"""What is asked of the person, and what they can answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeVar

from ..tools import Tool

T = TypeVar("T")


class Approval(StrEnum):
    """The answer to "may this call run?"."""

    ONCE = "once"
    SESSION = "session"
    """Yes, and what fits the question's rule is not asked again until the program ends."""
    ALWAYS = "always"
    """As SESSION, and the rule is written down for later sessions."""
    EDIT = "edit"
    """Not so, but with other arguments; the question comes again with these."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer; with NO perhaps a reason for the model, with EDIT the new arguments.

    `nobody` says that there was no one to ask, so that the answer is told to whoever reads on.
    """

    answer: Approval
    reason: str = ""
    arguments: str = ""
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A call that must be asked about.

    `why` says what there is to weigh, for the person. `rule` is what the answers SESSION and ALWAYS would
    lay down; None where every call must be asked about. `objection` is what is wrong with the arguments as
    the person has edited them. `remedy` says how the call could be allowed where nobody can be asked.
    """

    call_id: str
    recipient: str
    tool: Tool
    arguments: str
    why: str = ""
    rule: str | None = None
    objection: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """The model calls tools again and again; `calls` of them by now in this turn."""

    reason: Literal["tool_limit", "repeated_call"]
    calls: int

    @property
    def sentence(self) -> str:
        """The same for a person."""
        if self.reason == "repeated_call":
            return "The model repeats the same call, with the same result."
        return f"The model has made {self.calls} call{'s' * (self.calls != 1)} in this turn."


class GoOn(StrEnum):
    """The answer to a Pause."""

    CONTINUE = "continue"
    ANSWER = "answer"
    """No more calls: the model is asked for its answer now."""
    STOP = "stop"


class Person(Protocol):
    """A front end, as far as it can ask somebody. Either question may be cancelled while it is open."""

    async def approve(self, question: Question) -> Decision:
        """Whether a call may run."""

    async def go_on(self, pause: Pause) -> GoOn:
        """Whether the turn goes on."""


class Nobody:
    """The person of a front end that has none to ask: nothing is approved."""

    async def approve(self, question: Question) -> Decision:
        return Decision(Approval.NO, reason="it needs approval, and there is no one to ask", nobody=True)

    async def go_on(self, pause: Pause) -> GoOn:
        return GoOn.STOP


class Ballot(Generic[T]):
    """One question, one answer: the first counts, whatever comes later."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """True once there is an answer, or nobody waits for one any more."""
        return self._answer.done()

    def cast(self, answer: T) -> bool:
        """Give an answer; False when it came too late."""
        if self._answer.done():
            return False
        self._answer.set_result(answer)
        return True

    async def result(self) -> T:
        """Wait for the answer. To cancel the wait is to withdraw the question."""
        return await self._answer
