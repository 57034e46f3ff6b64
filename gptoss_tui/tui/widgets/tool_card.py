"""The card of a tool call: the tool, the arguments, the state of the call and its output."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from gptoss_tui.events import events
from gptoss_tui.events.printable import printable
from gptoss_tui.permissions.question import Decision, Question
from gptoss_tui.tui.pictures import Graphics
from gptoss_tui.tui.widgets.approval_prompt import ApprovalPrompt
from gptoss_tui.tui.widgets.code import code
from gptoss_tui.tui.widgets.picture import PICTURES, Picture

# A finished call of at most so many lines stays open; a longer call folds, so that the answer stays in view.
_SHORT: Final = 12
# The last lines that are shown of arguments or output that still grow.
_LIVE_LINES: Final = 12
# The most lines and characters that are shown of a call or an output. A question shows all of the call.
_HEAD_LINES: Final = 150
_TAIL_LINES: Final = 50
_LINE_LENGTH: Final = 2_000
# The most characters in memory of an output that still grows, of which only the end is shown.
_LIVE_CHARACTERS: Final = 50_000
# After this time the title shows the time limit of a running call.
_COUNTDOWN_FROM_S: Final = 5.0

CallEvent = (
    events.ToolCallDelta
    | events.ToolCall
    | events.ToolStarted
    | events.ToolRefused
    | events.ToolNote
    | events.ToolOutputDelta
    | events.ToolOutput
)


class CallState(Enum):
    """The state of a call: a word, a mark and a colour."""

    WRITING = ("writing", "◌", "$muted")
    ASKING = ("waiting for your approval", "?", "$text-warning")
    RUNNING = ("running", "◍", "$text-primary")
    FINISHED = ("finished", "●", "$text-success")
    FAILED = ("failed", "×", "$text-error")
    STOPPED = ("stopped", "■", "$muted")

    @property
    def is_over(self) -> bool:
        return self in (CallState.FINISHED, CallState.FAILED, CallState.STOPPED)


class ToolCard(Vertical):
    """A call as a card: one line when folded, code and output when open."""

    def __init__(self, recipient: str, *, opened: bool | None = None) -> None:
        """`opened` is the person's choice for all cards, None before the first choice."""
        super().__init__()
        self.recipient = recipient
        self.state = CallState.WRITING
        self.arguments = ""
        self.output = ""
        self._opened = opened
        self._notes: list[str] = []
        self._time_limit = 0.0
        self._started = monotonic()
        self._duration: float | None = None
        self._pictures: list[Picture] = []
        self._dirty = True

    def compose(self) -> ComposeResult:
        yield Static(classes="title", markup=False)
        with Vertical(classes="body"):
            yield Static(classes="arguments", markup=False)
            yield Static(classes="output", markup=False)
            yield Static(classes="notes", markup=False)
            yield Vertical(classes="pictures")

    async def on_mount(self) -> None:
        await self.flush()

    @property
    def is_open(self) -> bool:
        """Whether the body is shown: as the person chose, else while it is short, unfinished or failed."""
        if self.state is CallState.ASKING:
            return True
        if self._opened is not None:
            return self._opened
        if self._pictures:
            return True
        lines = self.arguments.count("\n") + self.output.rstrip("\n").count("\n") + 2
        return lines <= _SHORT or self.state is not CallState.FINISHED

    def receive(self, event: CallEvent) -> None:
        """Update the card after an event of its call. `flush` draws it."""
        self._dirty = True
        match event:
            case events.ToolCallDelta(delta=delta):
                self.arguments += printable(delta)
            case events.ToolCall(arguments=arguments):
                self.arguments = printable(arguments)
                self._enter(CallState.RUNNING)
            case events.ToolStarted(arguments=arguments, time_limit_s=limit):
                self.arguments = printable(arguments)
                self._time_limit = limit
                self._enter(CallState.RUNNING)
            case events.ToolRefused(message=message) | events.ToolNote(message=message):
                self._notes.append(printable(message))
            case events.ToolOutputDelta(delta=delta):
                self.output = (self.output + printable(delta))[-_LIVE_CHARACTERS:]
            case events.ToolOutput(output=output, is_error=is_error, duration_s=duration, whole=whole):
                self.output = printable(output)
                self._duration = duration
                if whole:
                    self._notes.append(f"Cut in the middle for the model. All of it: {printable(whole)}")
                self._enter(CallState.FAILED if is_error else CallState.FINISHED)

    def draw(self, files: Iterable[str], graphics: Graphics) -> None:
        """Show the pictures among `files` below the output."""
        pictures = [Path(file) for file in files if Path(file).suffix in PICTURES]
        self._pictures += [Picture(file, graphics) for file in pictures]
        self._dirty = True

    async def finish(self) -> None:
        """Draw the final state at the end of the turn. A call without an output by now was stopped."""
        for approval in self.query(ApprovalPrompt):
            approval.refuse()
        if not self.state.is_over:
            self._duration = monotonic() - self._started
            self._enter(CallState.STOPPED)
        await self.flush()

    async def ask(self, question: Question) -> Decision:
        """Show the whole call with nothing hidden in it, and wait for the person's answer."""
        self._enter(CallState.ASKING)
        approval = ApprovalPrompt(question)
        try:
            await self.query_one(".body").mount(approval)
            await self.flush()
            approval.show_answers()
            return await approval.answer()
        finally:
            await approval.leave()
            if self.state is CallState.ASKING:
                self._enter(CallState.RUNNING)

    def open(self, opened: bool) -> None:
        """Fold or unfold the card."""
        self._opened = opened
        self._dirty = True
        self.call_next(self.flush)

    def on_click(self, event: Click) -> None:
        if event.widget is self.query_one(".title"):
            self.open(not self.is_open)

    def _enter(self, state: CallState) -> None:
        if state is CallState.RUNNING:
            self._started = monotonic()
        self.state = state
        self._dirty = True

    async def flush(self) -> None:
        """Draw the present state, unless the card has been taken apart."""
        if not self.children:
            return
        self.query_one(".title", Static).update(self._title())
        if not self._dirty:
            return
        self._dirty = False
        self.set_class(self.state is CallState.ASKING, "-asking")
        self.set_class(self.state is CallState.FAILED, "-failed")
        self.query_one(".body").display = self.is_open
        if self.is_open:
            self._draw_body()
            new = [picture for picture in self._pictures if picture.parent is None]
            await self.query_one(".pictures").mount_all(new)

    def _draw_body(self) -> None:
        language = "python" if self.recipient == "python" else "json"
        arguments = self.query_one(".arguments", Static)
        if self.state is CallState.WRITING:
            arguments.update(Content(_last_lines(self.arguments)))
        else:
            arguments.update(code(_excerpt(self.arguments.strip("\n"), "more lines"), language))
        output = self.query_one(".output", Static)
        output.display = bool(self.output)
        noun = "more lines, which the model was given"
        text = _excerpt(self.output, noun) if self.state.is_over else _last_lines(self.output)
        output.update(Content(text.rstrip("\n")))
        notes = self.query_one(".notes", Static)
        notes.display = bool(self._notes)
        notes.update(Content("\n".join(self._notes)))

    def _title(self) -> Content:
        word, mark, style = self.state.value
        if self.state is CallState.RUNNING:
            seconds: float | None = monotonic() - self._started
        else:
            seconds = self._duration
        time = f" · {seconds:.1f} s" if seconds and seconds >= 0.05 else ""
        if self.state is CallState.RUNNING and self._time_limit and seconds and seconds > _COUNTDOWN_FROM_S:
            time = f" · {seconds:.0f} s of {self._time_limit:.0f} s"
        summary = "" if self.is_open else f"  {_first_line(self.arguments)}"
        answer = "" if self.is_open or not self.output else f" → {_first_line(self.output)}"
        return Content.assemble(
            ("▾ " if self.is_open else "▸ ", "$muted"),
            (f"{mark} ", style),
            (printable(self.recipient), "bold"),
            (f"  {word}{time}", style if self.state in (CallState.ASKING, CallState.FAILED) else "$muted"),
            (summary, "$foreground"),
            (answer, "$muted"),
        )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


def _last_lines(text: str) -> str:
    """The last lines of a text that still grows."""
    lines = text[-_LINE_LENGTH:].splitlines()
    return "\n".join(lines[-_LIVE_LINES:])


def _excerpt(text: str, noun: str) -> str:
    """The first and the last lines of a long text, with the number of the others and `noun` between them."""
    lines = [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]} …" for line in text.split("\n")]
    left_out = len(lines) - _HEAD_LINES - _TAIL_LINES
    if left_out <= 0:
        return "\n".join(lines)
    gap = f"… {left_out:,} {noun} …"
    return "\n".join([*lines[:_HEAD_LINES], gap, *lines[-_TAIL_LINES:]])
