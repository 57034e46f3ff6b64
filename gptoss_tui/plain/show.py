"""The events of a turn without a screen: as text for pipes, and as JSON lines.

stdout carries only the answer, so that it can be piped; everything else goes to another stream. All text
passes `printable`, even on its way into a pipe, for a pipe often ends in a terminal.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TextIO

from ..agent.citations import as_link
from ..agent.reasoning import LABEL
from ..events.endings import Ending
from ..events.events import (
    Cited,
    Compacting,
    Completed,
    ContextCut,
    ContextRestored,
    EngineLost,
    Event,
    Failed,
    FilterFailed,
    Forked,
    Incomplete,
    LeftOut,
    OutputDelta,
    PreambleDelta,
    ReasoningClosed,
    ReasoningDelta,
    Repaired,
    Saved,
    StoreRescued,
    ToolCall,
    ToolNote,
    ToolOutput,
    ToolRefused,
    ToolsNotice,
    ToolsStarting,
    Unsaved,
)
from ..events.printable import printable


def complain(message: str) -> None:
    """Print a failure on stderr, in one line with the program's name."""
    line = " ".join(message.split())
    print(f"gptoss-chat: {printable(line)}", file=sys.stderr, flush=True)


def as_json(event: Event) -> None:
    """Print the event as one line of JSON, in pure ASCII, so that no text in it can act on a terminal."""
    print(json.dumps(event.as_json()), flush=True)
    _report_failure(event)


@dataclass(slots=True)
class AsText:
    """Prints the answer on stdout, calls and their outputs on `notes`, and the analysis on `reasoning`.

    A stream that is None takes nothing.
    """

    notes: TextIO | None = None
    reasoning: TextIO | None = None
    _open_line: TextIO | None = None
    _kind: type[Event] = Event

    def __call__(self, event: Event) -> None:
        match event:
            case Cited():
                self._stream(event, sys.stdout, as_link(event))
            case OutputDelta():
                self._stream(event, sys.stdout, event.delta)
            case ReasoningDelta():
                self._stream(event, self.reasoning, event.delta, label=f"[{LABEL}]")
            case PreambleDelta():
                self._stream(event, self.notes, event.delta)
            case ToolCall() | ToolOutput() | ToolNote():
                self._call(event)
            case Compacting() | ContextCut() | ContextRestored():
                self._context(event)
            case FilterFailed():
                self._line(self.reasoning, f"[filter] {event.message}")
            case ReasoningClosed() | Repaired() | ToolsStarting():
                self._line(self.notes, _remark(event))
            case ToolsNotice() | EngineLost() | Unsaved() | Saved() | LeftOut() | StoreRescued() | Forked():
                self.end_line()
                complain(event.message)
            case Incomplete(reason=Ending.UNFINISHED):
                self._line(self.notes, f"[interrupted] {event.sentence}")
            case Completed() | Incomplete() | Failed() | ToolRefused():
                self.end_line()
                _report_failure(event)

    def _context(self, event: Compacting | ContextCut | ContextRestored) -> None:
        """Tell what the model is shown from now on: on stderr where no notes are printed."""
        if isinstance(event, Compacting):
            if not event.tokens:
                self._line(self.notes, f"[context] the model sums up {event.turns} earlier turns")
            return
        if self.notes is None:
            self.end_line()
            complain(event.sentence)
            return
        self._line(self.notes, f"[context] {event.sentence}")
        if isinstance(event, ContextCut):
            for line in event.summary.splitlines() if event.summary else event.turns:
                self._line(self.notes, f"  {line}")

    def _call(self, event: ToolCall | ToolOutput | ToolNote) -> None:
        match event:
            case ToolCall():
                self._line(self.notes, f"[{event.recipient}] {event.arguments.strip()}")
            case ToolNote():
                self._line(self.notes, f"[note] {event.message}")
            case ToolOutput():
                label = "failed" if event.is_error else "output"
                self._line(self.notes, f"[{label}] {event.output.strip()}")
                if event.whole:
                    self._line(self.notes, f"[cut in the middle; all of it is in {event.whole}]")

    def _stream(self, event: Event, stream: TextIO | None, text: str, label: str = "") -> None:
        """Continue one kind of text. A new kind begins on a line of its own, after its `label`."""
        kind = OutputDelta if isinstance(event, OutputDelta) else type(event)
        if kind is not self._kind:
            self.end_line()
            if label:
                self._line(stream, label)
            self._kind = kind
        if stream and text:
            print(printable(text), end="", file=stream, flush=True)
            self._open_line = None if text.endswith("\n") else stream

    def _line(self, stream: TextIO | None, text: str) -> None:
        self.end_line()
        if stream:
            print(printable(text), file=stream, flush=True)

    def end_line(self) -> None:
        """End the line that is open, if there is one."""
        if self._open_line:
            print(file=self._open_line, flush=True)
            self._open_line = None
        self._kind = Event


def _remark(event: ReasoningClosed | Repaired | ToolsStarting) -> str:
    match event:
        case ReasoningClosed():
            return f"[reasoning closed] {event.sentence}"
        case Repaired():
            return f"[malformed output] {event.what}"
        case ToolsStarting():
            return f"[tools] waiting for {', '.join(event.waiting)}"


def _report_failure(event: Event) -> None:
    match event:
        case ToolRefused(message=message):
            complain(message)
        case Failed(error):
            complain(error.message)
        case Incomplete(reason) if reason is not Ending.INTERRUPTED:
            complain(event.sentence)
