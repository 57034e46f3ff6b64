"""The player: opens the chat, loads the model, and plays one turn after another on the screen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from time import monotonic
from typing import Final

from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.agent.session import Session
from gptoss_tui.events.events import (
    ContextCut,
    ContextRestored,
    Created,
    Events,
    Forked,
    LeftOut,
    Resumed,
    StoreRescued,
    ToolsNotice,
)
from gptoss_tui.harmony.message import Effort
from gptoss_tui.permissions.question import (
    Approval,
    Crowded,
    Decision,
    GoOn,
    MakeRoom,
    Pause,
    Person,
    Question,
)
from gptoss_tui.tui.pictures import Graphics
from gptoss_tui.tui.screens.outbox import Compact, Outbox, Say, StartOver, Uncompact
from gptoss_tui.tui.screens.progress import Progress
from gptoss_tui.tui.widgets.context_card import ContextCard
from gptoss_tui.tui.widgets.notice import Notice
from gptoss_tui.tui.widgets.reasoning_pane import View
from gptoss_tui.tui.widgets.tool_card import ToolCard
from gptoss_tui.tui.widgets.transcript import Transcript
from gptoss_tui.tui.widgets.turn_pane import TurnPane
from gptoss_tui.tui.widgets.unsaved import UnsavedLine
from gptoss_tui.tui.widgets.user_message import UserMessage
from gptoss_tui.tui.widgets.welcome import Welcome

OpenSession = Callable[[Person], Session]

# Ten pictures a second read as motion; drawing gets at most three tenths of the loop, keys have the rest.
_FRAME_S: Final = 0.1
_REST_PER_WORK: Final = 7 / 3
_CLOSE_S: Final = 2.0
_PAST_TURNS: Final = 30

_log = logging.getLogger(__name__)


class Player:
    """Serves the outbox in one task. A failure becomes a notice, and the session goes on."""

    def __init__(
        self,
        open_session: OpenSession,
        effort: Effort,
        view: View | None,
        *,
        graphics: Graphics | None,
        model: str,
        outbox: Outbox,
        transcript: Transcript,
        progress: Progress,
        unsaved: UnsavedLine,
        changed: Callable[[], None],
        give_back: Callable[[str], None],
        give_up: Callable[[str], bool],
    ) -> None:
        """`view` is the first view of the reasoning; None hides it. `graphics` is the way to draw pictures.
        `changed` is called when the session becomes ready, busy or idle. `model` is the displayed name.
        `give_back` takes a message that was not sent.
        `give_up` takes the reason why no model could be loaded, and returns whether the application exits.
        """
        self.ready = False
        self.session: Session | None = None
        self.turn: TurnPane | None = None
        self._open_session = open_session
        self._effort = effort
        self._model = model
        self._view = view
        self._graphics = graphics
        self._cards_open: bool | None = None
        self._outbox = outbox
        self._transcript = transcript
        self._progress = progress
        self._unsaved = unsaved
        self._changed = changed
        self._give_back = give_back
        self._give_up = give_up
        self._is_compacting = False
        self._telling: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """True while the model is at work on what the person asked for."""
        return self.turn is not None or self._is_compacting

    @property
    def effort(self) -> Effort:
        """The reasoning effort, from the next turn on."""
        return self._effort

    @effort.setter
    def effort(self, effort: Effort) -> None:
        self._effort = effort
        if self.session is not None:
            self.session.effort = effort
        self._progress.report(effort=effort.value)

    @property
    def view(self) -> View | None:
        """The view of the reasoning in every turn; None when it is hidden."""
        return self._view

    @view.setter
    def view(self, view: View | None) -> None:
        self._view = view
        for turn in self._transcript.query(TurnPane):
            turn.show_reasoning(view)

    def toggle_cards(self) -> None:
        """Unfold all tool calls, or fold them when all are open."""
        cards = [*self._transcript.query(ToolCard), *self._transcript.query(ContextCard)]
        self._cards_open = not all(card.is_open for card in cards) if cards else not self._cards_open
        for turn in self._transcript.query(TurnPane):
            turn.open_cards(self._cards_open)
        for card in self._transcript.query(ContextCard):
            card.open(self._cards_open)

    async def run(self) -> None:
        """Serve the outbox for ever."""
        await self._load()
        while True:
            match await self._outbox.next():
                case Say(text):
                    await self._transcript.query(Welcome).remove()
                    message = UserMessage(text)
                    await self._transcript.add(message)
                    if (self.ready or await self._load()) and not await self._answer(text):
                        await message.remove()
                        self._outbox.arrived()
                        self._give_back(text)
                case StartOver():
                    await self._start_over()
                case Compact(instruction):
                    await self._change_context(lambda session: session.compact(instruction))
                case Uncompact():
                    await self._change_context(lambda session: session.uncompact())

    async def stop(self) -> None:
        """Stop the running turn; its text so far stays. Between turns, stop what goes on unseen."""
        if self.busy:
            self._progress.report(activity="stopping")
        if self.session is not None:
            await self.session.stop()

    async def close(self) -> None:
        """Close the chat, with its model and its tools, within two seconds."""
        for task in (self._telling, self._watching):
            if task is not None:
                task.cancel()
        if self.session is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.session.runtime.close(), _CLOSE_S)

    async def approve(self, question: Question) -> Decision:
        """Ask the person, inside the call's card."""
        if self.turn is None:
            return Decision(Approval.NO)
        card = self.turn.card(question.call_id, question.recipient)
        await self.turn.flush()
        self._transcript.anchor()
        return await card.ask(question)

    async def go_on(self, pause: Pause) -> GoOn:
        """Ask the person, below the parts of the turn so far."""
        if self.turn is None:
            return GoOn.STOP
        self._transcript.anchor()
        return await self.turn.ask_to_go_on(pause)

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        """Ask the person, below the parts of the turn so far."""
        if self.turn is None:
            return MakeRoom.STOP
        self._transcript.anchor()
        return await self.turn.ask_for_room(crowded)

    async def _load(self) -> bool:
        """Open the chat and load the model; True when it can answer."""
        self._progress.report(activity="starting", working=True)
        try:
            if self.session is None:
                # In a thread: opening may import a lot, and the person is typing already.
                self.session = await asyncio.to_thread(self._open_session, self)
                self.session.effort = self._effort
                self._watching = asyncio.create_task(self._watch(self.session))
            async for event in self.session.load():
                if isinstance(event, Resumed):
                    await self._show_past(self.session)
                elif isinstance(event, Forked | LeftOut | StoreRescued):
                    await self._transcript.add(Notice(event.message, "warning"))
                self._progress.follow(event)
        except Exception as error:
            if isinstance(error, AgentError) and self._give_up(str(error)):
                return False
            await self._transcript.add(Notice(_sentence(error), "error"))
            self._progress.report(activity="no model", working=False, progress=None, detail="")
            return False
        self.ready = True
        self._progress.idle(self.session)
        self._changed()
        self._tell_of_tools(self.session)
        return True

    async def _watch(self, session: Session) -> None:
        """Show why the conversation cannot be saved for as long as it cannot, in turns and between them."""
        async with aclosing(session.runtime.recorder.follow()) as stream:
            async for trouble in stream:
                self._unsaved.show(trouble)

    def _tell_of_tools(self, session: Session) -> None:
        """Report now, and not with the first message, which files and servers cannot be used."""

        async def tell() -> None:
            async with aclosing(session.equip()) as stream:
                async for event in stream:
                    if isinstance(event, ToolsNotice):
                        await self._transcript.add(Notice(event.message, "warning"))

        self._telling = asyncio.create_task(tell())

    async def _show_past(self, session: Session) -> None:
        """Show the stored conversation that is resumed."""
        past = session.past()
        await self._transcript.query(Welcome).remove()
        if (earlier := len(past) - _PAST_TURNS) > 0:
            await self._transcript.add(Notice(f"{earlier} earlier turns are kept and not shown."))
        for text, events in past[-_PAST_TURNS:]:
            turn = self._new_turn(session)
            await self._transcript.add(UserMessage(text))
            await self._transcript.add(turn)
            for event in events:
                turn.receive(event)
            await turn.finish()

    def _new_turn(self, session: Session) -> TurnPane:
        json_answers = session.options.response_format is not None
        return TurnPane(self._view, self._cards_open, json_answers=json_answers, graphics=self._graphics)

    async def _start_over(self) -> None:
        if self.session is None:
            return
        await self._transcript.clear()
        try:
            self.session = await self.session.successor()
        except Exception as error:
            await self._transcript.add(Notice(_sentence(error), "error"))
        await self._transcript.add(Welcome(self._model))
        self._progress.idle(self.session)
        self._tell_of_tools(self.session)

    async def _change_context(self, change: Callable[[Session], Events]) -> None:
        """Do what changes what the model is shown, and show what came of it."""
        if not (self.ready or await self._load()):
            return
        assert self.session is not None
        self._is_compacting = True
        self._changed()
        try:
            async with aclosing(change(self.session)) as stream:
                async for event in stream:
                    self._progress.follow(event)
                    match event:
                        case ContextCut():
                            await self._transcript.add(ContextCard(event, opened=True))
                        case ContextRestored():
                            await self._transcript.add(Notice(event.sentence))
        except Exception as error:
            await self._transcript.add(Notice(_sentence(error), "warning"))
        finally:
            self._is_compacting = False
        self._progress.idle(self.session)
        self._changed()

    async def _answer(self, text: str) -> bool:
        """One turn, from the person's message to its last event; False when the message was not taken."""
        assert self.session is not None
        is_taken = False
        self.turn = turn = self._new_turn(self.session)
        await self._transcript.add(turn)
        self._changed()
        over = asyncio.Event()
        painter = asyncio.create_task(self._paint(turn, over))
        try:
            async with aclosing(self.session.send(text)) as stream:
                async for event in stream:
                    if isinstance(event, Created):
                        is_taken = True
                        self._outbox.arrived()
                    self._progress.follow(event)
                    turn.receive(event)
                    await asyncio.sleep(0)  # a flood of events must not keep the keyboard waiting
        except Exception as error:
            turn.note(_sentence(error), "error")
        finally:
            self.turn = None
            over.set()
        await painter
        with _logged("finishing a turn"):
            await turn.finish()
        self._progress.idle(self.session)
        self._changed()
        return is_taken

    async def _paint(self, turn: TurnPane, over: asyncio.Event) -> None:
        """Draw the turn as it grows, at a rate that leaves the loop to the keyboard."""
        assert self.session is not None
        while not over.is_set():
            started = monotonic()
            with _logged("drawing a turn"):
                await turn.flush()
                self._progress.measure(turn, self.session)
                await self._drawn()
            rest = max(_FRAME_S, (monotonic() - started) * _REST_PER_WORK)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), rest)

    async def _drawn(self) -> None:
        """Wait until the changes are on the screen."""
        drawn = asyncio.Event()
        if self._transcript.call_after_refresh(drawn.set):
            with suppress(TimeoutError):
                await asyncio.wait_for(drawn.wait(), 1.0)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Log a mistake in drawing, which must not end the turn."""
    try:
        yield
    except Exception:
        _log.exception(what)


def _sentence(error: Exception) -> str:
    """A failure in a sentence, for the person. Our own errors are sentences already."""
    if isinstance(error, AgentError):
        return str(error)
    _log.error("in the session", exc_info=error)
    return f"Something went wrong inside the program ({type(error).__name__}: {error}). The chat goes on."
