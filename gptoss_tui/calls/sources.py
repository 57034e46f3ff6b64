"""The files and servers that tools come from: opened side by side, and none can take the others down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ..events.events import ToolsNotice, ToolsStarting
from ..events.stream import Sink
from ..harmony.typescript import typescript
from ..tools import OpenedSource, Source, SourceError, Tool

LONGEST_TOOL = 24_000
"""Characters that the model is told of one tool; one with more is left out."""

LONGEST_IN_ALL = 200_000
"""Characters that the model is told of all tools together, about 50,000 tokens; those beyond are left out."""


PATIENCE_S = 0.5
"""How long a wait is no news."""


class Sources:
    """The sources of a conversation, from the start of opening them to the tools they gave.

    `taken` are the names of the tools that are there anyway, which none of theirs may have.
    """

    def __init__(self, sources: Sequence[Source], taken: Iterable[str]) -> None:
        self.sources = sources
        self._taken = frozenset(taken)
        self._opening: dict[Source, asyncio.Task[OpenedSource]] = {}
        self._untold: list[ToolsNotice] = []
        self._told: dict[ToolsNotice, None] = {}  # in order

    def open(self) -> None:
        """Begin to open whatever is not open, in the background."""
        for source in self.sources:
            if source not in self._opening:
                self._opening[source] = asyncio.create_task(self._open(source))

    @property
    def waiting(self) -> tuple[str, ...]:
        """What has not said yet what it has."""
        return tuple(source.origin for source, task in self._opening.items() if not task.done())

    @property
    def tools(self) -> list[Tool]:
        """The tools there are so far, in the order of the sources, whichever was ready first."""
        taken, room = set(self._taken), LONGEST_IN_ALL
        tools: list[Tool] = []
        for source, task in self._opening.items():
            left_out: dict[str, list[str]] = {}
            for tool in task.result().tools if task.done() and not task.cancelled() else ():
                length = told_length(tool)
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
                self._say(ToolsNotice(source.origin, f"{source.origin}: {_listed(names)} left out: {why}."))
        return tools

    @property
    def notices(self) -> list[str]:
        """Everything that cannot be used, told already or not."""
        return [notice.message for notice in self._told]

    def news(self) -> list[ToolsNotice]:
        """What the person has not been told yet."""
        news, self._untold = self._untold, []
        return news

    async def settle(self, stop: asyncio.Event, emit: Sink) -> None:
        """Wait until every source has said what it has, or `stop` is set; tells whom it waits for long."""
        told: tuple[str, ...] | None = None
        while self.waiting:
            stopped = asyncio.create_task(stop.wait())
            pending = [task for task in self._opening.values() if not task.done()]
            patience = PATIENCE_S if told is None else None
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
            if waiting and waiting != told and (told is not None or not done):
                told = waiting
                await emit(ToolsStarting(waiting))
        _ = self.tools  # which may have something to say of its own
        for notice in self.news():
            await emit(notice)

    async def close(self) -> None:
        """Give them all back. Opened again, they are read anew."""
        opening, self._opening, self._told = self._opening, {}, {}
        for task in opening.values():
            task.cancel()
        await asyncio.gather(*opening.values(), return_exceptions=True)
        await asyncio.gather(*(source.close() for source in opening), return_exceptions=True)

    async def _open(self, source: Source) -> OpenedSource:
        """Open one; whatever goes wrong becomes a notice."""
        try:
            opened = await source.open()
        except SourceError as error:
            opened = OpenedSource((), (str(error),))
        except Exception as error:  # a mistake of ours in one source is no reason to lose the others
            opened = OpenedSource((), (f"{source.origin} cannot be used: {type(error).__name__}: {error}",))
        for message in opened.notices:
            self._say(ToolsNotice(source.origin, message))
        return opened

    def _say(self, notice: ToolsNotice) -> None:
        if notice not in self._told:
            self._told[notice] = None
            self._untold.append(notice)


def _listed(names: list[str]) -> str:
    """The first few of them, and how many more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(name.removeprefix('functions.') for name in names[:5])}{more}"


def told_length(tool: Tool) -> int:
    """How many characters the model is told of `tool`."""
    parameters = "" if tool.parameters is None else typescript(tool.parameters)
    return len(tool.name) + len(tool.description) + len(parameters)
