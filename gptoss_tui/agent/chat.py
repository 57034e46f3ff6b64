"""Chat: one conversation with its engine and tools. Front ends call this and nothing below it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ..calls.cancel import Stopped, unless_stopped
from ..calls.output import OutputFolder
from ..calls.sources import Sources
from ..calls.toolbox import Toolbox
from ..events import events
from ..events.events import Error, Event, Events
from ..events.replay import replay
from ..harmony.message import (
    Conversation,
    DeveloperPrompt,
    Effort,
    Message,
    Role,
    SystemPrompt,
)
from ..history.record import Record
from ..history.recorder import News, Recorder
from ..history.store import Store, StoredSession, StoreError
from ..model.engine import Engine, EngineDied, EngineError
from ..model.errors import CheckpointError
from ..permissions.policy import Permissions
from ..permissions.question import Person
from ..tools import Source, Tool
from .citations import Citable, cite, cited
from .filters.filter import FilterError
from .options import Options
from .reasoning import ReasoningPolicy
from .renderer import Renderer
from .turn import Turn

if TYPE_CHECKING:
    from ..tools.browser.citations import ShownPages


_LAST_WORDS_S = 1.0
"""How long closing waits for a turn to end in order."""


_READY_S = 5.0
"""How long a turn waits for our own tools to get ready: one that hangs is ended when it is called."""


class ChatError(Exception):
    """What a person did or has does not work; the message is one sentence with the mend."""


class Chat:
    """One conversation at a time, one turn at a time.

    `options` hold for every turn. `sources` are opened side by side once the model loads, and the first turn
    waits for what they have. `permissions` say what may run, `off` which tools the person has switched off,
    and `outputs` where outputs that are too long are kept; below `files` each conversation has a folder for
    what its tools write. `resume` names a stored conversation that the first `load` takes up, "" for the last
    one. `effort` may be set at any time and counts from the next turn. `recorder` has what is finished
    committed, and says what cannot be. `context_used` is the length in tokens of the last prompt with what
    was sampled after it.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        tools: Sequence[Tool],
        person: Person,
        *,
        model: str,
        sources: Sequence[Source] = (),
        effort: Effort = Effort.MEDIUM,
        options: Options | None = None,
        permissions: Permissions | None = None,
        off: Collection[str] = (),
        outputs: OutputFolder | None = None,
        files: Path | None = None,
        reasoning: ReasoningPolicy | None = None,
        store: Store | None = None,
        resume: str | None = None,
    ) -> None:
        self.model = model
        self.effort = effort
        self._engine = engine
        self._renderer = renderer
        self._tools = tuple(tools)
        self._sources = Sources(sources, taken=[tool.name for tool in tools])
        self.permissions = permissions or Permissions()
        self._toolbox = Toolbox(tools, person, self.permissions, off, outputs)
        self.options = options or Options()
        self._reasoning = reasoning or ReasoningPolicy()
        self._turn: Turn | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._tools_ready: asyncio.Task[None] | None = None
        self._noticed: set[str] = set()
        self._turns: Iterator[int] = itertools.count(1)
        self._call_ids: Iterator[int] = itertools.count(1)
        self._samples: Iterator[int] = itertools.count()
        self._store = store
        self._resume = resume
        self._files = files
        self.recorder = Recorder()
        self._take_up(self._new_record())
        self._citable = Citable(self.conversation.messages)
        self.context_used = 0

    @property
    def conversation(self) -> Conversation:
        """What has been said; not to be changed."""
        return self._record.conversation

    @property
    def session(self) -> str | None:
        """The name to resume this conversation by, once something of it is on disk."""
        return self._record.id if self._record.kept else None

    @property
    def tools(self) -> Sequence[Tool]:
        """What the model may call."""
        return (*self._tools, *self._sources.tools)

    @property
    def tools_starting(self) -> Sequence[str]:
        """The files and servers that have not said yet what tools they have."""
        return self._sources.waiting

    @property
    def pages(self) -> ShownPages:
        """The pages that the browser showed, by which citations are resolved."""
        if self._citable.messages is not self.conversation.messages:
            self._citable = Citable(self.conversation.messages)
        return self._citable.pages()

    @property
    def tools_missing(self) -> Sequence[str]:
        """What of the files and servers cannot be used, and why."""
        return self._sources.notices

    @property
    def busy(self) -> bool:
        """True while a turn is under way."""
        return self._turn is not None

    @property
    def context_limit(self) -> int:
        """The most tokens the conversation may hold; 0 until the model is loaded."""
        info = self._engine.info()
        return info.context if info else 0

    async def load(self) -> Events:
        """Load tokenizer and model, with progress, ending with EngineReady; raises ChatError.

        A conversation that is to be resumed is read first and told with Resumed.
        """
        if self._resume is not None:
            session, self._resume = self._resume, None
            await self.resume(session or None)
            yield events.Resumed(self._record.id, len(self.past()))
        self._sources.open()
        tokenizer = asyncio.ensure_future(self._renderer.start())
        try:
            async for loading in self._engine.load():
                yield events.EngineLoading(loading.stage, loading.done, loading.total)
            await tokenizer
            async for loading in self._reasoning.load():
                yield events.EngineLoading(loading.stage, loading.done, loading.total)
        except (EngineError, CheckpointError, FilterError) as error:
            raise ChatError(str(error)) from error
        finally:
            tokenizer.cancel()
            await asyncio.gather(tokenizer, return_exceptions=True)
        info = self._engine.info()
        if info is None:
            raise ChatError("The engine says that it loaded a model but not which; start again.")
        if self._tools_ready is None:
            self._tools_ready = asyncio.ensure_future(self._toolbox.start())
        yield events.EngineReady(info.model, info.device, info.context, info.load_s)

    async def equip(self, stop: asyncio.Event | None = None) -> Events:
        """Wait until every file and server has said what tools it has, or `stop` is set.

        A turn does so itself; whoever shows notices at once may do so before.
        """
        self._sources.open()
        async with aclosing(self._sources.settle(stop or asyncio.Event())) as stream:
            async for event in stream:
                yield event
        async for event in self._notices(stop or asyncio.Event()):
            yield event
        self._toolbox.tools = (*self._tools, *self._sources.tools)
        developer = self.conversation.developer
        self.conversation.developer = replace(developer, functions=self._toolbox.functions)

    async def _notices(self, stop: asyncio.Event) -> Events:
        """What our own tools have to say once they are ready, each thing once; later if that takes long."""
        if self._tools_ready is None:
            return
        ready = asyncio.wait_for(asyncio.shield(self._tools_ready), _READY_S)
        with suppress(Stopped, TimeoutError):
            await unless_stopped(stop, ready)
        for tool in self._tools:
            if tool.notice and tool.notice not in self._noticed:
                self._noticed.add(tool.notice)
                yield events.ToolsNotice(tool.name, tool.notice)

    async def send(self, text: str) -> Events:
        """One turn: the person says `text`; the events of the answer, the last of them its outcome.

        What an event shows as finished is on disk before it comes, unless Unsaved has said that it cannot be.
        Raises ChatError when a turn is under way or the model cannot be loaded.
        """
        if self._turn is not None:
            raise ChatError("The model is still answering; stop it or wait before you send more.")
        turn = self._turn = self._new_turn()
        self._idle.clear()
        try:
            self.conversation.system = self._system_prompt(self.conversation.system.date)
            said = Message(Role.USER, text)
            self.conversation.messages.append(said)
            self._toolbox.recall([said])
            async with aclosing(self._play(turn)) as stream:
                async for event in stream:
                    self._measure(turn)
                    await self.recorder.save()
                    for told in self.saving_news(remind=isinstance(event, events.Created)):
                        yield told
                    yield event
        finally:
            self._turn = None
            self._idle.set()
            await self.recorder.save()

    def saving_news(self, *, remind: bool = False) -> list[events.Saved | events.Unsaved]:
        """What is to be told of the saving since the last call; with `remind`, of trouble that goes on."""
        match self.recorder.news(remind=remind):
            case News.UNSAVED:
                return [events.Unsaved(self.recorder.sentence)]
            case News.SAVED:
                return [events.Saved()]
            case None:
                return []

    async def _play(self, turn: Turn) -> Events:
        """What happens in a turn; each message is in the conversation before the event that shows it."""
        yield events.Created(f"turn_{next(self._turns)}", self.model, self.effort.value)
        if self._engine.info() is None:
            async for event in self.load():
                yield event
        async with aclosing(self.equip(turn.stop)) as stream:
            async for event in stream:
                yield event
        async with aclosing(self._answer(turn)) as stream:
            async for event in stream:
                yield event

    def _answer(self, turn: Turn) -> Events:
        """The turn as it is told: its reasoning by the policy, and citations by what was shown."""
        stream = self._reasoning.apply(self._survive(turn), turn.stop)
        return stream if self.options.response_format else cite(stream, lambda: self.pages)

    async def _survive(self, turn: Turn) -> Events:
        """The turn's events; when the engine dies it is started again, and an unbegun sample repeated."""
        for attempt in (1, 2):
            try:
                async with aclosing(turn.run()) as stream:
                    async for event in stream:
                        yield event
                return
            except EngineDied as death:
                yield events.EngineLost(str(death))
                try:
                    async for event in self.load():
                        yield event
                except ChatError as error:
                    yield events.Failed(Error("engine_lost", str(error)))
                    return
                if turn.stop.is_set() or attempt == 2 or turn.samples[-1].sampled_tokens:
                    break
        kept = "The engine stopped and was started again. Everything said is kept; send a message to go on."
        yield events.Failed(Error("engine_lost", kept))

    async def stop(self) -> None:
        """End the turn soon; what was said is kept. Does nothing when no turn is under way."""
        if self._turn is not None:
            self._turn.cancel()

    async def new(self) -> None:
        """Begin another conversation; this one stays in the store, and the tools forget their state."""
        await self.stop()
        self.context_used = 0
        await self._toolbox.close()
        self._take_up(self._new_record())
        await self._sources.close()
        self._toolbox.tools = self._tools
        self._sources.open()
        self._tools_ready = asyncio.ensure_future(self._toolbox.start())

    async def close(self) -> None:
        """End the engine's process and the tools', once what was said last is kept."""
        await self.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _LAST_WORDS_S)
        if self._tools_ready is not None:
            self._tools_ready.cancel()
        await asyncio.gather(
            self.recorder.close(),
            self._engine.close(),
            self._toolbox.close(),
            self._sources.close(),
            self._renderer.close(),
            self._reasoning.close(),
            return_exceptions=True,
        )
        if self._store is not None:
            await self._store.close()

    async def resume(self, session: str | None = None) -> None:
        """Take up a stored conversation, the last one if none is named; raises ChatError."""
        if self._store is None:
            raise ChatError("Conversations are not kept, so there is none to resume.")
        try:
            stored = await self._store.read(session)
        except StoreError as error:
            raise ChatError(f"The conversation cannot be read: {error}") from error
        if stored is None:
            which = f"no conversation named {session}" if session else "no conversation to continue yet"
            raise ChatError(f"There is {which}. Start one with `gptoss-chat`.")
        self._take_up(self._new_record(stored))
        self._toolbox.recall(self.conversation.messages)

    def past(self) -> list[tuple[str, list[Event]]]:
        """What was said so far, turn by turn, as the events that would have shown it."""
        turns = replay(self.conversation.messages, self._reasoning.past)
        if self.options.response_format:
            return turns
        pages = self.pages
        return [(said, [told for event in shown for told in _told(event, pages)]) for said, shown in turns]

    def _take_up(self, record: Record) -> None:
        """Go on with this conversation, in its own folder of files."""
        self._record = record
        self.recorder.take_up(record)
        if self._files is not None:
            self._toolbox.keep(self._files / record.id)

    def _new_record(self, stored: StoredSession | None = None) -> Record:
        day = stored.date if stored else date.today().isoformat()
        instructions = self.options.instructions or (stored.instructions if stored else "")
        conversation = Conversation(
            self._system_prompt(day),
            DeveloperPrompt(
                instructions,
                self._toolbox.functions,
                (self.options.response_format,) if self.options.response_format else (),
            ),
        )
        record = Record(self._store, self.model, conversation)
        if stored is not None:
            record.resume(stored)
        return record

    def _system_prompt(self, day: str | None) -> SystemPrompt:
        box = self._toolbox
        return SystemPrompt(self.effort, day, browser=box.has_browser, python=box.has_python)

    def _new_turn(self) -> Turn:
        return Turn(
            self.conversation,
            self._engine,
            self._renderer,
            self._toolbox,
            self.options,
            next_seed=self._next_seed,
            new_call_id=lambda: f"call_{next(self._call_ids)}",
            sampled=self._record.sampled,
        )

    def _next_seed(self) -> int | None:
        """A seed for each sample: a fixed one must not make every sample of a turn draw the same numbers."""
        if self.options.sampling.seed is None:
            return secrets.randbits(31)
        return (self.options.sampling.seed + next(self._samples)) % 2**31

    def _measure(self, turn: Turn) -> None:
        if turn.samples:
            sample = turn.samples[-1]
            self.context_used = sample.prompt_tokens + sample.sampled_tokens


def _told(event: Event, pages: ShownPages) -> list[Event]:
    return cited(event.delta, pages) if isinstance(event, events.OutputDelta) else [event]
