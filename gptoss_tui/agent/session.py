"""Session: one conversation, with its tools, permissions and options. Front ends drive this.

The file is long because all that a front end can ask of a conversation is here; what happens inside a turn is
in turn.py, and what conversations share in runtime.py.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..calls.cancel import Stopped, unless_stopped
from ..calls.output import OutputFolder
from ..calls.sources import Sources
from ..calls.toolbox import Toolbox
from ..events import events
from ..events.events import Error, Event, Events
from ..events.replay import replay
from ..events.stream import Sink, stream
from ..harmony.message import Conversation, DeveloperPrompt, Effort, Message, Role, SystemPrompt
from ..history.claim import Claim, Holder
from ..history.cut import Cut
from ..history.record import Record
from ..history.rescue import Rescue
from ..history.store import Store, StoreError
from ..history.stored import StoredSession
from ..model.engine import Detail, EngineDied, EngineError
from ..model.errors import CheckpointError
from ..permissions.policy import Permissions
from ..permissions.question import Person
from ..tools import Source, Tool
from .citations import Citable, cited, citing
from .context import known_ids, prompts
from .context_usage import ContextUsage, usage
from .options import Options
from .reading_ahead import ReadingAhead
from .reasoning import ReasoningPolicy
from .room import Room, told
from .runtime import AgentError, Runtime
from .turn import Turn

if TYPE_CHECKING:
    from ..tools.browser.citations import ShownPages

SavingNews = events.StoreRescued | events.Saved | events.Unsaved

_LAST_WORDS_S = 1.0
"""How long closing waits for a turn to end in order."""

_BUSY = "The model is still answering; stop it or wait before you send more."
_RESTARTED = "The engine stopped and was started again. Everything said is kept; send a message to go on."

_READY_S = 5.0
"""How long a turn waits for the session's own tools to start: a tool that hangs is ended when called."""


