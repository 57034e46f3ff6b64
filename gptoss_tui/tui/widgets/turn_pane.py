"""The pane of a turn, drawn from its events: reasoning, calls, preambles and the final text."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TypeVar

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from gptoss_tui.events import events
from gptoss_tui.events.printable import printable
from gptoss_tui.permissions.question import Crowded, GoOn, MakeRoom, Pause
from gptoss_tui.tui.pictures import Graphics
from gptoss_tui.tui.widgets.citation import citation_link
from gptoss_tui.tui.widgets.context_card import ContextCard
from gptoss_tui.tui.widgets.go_on_prompt import GoOnPrompt
from gptoss_tui.tui.widgets.json_prose import JsonProse
from gptoss_tui.tui.widgets.make_room_prompt import MakeRoomPrompt
from gptoss_tui.tui.widgets.notice import Notice, Severity
from gptoss_tui.tui.widgets.prompt import Prompt
from gptoss_tui.tui.widgets.prose import Prose
from gptoss_tui.tui.widgets.reasoning_pane import ReasoningPane, View
from gptoss_tui.tui.widgets.tool_card import CallEvent, CallState, ToolCard

_PartT = TypeVar("_PartT", ReasoningPane, Prose)
_AnswerT = TypeVar("_AnswerT")


class TurnPane(Vertical):
    """Shows the parts of one turn in the order in which they came.

    `receive` only takes note of an event, so that a flood of events costs little. `flush` draws the changes;
    the reader of the events calls it at a bounded rate.
    """

    def __init__(
        self,
        view: View | None,
        cards_open: bool | None,
        *,
        json_answers: bool = False,
        graphics: Graphics | None = None,
    ) -> None:
        """`graphics` is the way to draw pictures, None for no pictures."""
        super().__init__()
        self._graphics = graphics
        self._json_answers = json_answers
        self._effort = ""
        self._view = view
        self._cards_open = cards_open
        self._part: ReasoningPane | Prose | None = None
        self._unmounted: list[Widget] = []
        self._live: list[ReasoningPane | Prose | ToolCard] = []
        self._cards: dict[str, ToolCard] = {}
        self._paused = False
        self._compacting = False
        self._started = monotonic()
        self._drawing = asyncio.Lock()

    @property
    def activity(self) -> str:
        """The present activity in a few words, for the status line."""
        if self._paused:
            return "waiting for your answer"
        if self._compacting:
            return "summing up"
        for card in self._cards.values():
            match card.state:
                case CallState.ASKING:
                    return "waiting for your approval"
                case CallState.WRITING | CallState.RUNNING:
                    return f"{'calling' if card.state is CallState.WRITING else 'running'} {card.recipient}"
        match self._part:
            case ReasoningPane():
                return "thinking"
            case Prose():
                return "writing"
        return "reading"

    def receive(self, event: events.Event) -> None:
        """Take note of one event of the turn."""
        match event:
            case events.Created(effort=effort):
                self._effort = effort
            case events.ReasoningDelta() | events.ReasoningProgress() | events.FilterFailed():
                self._think(event)
            case events.Cited():
                self._prose("answer").write(printable(citation_link(event)))
            case events.PreambleDelta(delta=delta) | events.OutputDelta(delta=delta):
                kind = "preamble" if isinstance(event, events.PreambleDelta) else "answer"
                self._prose(kind).write(printable(delta))
            case (
                events.ToolCallDelta()
                | events.ToolCall()
                | events.ToolStarted()
                | events.ToolRefused()
                | events.ToolNote()
                | events.ToolOutputDelta()
                | events.ToolOutput()
            ):
                self._call(event)
            case events.Repaired() | events.ReasoningClosed():
                self.note(event.sentence)
            case events.Compacting():
                self._compacting = True
            case events.ContextCut():
                self._compacting = False
                self._end_part()
                self._unmounted.append(ContextCard(event, opened=bool(self._cards_open)))
            case (
                events.EngineLost(message=message)
                | events.ToolsNotice(message=message)
                | events.StoreRescued(message=message)
            ):
                self.note(message, "warning")
            case events.Completed(usage=usage, timings=timings):
                self._sum_up(usage.output_tokens, timings)
            case events.Incomplete(usage=usage, timings=timings):
                self.note(printable(event.sentence), "warning")
                self._sum_up(usage.output_tokens, timings)
            case events.Failed(error=error):
                self.note(error.message, "error")

    def _call(self, event: CallEvent) -> None:
        """Take note of an event of a call."""
        if isinstance(event, events.ToolCallDelta | events.ToolCall):
            card = self.card(event.call_id, event.recipient)
        else:
            card = self._cards[event.call_id]
        card.receive(event)
        if isinstance(event, events.ToolOutput) and self._graphics is not None:
            card.draw(event.files, self._graphics)

    def card(self, call_id: str, recipient: str) -> ToolCard:
        """The card of a call; a new card for a new call."""
        card = self._cards.get(call_id)
        if card is None:
            self._end_part()
            card = self._cards[call_id] = ToolCard(recipient, opened=self._cards_open)
            self._add(card)
        return card

    def note(self, text: str, severity: Severity = "information") -> None:
        """Add a notice."""
        self._end_part()
        self._unmounted.append(Notice(text, severity))

    async def flush(self) -> None:
        """Draw the events since the last flush."""
        async with self._drawing:
            with self.app.batch_update():
                await self._mount_new()
                for part in list(self._live):
                    await part.flush()

    async def ask_to_go_on(self, pause: Pause) -> GoOn:
        """Ask, below all parts so far, whether the turn goes on."""
        return await self._ask(GoOnPrompt(pause))

    async def ask_for_room(self, crowded: Crowded) -> MakeRoom:
        """Ask, below all parts so far, what becomes of the oldest turns."""
        return await self._ask(MakeRoomPrompt(crowded))

    async def _ask(self, prompt: Prompt[_AnswerT]) -> _AnswerT:
        self._end_part()
        await self.flush()
        self._paused = True
        try:
            await self.mount(prompt)
            return await prompt.answer()
        finally:
            self._paused = False
            await prompt.leave()

    async def finish(self) -> None:
        """Draw every part in its final form, because the turn is over."""
        self._end_part()
        for prompt in (*self.query(GoOnPrompt), *self.query(MakeRoomPrompt)):
            prompt.refuse()
        async with self._drawing:
            live, self._live = self._live, []
            with self.app.batch_update():
                await self._mount_new()
                for part in live:
                    await part.finish()

    def show_reasoning(self, view: View | None) -> None:
        """Fold or open the reasoning, and also the reasoning to come."""
        self._view = view
        for reasoning in self.query(ReasoningPane):
            reasoning.show(view)

    def open_cards(self, opened: bool) -> None:
        """Fold or unfold the calls, and also the calls to come."""
        self._cards_open = opened
        for card in (*self._cards.values(), *self.query(ContextCard)):
            card.open(opened)

    def _think(self, event: events.ReasoningDelta | events.ReasoningProgress | events.FilterFailed) -> None:
        pane = self._part if isinstance(self._part, ReasoningPane) else self._begin(ReasoningPane(self._view))
        match event:
            case events.ReasoningDelta(delta=delta):
                pane.write(printable(delta))
            case events.ReasoningProgress(tokens=tokens):
                pane.count(tokens)
            case events.FilterFailed(message=message):
                self._unmounted.append(Notice(message, "warning"))  # the pane above it goes on

    def _prose(self, kind: str) -> Prose:
        if isinstance(self._part, Prose) and self._part.has_class(kind):
            return self._part
        is_json = self._json_answers and kind == "answer"
        return self._begin(JsonProse(classes=kind) if is_json else Prose(classes=kind))

    def _begin(self, part: _PartT) -> _PartT:
        self._end_part()
        self._part = part
        self._add(part)
        return part

    def _end_part(self) -> None:
        if isinstance(self._part, ReasoningPane):
            self._part.end()
        self._part = None

    def _add(self, part: ReasoningPane | Prose | ToolCard) -> None:
        self._live.append(part)
        self._unmounted.append(part)

    async def _mount_new(self) -> None:
        while self._unmounted:
            new, self._unmounted = self._unmounted, []
            await self.mount_all(new)

    def _sum_up(self, tokens: int, timings: events.Timings) -> None:
        """Add a quiet line under a new answer: the effort, the tokens, the time and the rate."""
        if not self._effort:
            return
        rate = f" · {timings.decode_tokens_per_s:.0f} tokens/s" if timings.decode_tokens_per_s else ""
        seconds = monotonic() - self._started
        line = f"effort {self._effort} · {tokens:,} tokens · {seconds:.1f} s{rate}"
        self._end_part()
        self._unmounted.append(Static(Content(line), classes="summing-up", markup=False))
