"""The one interface between the turn loop and anything the model may call."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..kinds import Kind


@dataclass(frozen=True, slots=True)
class Output:
    """One piece of what a call gives back, in order; the pieces' texts joined are the model's tool message.

    `is_error` on any piece marks the call as failed. It is a report to the model, not an exception. `files`
    are files on this machine to show the person, pictures for one; the text names them for the model.
    """

    text: str
    is_error: bool = False
    files: tuple[Path, ...] = ()


class Reach(IntEnum):
    """How far a call reaches; the further, the more it takes to allow it."""

    SESSION = 0
    """What this conversation holds already: looking through a page that was opened."""
    BOUNDED = 1
    """Code in a sandbox, a public page whose address was shown, what the person vouched for beforehand."""
    OUTSIDE = 2
    """Whatever else: the person's own functions, other people's servers, addresses the model made up."""
    UNCONFINED = 3
    """Code that the model wrote, with the person's rights. To have allowed one call allows no other."""


@dataclass(frozen=True, slots=True)
class Risk:
    """What there is to weigh before a call is run; `why` is a sentence for the person, or empty.

    `doubt` says in a sentence what cannot be known of the call before it runs, and how it could be.
    """

    reach: Reach
    why: str = ""
    doubt: str = ""


class Tool(ABC):
    """A tool: a name, what the model is told of it, and a call that streams its output.

    `name` is the recipient the model writes: "python", "browser.search", "functions.get_weather".
    `parameters` is the JSON Schema of the arguments, or None when the call's body is raw text.
    `kinds` says of the parameters whose arguments are more than a text what they are to the person's rules.
    `where` says in a few words, for the person, where the call runs ("in a sandbox", "on this machine").
    `origin` says who defined it: a file, a server, or nothing when we did.
    `notice` is a sentence for the person, known once it was started: that it is off, and why; or nothing.
    `time_limit` is how many seconds a call may take; whoever calls ends one that takes much longer.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    kinds: Mapping[str, Kind] = MappingProxyType({})
    where: str = ""
    origin: str = ""
    notice: str = ""
    time_limit: float = 120.0

    @property
    def digest(self) -> str:
        """SHA-256 over all that the model and the person are told of the tool, in hexadecimal.

        Consent that outlives a session is tied to it: a server may describe another tool tomorrow.
        """
        told = [self.name, self.origin, self.description, self.parameters]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def meaning(self, arguments: str) -> str:
        """The arguments with each spelled as what it is to the person's rules; see `kinds`.

        What cannot be known of one yet is left as the model wrote it, and is in doubt.
        """
        return arguments

    def risk(self, arguments: str) -> Risk:
        """What there is to weigh before the call `arguments` is run."""
        return Risk(Reach.BOUNDED)

    async def objection(self, arguments: str) -> str | None:
        """What is wrong with `arguments`, for the model; None when they can be tried.

        Asked before the person is, who need not judge a call that is impossible anyway. Whatever checks by
        other people's rules does so in another process, so this may take a while.
        """
        return None

    def recall(self, author: str, text: str) -> None:
        """Take note of a message of the conversation, before the calls that follow it.

        What the person says, now or before the conversation was taken up again, has the author "user"; what
        a tool gave back before that has the name under which it was called.
        """

    def keep(self, folder: Path) -> None:
        """Keep this conversation's files in `folder`, from the next start on. It need not exist yet."""

    async def start(self) -> None:
        """Get ready in the background, so that the first call does not wait. May be called often."""

    @abstractmethod
    def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Run one call on the raw body the model wrote.

        Never raises for what the model did wrong: bad arguments, time-outs and failures are an `Output` with
        `is_error`. Closing the iterator (or cancelling the task that reads it) stops the call. Where it comes
        to more than the arguments say, as with a redirect, it asks `further.objection` first.
        """

    async def close(self) -> None:
        """Give back processes and files. The tool may be started again afterwards."""
