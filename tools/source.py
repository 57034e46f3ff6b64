"""Where tools come from that nobody knows before it is opened: a file of functions, a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from .tool import Tool


class SourceError(Exception):
    """The source has no tools to give: one sentence that names it, and the mend."""


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """The tools of a source, and a sentence for the person about each that it could not give."""

    tools: Sequence[Tool]
    notices: Sequence[str] = ()


class Source(ABC):
    """Tools by the file or the server that defines them.

    `origin` names it for the person; it is the `origin` of its tools.
    """

    origin: str

    @abstractmethod
    async def open(self) -> OpenedSource:
        """Find out what there is, within a bounded time; raises SourceError. Cancelling it gives it up.

        May be called again after `close`, and then reads everything anew.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give back processes and files. Its tools are of no use afterwards."""
