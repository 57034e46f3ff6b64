"""The events of a turn without a screen: as text for pipes, and as JSON lines.

stdout carries the answer and nothing else, so that it can be piped; everything told beside the answer goes to
another stream. All text passes `printable` even on its way into a pipe, for a pipe often ends in a terminal.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from .conversation.approval import Nobody, Person
from .conversation.chat import Chat, ChatError
from .conversation.citing import as_link
from .conversation.events import (
    Cited,
    Completed,
    EngineLoading,
    EngineLost,
    Error,
    Event,
    Failed,
    FilterFailed,
    Incomplete,
    OutputDelta,
    PreambleDelta,
    ReasoningClosed,
    ReasoningDelta,
    Repaired,
    Saved,
    ToolCall,
    ToolNote,
    ToolOutput,
    ToolRefused,
    ToolsNotice,
    ToolsStarting,
    Unsaved,
)
from .conversation.printable import printable
from .conversation.reasoning import LABEL

ANSWERED, FAILED, INTERRUPTED = 0, 1, 130

Open = Callable[[Person], Chat]
Show = Callable[[Event], None]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ENDED_EARLY = {
    "max_output_tokens": "the answer reached the token limit (--max-tokens)",
    "context_full": "the conversation fills the model's context; start a new one",
    "tool_limit": "the model called tools again and again without answering",
    "no_answer": "the model ended its turn without an answer; ask again",
    "repetition": "stopped: the model was repeating itself; ask again, or in other words",
    "schema_mismatch": "the answer does not fit the schema",
}


def complain(message: str) -> None:
    """Say on stderr, in one line, what failed."""
    line = " ".join(message.split())
    print(f"gptoss-chat: {printable(line)}", file=sys.stderr, flush=True)


def as_json(event: Event) -> None:
    """Print the event as one line of JSON. Pure ASCII, so that no text in it can act on a terminal."""
    print(json.dumps(event.as_json()), flush=True)
    _report_failure(event)


@dataclass(slots=True)
class AsText:
    """The answer on stdout; calls and their outputs on `notes`, the analysis on `reasoning`, or nowhere."""

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
            case FilterFailed():
                self._line(self.reasoning, f"[filter] {event.message}")
            case ReasoningClosed():
                self._line(self.notes, f"[reasoning closed] {event.sentence}")
            case Repaired():
                self._line(self.notes, f"[malformed output] {event.what}")
            case ToolsStarting():
                self._line(self.notes, f"[tools] waiting for {', '.join(event.waiting)}")
            case ToolsNotice():
                self.end_line()
                complain(event.message)
            case EngineLost() | Unsaved() | Saved():
                self._line(sys.stderr, event.message)
            case Completed() | Incomplete() | Failed() | ToolRefused():
                self.end_line()
                _report_failure(event)

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
        """Go on writing one kind of text; another kind begins on a line of its own, after its `label`."""
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
        """Begin a new line, unless the last one has been ended."""
        if self._open_line:
            print(file=self._open_line, flush=True)
            self._open_line = None
        self._kind = Event


def _report_failure(event: Event) -> None:
    match event:
        case ToolRefused(message=message):
            complain(message)
        case Failed(error):
            complain(error.message)
        case Incomplete(reason, detail=detail) if reason in _ENDED_EARLY:
            complain(f"{_ENDED_EARLY[reason]}: {detail}" if detail else _ENDED_EARLY[reason])


@dataclass(slots=True)
class _Progress:
    """How far a load is, on one line of a terminal, once it has taken longer than a second."""

    _start: float = 0.0
    _width: int = 0

    def __call__(self, event: EngineLoading) -> None:
        self._start = self._start or time.monotonic()
        if sys.stderr.isatty() and time.monotonic() - self._start > 1:
            share = f" {event.done / event.total:.0%}" if event.total else ""
            line = printable(f"{event.stage}{share}")
            print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(line)

    def erase(self) -> None:
        if self._width:
            print("\r" + " " * self._width, end="\r", file=sys.stderr, flush=True)


def one_shot(open_chat: Open, prompt: str, show: Show) -> int:
    """Put one question to a chat of its own, show what happens; returns the exit status."""
    return asyncio.run(_one_shot(open_chat, prompt, show))


async def _one_shot(open_chat: Open, prompt: str, show: Show) -> int:
    try:
        chat = open_chat(Nobody())
        try:
            await load(chat, show)
            return await ask(chat, prompt, show)
        finally:
            await close(chat)
    except ChatError as error:
        show(Failed(Error("cannot_start", str(error))))
        return FAILED


async def close(chat: Chat) -> None:
    """Give back what the chat holds, and say on stderr what of it could not be saved, or was after all."""
    await chat.close()
    if lost := chat.saving.lost:
        complain(lost)
    else:
        for event in chat.saving.news():
            complain(event.message)


async def load(chat: Chat, show: Show) -> None:
    """Load the model, with progress on stderr if that is a terminal; raises ChatError."""
    progress = _Progress()
    try:
        async for event in chat.load():
            show(event)
            if isinstance(event, EngineLoading):
                progress(event)
    finally:
        progress.erase()


async def ask(chat: Chat, prompt: str, show: Show) -> int:
    """One turn; returns the exit status it stands for. Raises ChatError."""
    status = FAILED
    with _signals_stop(chat) as caught:
        async with aclosing(chat.send(prompt)) as events:
            async for event in events:
                show(event)
                match event:
                    case Completed():
                        status = ANSWERED
                    case Incomplete(reason="interrupted"):
                        status = 128 + caught[0] if caught else INTERRUPTED
    return status


@contextmanager
def _signals_stop(chat: Chat) -> Iterator[list[int]]:
    """Ctrl+C and the like stop the generation, and the turn ends in order; a second one ends the program.

    Gives the list of the signals that came.
    """
    loop = asyncio.get_running_loop()
    caught: list[int] = []
    stopping: list[asyncio.Task[None]] = []  # the loop itself holds tasks only weakly

    def stop(number: int) -> None:
        loop.remove_signal_handler(number)
        caught.append(number)
        stopping.append(loop.create_task(chat.stop()))

    for number in _ENDING:
        loop.add_signal_handler(number, stop, number)
    try:
        yield caught
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
