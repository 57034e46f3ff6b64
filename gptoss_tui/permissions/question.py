"""The questions that the person is asked, and their answers."""

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
    """Yes, and calls that match the question's rule run unasked until the program ends."""
    ALWAYS = "always"
    """As SESSION, and the rule is written down for later sessions."""
    EDIT = "edit"
    """Not with these arguments but with others; the question comes again with the others."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a Question; with NO perhaps a reason for the model, with EDIT the new arguments.

    `nobody` is True when there was nobody to ask: the front end then reports the answer itself.
    """

    answer: Approval
    reason: str = ""
    arguments: str = ""
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """The question whether a call may run.

    `why` is the reason for asking, for the person. `rule` is the rule that the answers SESSION and ALWAYS
    would make; None where every call must be asked about. `objection` is the fault of the arguments that the
    person has edited. `remedy` is the way to allow the call where nobody can be asked.
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
    """The question whether a turn goes on in which the model has made `calls` calls by now."""

    reason: Literal["tool_limit", "repeated_call"]
    calls: int

    @property
    def sentence(self) -> str:
        """The reason for the question, for a person."""
        if self.reason == "repeated_call":
            return "The model repeats the same call, with the same result."
        return f"The model has made {self.calls} call{'s' * (self.calls != 1)} in this turn."


class GoOn(StrEnum):
    """The answer to a Pause."""

    CONTINUE = "continue"
    ANSWER = "answer"
    """The model may make no more calls and is asked for its answer."""
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Crowded:
    """The question what becomes of the oldest turns: the prompt has `tokens`, and may have `most`.

    `turns` is the number of turns that can go.
    """

    tokens: int
    most: int
    turns: int

    @property
    def sentence(self) -> str:
        """The reason for the question, for a person."""
        return (
            f"The conversation has {self.tokens:,} tokens, and with room for an answer {self.most:,} fit"
            " the model's context."
        )


class MakeRoom(StrEnum):
    """The answer to Crowded. The history stays whole in any case."""

    COMPACT = "compact"
    """The model sums up the oldest turns."""
    DROP = "drop"
    """The model is not shown the oldest turns any more."""
    STOP = "stop"
    """The turn ends without an answer."""


class Person(Protocol):
    """The part of a front end that asks the person. Any question may be cancelled while it is open."""

    async def approve(self, question: Question) -> Decision:
        """Whether a call may run."""

    async def go_on(self, pause: Pause) -> GoOn:
        """Whether the turn goes on."""

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        """How the conversation is made to fit the model's context."""


class Nobody:
    """The Person of a front end with nobody to ask: it approves nothing, and nothing is summed up unasked."""

    async def approve(self, question: Question) -> Decision:
        return Decision(Approval.NO, reason="it needs approval, and there is no one to ask", nobody=True)

    async def go_on(self, pause: Pause) -> GoOn:
        return GoOn.STOP

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        return MakeRoom.DROP


class Ballot(Generic[T]):
    """One question that takes one answer: the first counts."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """True once there is an answer, or nobody waits for it any more."""
        return self._answer.done()

    def cast(self, answer: T) -> bool:
        """Give an answer; returns False when it came too late."""
        if self._answer.done():
            return False
        self._answer.set_result(answer)
        return True

    async def result(self) -> T:
        """Wait for the answer. Cancelling the wait withdraws the question."""
        return await self._answer
