"""The files and servers that tools come from. They open side by side, and none can take the others down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ..events.events import ToolsNotice, ToolsStarting
from ..events.stream import Sink
from ..harmony.typescript import typescript
from ..tools import OpenedSource, Source, SourceError, Tool

LONGEST_TOOL = 24_000
"""The most characters that one tool may take in the prompt; a longer tool is left out."""

LONGEST_IN_ALL = 200_000
"""The most characters that all tools may take in the prompt (some 50,000 tokens); the rest is left out."""


PATIENCE_S = 0.5
"""Seconds that a turn waits for sources before it reports the wait."""


class Sources:
    """The sources of a conversation, and their tools as far as the sources are open.

    `taken` are the names of other tools, which no tool of a source may have.
    """

    def __init__(self, sources: Sequence[Source], taken: Iterable[str]) -> None:
        self.sources = sources
        self._taken = frozenset(taken)
        self._opening: dict[Source, asyncio.Task[OpenedSource]] = {}
        self._news: list[ToolsNotice] = []
        self._notices: dict[ToolsNotice, None] = {}  # in order

    def open(self) -> None:
        """Begin to open, in the background, every source that is not open."""
        for source in self.sources:
            if source not in self._opening:
                self._opening[source] = asyncio.create_task(self._open(source))

    @property
    def waiting(self) -> tuple[str, ...]:
        """The origins of the sources that are still opening."""
        return tuple(source.origin for source, task in self._opening.items() if not task.done())

    @property
    def tools(self) -> list[Tool]:
        """The tools of the sources that are open, in the order of the sources."""
        taken, room = set(self._taken), LONGEST_IN_ALL
        tools: list[Tool] = []
        for source, task in self._opening.items():
            left_out: dict[str, list[str]] = {}
            for tool in task.result().tools if task.done() and not task.cancelled() else ():
                length = prompt_length(tool)
                if tool.name in taken:
                    left_out.setdefault("another has the same name; rename one of them", []).append(tool.name)
                elif length > LONGEST_TOOL:
                    left_out.setdefault("what it says of itself is too long", []).append(tool.name)
                elif length > room:
                    left_out.setdefault("the model would be told of too many tools", []).append(tool.name)
                else:
                    taken.add(tool.name)
                    room -= length
                    tools.append(tool)
            for why, names in left_out.items():
                message = f"{source.origin}: {_listed(names)} left out: {why}."
                self._add(ToolsNotice(source.origin, message))
        return tools

    @property
    def notices(self) -> list[str]:
        """The messages of all notices so far."""
        return [notice.message for notice in self._notices]

    def news(self) -> list[ToolsNotice]:
        """The notices since the last call."""
        news, self._news = self._news, []
        return news

    async def settle(self, stop: asyncio.Event, emit: Sink) -> None:
        """Wait until every source is open or `stop` is set; emits the notices and a report of long waits."""
        reported: tuple[str, ...] | None = None
        while self.waiting:
            stopped = asyncio.create_task(stop.wait())
            pending = [task for task in self._opening.values() if not task.done()]
            patience = PATIENCE_S if reported is None else None
            try:
                done, _ = await asyncio.wait(
                    [stopped, *pending], timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                stopped.cancel()
            for notice in self.news():
                await emit(notice)
            if stop.is_set():
                return
            waiting = self.waiting
            if waiting and waiting != reported and (reported is not None or not done):
                reported = waiting
                await emit(ToolsStarting(waiting))
        _ = self.tools  # this adds notices of the tools that are left out
        for notice in self.news():
            await emit(notice)

    async def close(self) -> None:
        """Close all sources. `open` then reads them anew."""
        opening, self._opening, self._notices = self._opening, {}, {}
        for task in opening.values():
            task.cancel()
        await asyncio.gather(*opening.values(), return_exceptions=True)
        await asyncio.gather(*(source.close() for source in opening), return_exceptions=True)

    async def _open(self, source: Source) -> OpenedSource:
        """Open a source; a failure becomes a notice."""
        try:
            opened = await source.open()
        except SourceError as error:
            opened = OpenedSource((), (str(error),))
        except Exception as error:  # our own mistake in one source must not cost the others
            opened = OpenedSource((), (f"{source.origin} cannot be used: {type(error).__name__}: {error}",))
        for message in opened.notices:
            self._add(ToolsNotice(source.origin, message))
        return opened

    def _add(self, notice: ToolsNotice) -> None:
        if notice not in self._notices:
            self._notices[notice] = None
            self._news.append(notice)


def _listed(names: list[str]) -> str:
    """The first five names, and the number of further ones."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(name.removeprefix('functions.') for name in names[:5])}{more}"


def prompt_length(tool: Tool) -> int:
    """The number of characters that `tool` takes in the prompt."""
    parameters = "" if tool.parameters is None else typescript(tool.parameters)
    return len(tool.name) + len(tool.description) + len(parameters)
