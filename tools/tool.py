"""The one interface between the turn loop and everything that the model may call."""

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
    """One piece of a call's output; the texts of all pieces, in order, are the tool message for the model.

    `is_error` on any piece marks the call as failed: a report to the model, not an exception. `files` are
    files of this machine to show to the person, pictures for instance; the text names them for the model.
    """

    text: str
    is_error: bool = False
    files: tuple[Path, ...] = ()


class Reach(IntEnum):
    """The reach of a call; the further it is, the more it takes to allow the call."""

    SESSION = 0
    """The contents of this conversation: looking through a page that was opened."""
    BOUNDED = 1
    """Code in a sandbox, a public page whose address was shown, a function that the person vouched for."""
    OUTSIDE = 2
    """Everything else: the person's own functions, other people's servers, addresses the model composed."""
    UNCONFINED = 3
    """The model's own code with the person's rights. Allowing one such call allows no other."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The risk of a call, to be weighed before it runs; `why` is a sentence for the person, or empty.

    `doubt` is a sentence on what is unknown of the call before it runs, and on how it could be known.
    """

    reach: Reach
    why: str = ""
    doubt: str = ""


class Tool(ABC):
    """A tool: a name, a description for the model, and a call that streams its output.

    `name` is the recipient that the model writes: "python", "browser.search", "functions.get_weather".
    `parameters` is the JSON Schema of the arguments, or None if the call's body is raw text.
    `kinds` are the kinds of those parameters that the person's rules do not compare as plain texts.
    `where` is the place of the call in a few words for the person ("in a sandbox", "on this machine").
    `origin` is the file or the server that defines the tool, and empty for tools of our own.
    `notice` is a sentence for the person, known after `start`: that the tool is off, and why; or empty.
    `time_limit` is the time of a call in seconds; the caller ends a call that takes much longer.
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
        """SHA-256, in hexadecimal, of the tool's whole description for the model and the person.

        Lasting consent is tied to it: a server may describe another tool tomorrow.
        """
        told = [self.name, self.origin, self.description, self.parameters]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def meaning(self, arguments: str) -> str:
        """The arguments, each in the spelling that the person's rules compare; see `kinds`.

        An argument whose meaning is not yet known stays as the model wrote it, and is in doubt.
        """
        return arguments

    def risk(self, arguments: str) -> Risk:
        """The risk of the call with `arguments`."""
        return Risk(Reach.BOUNDED)

    async def objection(self, arguments: str) -> str | None:
        """The objection to `arguments`, for the model; None if they can be tried.

        It is raised before the person is asked, who need not judge a call that is impossible anyway. Checks
        by other people's rules run in another process, so it may take a while.
        """
        return None

    def recall(self, author: str, text: str) -> None:
        """Take note of a message of the conversation, before the calls that follow it.

        The author is "user" for messages of the person, new and old ones; the output of an earlier call, from
        before the conversation was resumed, has the name of its tool.
        """

    def keep(self, folder: Path) -> None:
        """Use `folder`, which need not exist yet, for this conversation's files, from the next start on."""

    async def start(self) -> None:
        """Prepare the tool in the background, so that the first call does not wait. May be called often."""

    @abstractmethod
    def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Run one call on the raw body the model wrote.

        It never raises for the model's mistakes: bad arguments, time-outs and failures are an `Output` with
        `is_error`. Closing the iterator (or cancelling the task that reads it) stops the call. Before an
        action beyond its arguments, such as following a redirect, it asks `further.objection`.
        """

    async def close(self) -> None:
        """Release processes and files. The tool may be started again afterwards."""
