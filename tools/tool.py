"""The one interface between the turn loop and anything the model may call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Output:
    """One piece of what a call gives back, in order; the pieces' texts joined are the model's tool message.

    `is_error` on any piece marks the call as failed. It is a report to the model, not an exception.
    """

    text: str
    is_error: bool = False


class Tool(ABC):
    """A tool: a name, what the model is told of it, and a call that streams its output.

    `name` is the recipient the model writes: "python", "browser.search", "functions.get_weather".
    `parameters` is the JSON Schema of the arguments, or None when the call's body is raw text.
    `must_ask` is True while every call needs the person's consent (code that runs unconfined, for one).
    `where` says in a few words, for the person, where the call runs ("in a sandbox", "on this machine").
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    must_ask: bool = False
    where: str = ""

    async def start(self) -> None:
        """Get ready in the background, so that the first call does not wait. May be called often."""

    @abstractmethod
    def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Run one call on the raw body the model wrote.

        Never raises for what the model did wrong: bad arguments, time-outs and failures are an `Output` with
        `is_error`. Closing the iterator (or cancelling the task that reads it) stops the call.
        """

    async def close(self) -> None:
        """Give back processes and files. The tool may be started again afterwards."""