class Session:
    """One conversation, one turn at a time; several sessions may be open on one `runtime`.

    `options` hold for every turn. `tools` and `sources` belong to this session alone while it is open; the
    sources are opened side by side once the model loads, and the first turn waits for their tools.
    `permissions` decide which calls run, `off` are the tools that the person has switched off, and `outputs`
    is the folder for outputs that are too long; below `files` each conversation has a folder for the files of
    its tools. `reasoning` is the policy for the raw reasoning, None for the runtime's. `resume` is the ID of
    a conversation that the first `load` or `send` takes up, "" for the last one. `effort` may be set at any
    time and counts from the next turn.
    """

    def __init__(
        self,
        runtime: Runtime,
        tools: Sequence[Tool],
        person: Person,
        *,
        sources: Sequence[Source] = (),
        effort: Effort = Effort.MEDIUM,
        options: Options | None = None,
        permissions: Permissions | None = None,
        off: Collection[str] = (),
        outputs: OutputFolder | None = None,
        files: Path | None = None,
        resume: str | None = None,
        reasoning: ReasoningPolicy | None = None,
    ) -> None:
        self.runtime = runtime
        self._reasoning = reasoning or runtime.reasoning
        self.effort = effort
        self.options = options or Options()
        self.permissions = permissions or Permissions()
        self._tools = tuple(tools)
        self._sources = Sources(sources, taken=[tool.name for tool in tools])
        self._toolbox = Toolbox(self._tools, person, self.permissions, off, outputs)
        self._files = files
        self._resume = resume
        self._turn: Turn | None = None
        self._used = 0  # tokens of the context between turns
        self._compaction: Room | None = None  # the summary that the person asked for, under way
        self._idle = asyncio.Event()
        self._idle.set()
        self._ahead = ReadingAhead(runtime)
        self._tools_ready: asyncio.Task[None] | None = None
        self._noticed: set[str] = set()
        self._is_closed = False
        self._is_left = False  # while the runtime goes on
        self._was_unsaved = False  # whether the front end has been told of unsaved messages
        self._rescues_told = 0
        self._fork: events.Forked | None = None  # how this came to be a copy of another conversation
        self._turns: Iterator[int] = itertools.count(1)
        self._call_ids: Iterator[int] = itertools.count(1)
        self._samples: Iterator[int] = itertools.count()
        self._take_up(self._new_record())
        self._citable = Citable(self.conversation.messages)
        runtime.sessions.add(self)

    @property
    def conversation(self) -> Conversation:
        """The conversation so far; no caller changes it."""
        return self._record.conversation

    @property
    def id(self) -> str | None:
        """The ID to resume this conversation with, None while none of it is on disk."""
        return self._record.id if self._record.saved_count else None

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that the model may call."""
        return (*self._tools, *self._sources.tools)

    @property
    def tools_starting(self) -> Sequence[str]:
        """The files and servers that have not listed their tools yet."""
        return self._sources.waiting

    @property
    def tools_missing(self) -> Sequence[str]:
        """A notice for each file, server or function that cannot be used, with the reason."""
        return self._sources.notices

    @property
    def pages(self) -> ShownPages:
        """The pages that the browser showed, by which citations are resolved."""
        if self._citable.messages is not self.conversation.messages:
            self._citable = Citable(self.conversation.messages)
        return self._citable.pages()

    @property
    def busy(self) -> bool:
        """True while a turn is under way."""
        return not self._idle.is_set()

    @property
    def context_used(self) -> int:
        """The tokens of the last prompt and of the sample that followed it.

        Before the first, and after a change of what is shown, those that the next prompt begins with.
        """
        if self._turn is not None and self._turn.samples:
            return self._turn.samples[-1].prompt_tokens + self._turn.samples[-1].sampled_tokens
        return self._used

    def load(self) -> Events:
        """Load tokenizer and model, with progress, ending with EngineReady; raises AgentError.

        A conversation to resume is read first and reported with Resumed.
        """
        return stream(self._load)

    def equip(self) -> Events:
        """Wait until every file and server has listed its tools.

        A turn does so itself; a front end that shows notices at once does so before. What the first prompt is
        known to begin with is read from then on.
        """
        return stream(self._equip_early)

    def send(self, text: str, *, detail: Detail | None = None) -> Events:
        """The events of one turn that answers the person's `text`; the last event is the outcome.

        A message is on disk before the event that shows it as finished, unless an Unsaved event came before.
        With a `detail` every token is an event as well, with its probability and what the detail asks for, as
        far as the engine reports it. Raises AgentError when a turn is under way or the model cannot be
        loaded.
        """
        return stream(partial(self._send, text, detail))

    def compact(self, instruction: str = "") -> Events:
        """Have the model sum up what was said, and show it the summary in place of that from now on.

        `instruction` says what the summary should heed. Ends with ContextCut. Raises AgentError when there is
        nothing to sum up, no summary came of it, or a turn is under way.
        """
        return stream(partial(self._compact, instruction))

    def uncompact(self) -> Events:
        """Take back the last cut in what the model is shown, with ContextRestored; raises AgentError."""
        return stream(self._uncompact)

    async def context_usage(self) -> ContextUsage:
        """What fills the context, as the next prompt has it; raises AgentError."""
        if self._turn is None:
            self._prompt(self.effort)
        try:
            return await usage(self._room())
        except (EngineError, CheckpointError) as error:
            raise AgentError(str(error)) from error

    async def settle(self) -> None:
        """Wait until the engine has been asked for what it does between turns.

        Only a front end must do so whose event loop stands still then.
        """
        await self._ahead.asked()

    async def stop(self) -> None:
        """End the turn soon; its messages so far stay. Between turns, end what goes on unseen."""
        self._ahead.stop()
        if self._turn is not None:
            self._turn.cancel()
        if self._compaction is not None:
            self._compaction.stop.set()
            self._compaction.cancel()

    async def finish(self) -> None:
        """Begin no other turn, end the current one, and wait for its end, but not for long."""
        self._is_closed = True
        await self.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _LAST_WORDS_S)

    async def close(self) -> None:
        """End the conversation and close its tools; the runtime stays open."""
        await self.finish()
        await self.release()
        self._is_left = True
        if self._idle.is_set():
            self.runtime.recorder.leave(self._record)

    async def release(self) -> None:
        """Give back the processes of the tools, whether or not the turn has ended; see `finish`."""
        self.runtime.sessions.discard(self)
        if self._tools_ready is not None:
            self._tools_ready.cancel()
        await asyncio.gather(
            self.runtime.recorder.save(), self._toolbox.close(), self._sources.close(), return_exceptions=True
        )

    async def successor(self) -> Session:
        """Close this conversation, and begin another with the same tools, person, permissions and options."""
        await self.close()
        session = Session(
            self.runtime,
            self._tools,
            self._toolbox.person,
            sources=self._sources.sources,
            effort=self.effort,
            options=self.options,
            permissions=self.permissions,
            off=self._toolbox.off,
            outputs=self._toolbox.outputs,
            files=self._files,
            reasoning=self._reasoning,
        )
        session._toolbox.has_run_python = self._toolbox.has_run_python
        session._noticed, session._was_unsaved = self._noticed, self._was_unsaved
        session._rescues_told = self._rescues_told
        session._turns, session._call_ids, session._samples = self._turns, self._call_ids, self._samples
        session.begin_equipping()
        return session

    def begin_equipping(self) -> None:
        """Begin to open the files and servers and to start the tools, in the background."""
        self._open_sources()
        if self._tools_ready is None and not self._is_closed:
            self._tools_ready = asyncio.ensure_future(self._toolbox.start())

    async def resume(self, name: str | None = None) -> None:
        """Take up a stored conversation, the last one if none is named; raises AgentError.

        Where somebody else goes on with it, this session goes on in another that begins like it.
        """
        self._check_open()
        if self._turn is not None or self._compaction is not None:
            raise AgentError(_BUSY)
        if self.runtime.store is None:
            raise AgentError("Conversations are not kept, so there is none to resume.")
        try:
            name = (await self._stored(self.runtime.store, name)).id
            claimed = await self._claim(self.runtime.store, name)
            stored = await self._stored(self.runtime.store, name)  # as whoever had it has left it
        except StoreError as error:
            raise AgentError(f"The conversation cannot be read: {error}") from error
        record = self._new_record(stored, claimed)
        if self._files is not None and record.id != stored.id:
            await asyncio.to_thread(_copy, self._files / stored.id, self._files / record.id)
        self._ahead.stop()
        self.runtime.recorder.leave(self._record)
        self._take_up(record)
        self._toolbox.recall(self.conversation.messages)

    async def _stored(self, store: Store, name: str | None) -> StoredSession:
        """A stored conversation, the last one if none is named; raises AgentError and StoreError."""
        stored = await store.read(name)
        if stored is None:
            which = f"no conversation named {name}" if name else "no conversation to continue yet"
            raise AgentError(f"There is {which}. Start one with `gptoss-chat`.")
        return stored

    async def _claim(self, store: Store, name: str) -> Claim | Holder | None:
        """Claim a conversation, which this session may have already, or tell who holds it."""
        if name == self._record.id and self._record.claim is not None:
            claimed, self._record.claim = self._record.claim, None
            return claimed
        return await store.claim(name)

    def past(self) -> list[tuple[str, list[Event]]]:
        """The turns so far: the person's text of each, and the events that would have shown its answer."""
        messages, cuts = self.conversation.messages, self._record.cuts
        between: dict[int, list[Event]] = {}
        for old, cut in itertools.pairwise([Cut(), *cuts]):
            between.setdefault(cut.at, []).append(told(messages, old, cut, 0))
        turns = replay(messages, self._reasoning.past, self._record.endings, between)
        if self.options.response_format:
            return turns
        pages = self.pages
        return [
            (text, [part for event in answer for part in _with_citations(event, pages)])
            for text, answer in turns
        ]

    def saving_news(self, *, remind: bool = False) -> list[SavingNews]:
        """The changes in saving since the last call, as events; with `remind`, also trouble that goes on."""
        recorder = self.runtime.recorder
        was_unsaved, self._was_unsaved = self._was_unsaved, bool(recorder.trouble)
        news: list[SavingNews] = [_rescued(one) for one in self._rescues[self._rescues_told :]]
        self._rescues_told += len(news)
        if recorder.trouble and (remind or not was_unsaved):
            news.append(events.Unsaved(recorder.sentence))
        elif was_unsaved and not recorder.trouble:
            news.append(events.Saved())
        return news

    @property
    def _rescues(self) -> Sequence[Rescue]:
        return self.runtime.store.rescues if self.runtime.store is not None else ()

    async def _load(self, emit: Sink) -> None:
        self._check_open()
        await self._take_up_stored(emit)
        self._open_sources()
        checking = asyncio.ensure_future(self._check_store())
        try:
            await self.runtime.load(emit)
        finally:
            await checking
        for news in self.saving_news():
            await emit(news)
        self.begin_equipping()
        if self.conversation.messages and not self._used:
            await self._measure()

    async def _measure(self) -> None:
        """Measure what the next prompt begins with."""
        with suppress(EngineError, CheckpointError):  # the next turn meets it as well, and tells it
            self._used = len(await known_ids(self.runtime.renderer, self.conversation, self._room().cut))

    async def _check_store(self) -> None:
        """Open the store, to tell damage; that it cannot be opened is told in the first turn."""
        if self.runtime.store is not None:
            with suppress(StoreError):
                await self.runtime.store.check()

    async def _take_up_stored(self, emit: Sink) -> None:
        """Resume the conversation that the session was made for, the first time."""
        if self._resume is not None:
            name, self._resume = self._resume, None
            try:
                await self.resume(name or None)
            finally:
                for news in self.saving_news():
                    await emit(news)
            await emit(events.Resumed(self._record.id, len(self.past())))
            if self._fork is not None:
                await emit(self._fork)
            if self._record.gaps:
                await emit(events.LeftOut(f"Of this conversation {self._record.gaps}."))

    def _check_open(self) -> None:
        """Raise AgentError when the session is closed: nothing of it would be saved any more."""
        if self._is_closed:
            raise AgentError("This conversation is closed; begin another.")

    def _open_sources(self) -> None:
        if not self._is_closed:
            self._sources.open()

    async def _equip_early(self, emit: Sink) -> None:
        await self._equip(asyncio.Event(), emit)
        if self._idle.is_set():
            self._read_ahead()

    async def _equip(self, stop: asyncio.Event, emit: Sink) -> None:
        self._open_sources()
        await self._sources.settle(stop, emit)
        await self._tell_notices(stop, emit)
        self._toolbox.tools = (*self._tools, *self._sources.tools)
        self._prompt(self.conversation.system.effort)

    async def _tell_notices(self, stop: asyncio.Event, emit: Sink) -> None:
        """Emit the new notices of the session's own tools; those of a tool that starts slowly come later."""
        if self._tools_ready is None:
            return
        ready = asyncio.wait_for(asyncio.shield(self._tools_ready), _READY_S)
        with suppress(Stopped, TimeoutError):
            await unless_stopped(stop, ready)
        for tool in self._tools:
            if tool.notice and tool.notice not in self._noticed:
                self._noticed.add(tool.notice)
                await emit(events.ToolsNotice(tool.name, tool.notice))

    async def _send(self, text: str, detail: Detail | None, emit: Sink) -> None:
        async with self._at_work(emit):
            with self.runtime.recorder.drafting():
                turn = await self._take_turn(text, detail, emit)
        if not turn.stop.is_set():
            self._read_ahead()

    async def _compact(self, instruction: str, emit: Sink) -> None:
        async with self._at_work(emit):
            emit = self._saving(emit)
            await self._load_and_equip(asyncio.Event(), emit)
            room = self._room()
            if len(self.conversation.messages) <= room.cut.first:
                raise AgentError("There is nothing to sum up yet.")
            self._compaction = room
            try:
                is_done = await room.compact(instruction, emit)
            except EngineError as error:
                raise AgentError(f"Nothing was summed up: {error}") from error
            finally:
                self._compaction = None
            if not is_done:
                why = "it was stopped" if room.stop.is_set() else "the model wrote no summary"
                raise AgentError(f"Nothing was summed up: {why}.")
            await self._measure()
        self._read_ahead()

    async def _uncompact(self, emit: Sink) -> None:
        async with self._at_work(emit):
            cuts = self._record.cuts
            if not cuts:
                raise AgentError("The model is shown all of the conversation; there is nothing to take back.")
            undone = cuts.pop()
            now, messages = cuts[-1] if cuts else Cut(), self.conversation.messages
            await self._measure()
            again = told(messages, now, undone, 0)
            restored = events.ContextRestored(
                again.messages, again.outputs, self._used, self.runtime.context_limit
            )
            await self._saving(emit)(restored)
        self._read_ahead()

    @asynccontextmanager
    async def _at_work(self, emit: Sink) -> AsyncGenerator[None, None]:
        """Keep everything else away meanwhile, and save what came of it."""
        self._check_open()
        if self.busy:
            raise AgentError(_BUSY)
        self._idle.clear()
        try:
            await self._take_up_stored(emit)
            yield
        finally:
            self._idle.set()
            await self.runtime.recorder.save()
            if self._is_left:
                self.runtime.recorder.leave(self._record)

    def _read_ahead(self) -> None:
        """Have the engine read what the next prompt is known to begin with."""
        if self.options.read_ahead and not self._is_closed:
            system, developer = self._first_messages(self.effort)
            messages = [*self.conversation.messages]
            room = self._room()
            most = room.capacity.prompt if room.capacity is not None else None
            self._ahead.begin(Conversation(system, developer, messages), room.cut, most)

    async def _take_turn(self, text: str, detail: Detail | None, emit: Sink) -> Turn:
        turn = self._turn = self._new_turn(detail)
        try:
            await self._load_and_equip(turn.stop, emit)
            message = Message(Role.USER, text)
            if refusal := await self._refusal(turn.room, message):
                await emit(events.Failed(refusal))
                return turn
            emit = self._saving(emit)
            self.conversation.messages.append(message)
            self._toolbox.recall([message])
            await emit(events.Created(f"turn_{next(self._turns)}", self.runtime.model, self.effort.value))
            if detail:
                turn.detail = await self._possible(detail, emit)
            await self._answer(turn, self._shown(turn, emit))
            return turn
        finally:
            self._used = self.context_used
            self._turn = None

    async def _load_and_equip(self, stop: asyncio.Event, emit: Sink) -> None:
        """Have everything there that is part of a prompt."""
        self._prompt(self.effort)
        if not self.runtime.is_loaded:
            await self._load(emit)
        self.begin_equipping()
        await self._equip(stop, emit)
        self._toolbox.room = self._room().for_output()

    async def _refusal(self, room: Room, message: Message) -> Error | None:
        """Why the person's message is not taken: it fits no prompt, or nothing can be put into tokens."""
        try:
            refusal = await room.refusal(message)
        except (EngineError, CheckpointError) as error:
            return Error("engine_error", str(error))
        return Error("context_full", refusal) if refusal else None

    async def _possible(self, detail: Detail, emit: Sink) -> Detail:
        """The parts of `detail` that the engine can report; an event names the others."""
        info = self.runtime.engine.info()
        able = info.abilities.detail if info else Detail.NONE
        if lacking := detail & ~able:
            await emit(events.EngineLacks(tuple(part.name.lower() for part in lacking if part.name)))
        return detail & able

    def _saving(self, emit: Sink) -> Sink:
        """A sink that commits finished messages before an event goes on, and reports where that fails."""
        recorder, record, rescues = self.runtime.recorder, self._record, self._rescues

        def take(event: Event) -> Awaitable[None]:
            """Most events go on as they are, and cost no more than this call."""
            if isinstance(event, events.Incomplete | events.Failed):
                record.end_turn(event.reason if isinstance(event, events.Incomplete) else "failed")
            is_saved = record.is_whole and not recorder.trouble and not self._was_unsaved
            has_news = len(rescues) != self._rescues_told
            return emit(event) if is_saved and not has_news else save_first(event)

        async def save_first(event: Event) -> None:
            await recorder.save()
            for news in self.saving_news(remind=isinstance(event, events.Created)):
                await emit(news)
            await emit(event)

        return take

    def _shown(self, turn: Turn, emit: Sink) -> Sink:
        """A sink for the turn's own events that applies the reasoning policy and resolves citations."""
        if self.options.response_format is None:
            emit = citing(emit, lambda: self.pages)
        return self._reasoning.apply(emit, turn.stop)

    async def _answer(self, turn: Turn, emit: Sink) -> None:
        """Run the turn; an engine that dies is started again, and a sample without a token is repeated."""
        for attempt in (1, 2):
            try:
                await turn.run(emit)
                return
            except EngineDied as death:
                await emit(events.EngineLost(str(death)))
                try:
                    await self._load(emit)
                except AgentError as error:
                    await emit(events.Failed(Error("engine_lost", str(error))))
                    return
                has_written = turn.samples and turn.samples[-1].sampled_tokens
                if turn.stop.is_set() or attempt == 2 or has_written:
                    break
        await emit(events.Failed(Error("engine_lost", _RESTARTED)))

    def _take_up(self, record: Record) -> None:
        """Go on with the conversation of `record`, in its own folder of files."""
        self._record, self._used = record, 0
        self.runtime.recorder.take_up(record)
        if self._files is not None:
            self._toolbox.keep(self._files / record.id)

    def _new_record(
        self, stored: StoredSession | None = None, claimed: Claim | Holder | None = None
    ) -> Record:
        """The record of a new conversation, or of a stored one; of a copy where that is held by another."""
        day = stored.date if stored else date.today().isoformat()
        instructions = stored.instructions if stored else ""
        first = prompts(self.options, self._toolbox, self.effort, day, instructions)
        record = Record(self.runtime.store, self.runtime.model, Conversation(*first))
        if stored is not None and isinstance(claimed, Holder):
            record.fork(stored)
            self._fork = _forked(record.id, stored.id, claimed)
        elif stored is not None:
            record.resume(stored)
            record.claim = claimed if isinstance(claimed, Claim) else None
        return record

    def _prompt(self, effort: Effort) -> None:
        """Bring the first two messages of the conversation up to date."""
        self.conversation.system, self.conversation.developer = self._first_messages(effort)

    def _first_messages(self, effort: Effort) -> tuple[SystemPrompt, DeveloperPrompt]:
        day, instructions = self.conversation.system.date, self.conversation.developer.instructions
        return prompts(self.options, self._toolbox, effort, day, instructions)

    def _new_turn(self, detail: Detail | None) -> Turn:
        return Turn(
            self.conversation,
            self.runtime.engine,
            self.runtime.renderer,
            self._toolbox,
            self.options,
            next_seed=self._next_seed,
            new_call_id=lambda: f"call_{next(self._call_ids)}",
            detail=detail,
            sampled=self._record.sampled,
            draft=self._record.draft,
            cuts=self._record.cuts,
        )

    def _room(self) -> Room:
        runtime = self.runtime
        return Room(
            self.conversation,
            self._record.cuts,
            runtime.engine,
            runtime.renderer,
            self._toolbox.person,
            self.options,
            self._next_seed,
        )

    def _next_seed(self) -> int | None:
        """The seed of the next sample: a fixed seed must not have every sample draw the same numbers."""
        if self.options.sampling.seed is None:
            return secrets.randbits(31)
        return (self.options.sampling.seed + next(self._samples)) % 2**31


def _copy(folder: Path, copy: Path) -> None:
    """Copy the files of tools, as far as that is possible: code may have made what is no file at all."""
    with suppress(OSError):  # shutil.Error is one; what could be copied is there
        shutil.copytree(folder, copy, symlinks=True)


def _forked(name: str, origin: str, holder: Holder) -> events.Forked:
    """The news that `name` goes on in the place of `origin`."""
    where = "another program"
    if holder.pid == os.getpid():
        where = "another chat of this program"
    elif holder.pid:
        since = datetime.fromtimestamp(holder.since).astimezone()
        where = f"another program (process {holder.pid} on {holder.host}, since {since:%Y-%m-%d %H:%M})"
    message = f"This conversation is open in {where}; here it goes on as a copy of its own, {name}."
    return events.Forked(name, origin, holder.pid, holder.host, holder.since, message)


def _rescued(rescue: Rescue) -> events.StoreRescued:
    return events.StoreRescued(
        str(rescue.file),
        str(rescue.aside),
        rescue.conversations,
        rescue.messages,
        rescue.lost,
        rescue.sentence,
    )


def _with_citations(event: Event, pages: ShownPages) -> list[Event]:
    return cited(event.delta, pages) if isinstance(event, events.OutputDelta) else [event]
