"""Sources of tools: files of functions and servers, whose tools are known once the source is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from .tool import Tool


class SourceError(Exception):
    """A source has no tools to offer; the message, one sentence, names the source and the remedy."""


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """The tools of an opened source; `notices` are sentences for the person about tools left out."""

    tools: Sequence[Tool]
    notices: Sequence[str] = ()


class Source(ABC):
    """A file or a server that defines tools; `origin` names it for the person, as it does in its tools."""

    origin: str

    @abstractmethod
    async def open(self) -> OpenedSource:
        """Open the source and list its tools, within a bounded time; raises SourceError.

        A source may be opened again after `close`, and then reads everything anew.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release processes and files; the source's tools are of no use afterwards."""
