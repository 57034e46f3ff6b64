"""The events of a conversation, as types.

Every front end (the TUI, `--plain`, `-p`, `--json`) reads this one stream. The names are those of OpenAI's
Responses stream where it has the event. `as_json` gives the object that `--json` prints on a line.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from .endings import Ending


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one turn, summed over all its samples."""

    input_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent, and the decoding rate over the whole turn."""

    load_s: float = 0.0
    prefill_s: float = 0.0
    decode_tokens_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events; `type` is the name in JSON."""

    type: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        """The event as the JSON object that `--json` prints."""
        return {"type": self.type, **asdict(self)}


Events = AsyncGenerator[Event, None]
"""A stream of events. Closing it early ends the work that it reports on."""


@dataclass(frozen=True, slots=True)
class Created(Event):
    """The turn began, and the person's message is part of the conversation."""

    type: ClassVar[str] = "response.created"
    id: str
    model: str
    effort: str


@dataclass(frozen=True, slots=True)
class Prefill(Event):
    """The model has read `done` of `total` prompt tokens; `cached` of them came from the cache."""

    type: ClassVar[str] = "response.prefill"
    done: int
    total: int
    cached: int


@dataclass(frozen=True, slots=True)
class TokenSampled(Event):
    """One token as it was sampled, for whoever asked for that; it comes before the text that it completes.

    `channel` is that of the message whose body it belongs to, "" in a header. `logprob` is the natural
    logarithm of its probability. On demand, `alternatives` are the most likely tokens of the step, each with
    its `logprob`, and `experts` those that fired while the token before was read, by layer; best first.
    """

    type: ClassVar[str] = "response.token"
    id: int
    logprob: float
    channel: str
    alternatives: tuple[tuple[int, float], ...] = ()
    experts: tuple[tuple[int, ...], ...] = ()

    @property
    def is_shown(self) -> bool:
        """True when it is part of what a person reads anyway; a broken header may hold reasoning."""
        return self.channel in ("commentary", "final")


@dataclass(frozen=True, slots=True)
class ReasoningDelta(Event):
    """More raw chain of thought: unmoderated text."""

    type: ClassVar[str] = "response.reasoning_text.delta"
    delta: str


@dataclass(frozen=True, slots=True)
class ReasoningProgress(Event):
    """One more token of reasoning whose text is hidden or not judged yet: the last of `tokens` in a row."""

    type: ClassVar[str] = "response.reasoning.progress"
    tokens: int


@dataclass(frozen=True, slots=True)
class FilterFailed(Event):
    """The filter could not judge a part of the reasoning, and the part is withheld."""

    type: ClassVar[str] = "response.reasoning.filter_failed"
    message: str


@dataclass(frozen=True, slots=True)
class ReasoningClosed(Event):
    """The program ended the reasoning and asks the model for its answer.

    `reason` is "max_reasoning_tokens" or "repetition".
    """

    type: ClassVar[str] = "response.reasoning.closed"
    reason: str

    @property
    def sentence(self) -> str:
        """The event in a sentence, for a person."""
        why = "repeated itself" if self.reason == "repetition" else "reached --max-reasoning-tokens"
        return f"The reasoning {why}, so it was closed and the model was asked for its answer."


@dataclass(frozen=True, slots=True)
class OutputDelta(Event):
    """More of the final answer."""

    type: ClassVar[str] = "response.output_text.delta"
    delta: str


@dataclass(frozen=True, slots=True)
class Cited(OutputDelta):
    """More of the final answer: a citation. `delta` is the mark as the model wrote it, 【6†L9-L11】.

    A verified citation has the `url` and the `title` of the page, and the `quote` of its lines `first` to
    `last`. Otherwise `unverified` is the reason why it is not verified, in a few words.
    """

    first: int
    last: int
    url: str = ""
    title: str = ""
    quote: str = ""
    unverified: str = ""


@dataclass(frozen=True, slots=True)
class PreambleDelta(Event):
    """More of a preamble: the model's words to the person before or between its tool calls."""

    type: ClassVar[str] = "response.preamble.delta"
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta(Event):
    """More of the body of a call to `recipient` that the model is still writing."""

    type: ClassVar[str] = "response.tool_call.delta"
    call_id: str
    recipient: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCall(Event):
    """The model called a tool; `arguments` is the whole body of the call, raw."""

    type: ClassVar[str] = "response.tool_call"
    call_id: str
    recipient: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolStarted(Event):
    """The call was allowed and runs, for at most `time_limit_s`; the person may have edited `arguments`."""

    type: ClassVar[str] = "response.tool_call.started"
    call_id: str
    arguments: str
    time_limit_s: float


@dataclass(frozen=True, slots=True)
class ToolRefused(Event):
    """A call was not run although no person refused it. `message` is the reason and the way to allow it."""

    type: ClassVar[str] = "response.tool_call.refused"
    call_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolNote(Event):
    """A remark on a call, for the person and not for the model."""

    type: ClassVar[str] = "response.tool_call.note"
    call_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolOutputDelta(Event):
    """More output of a running tool, for the screen; the end of a very long output is left out.

    The output that the model is given follows as ToolOutput.
    """

    type: ClassVar[str] = "response.tool_output.delta"
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolOutput(Event):
    """The call ended; `output` is the output that the model is given.

    Where that was cut, `whole` names the file on this machine that has the whole output.
    """

    type: ClassVar[str] = "response.tool_output"
    call_id: str
    output: str
    is_error: bool
    duration_s: float
    files: tuple[str, ...] = ()
    whole: str | None = None


@dataclass(frozen=True, slots=True)
class Repaired(Event):
    """The model's output was malformed; `what` describes how it was read.

    `quote` is the model's own words in it, which may be reasoning: they are left out where that is not raw.
    """

    type: ClassVar[str] = "response.repaired"
    what: str
    quote: str = ""

    def without_quote(self) -> Repaired:
        """The event without the model's own words."""
        return Repaired(self.what.replace(self.quote, "…")) if self.quote else self

    @property
    def sentence(self) -> str:
        """The event in a sentence, for a person."""
        return f"The model's output was malformed: {self.what}"


@dataclass(frozen=True, slots=True)
class Completed(Event):
    """The turn ended with an answer."""

    type: ClassVar[str] = "response.completed"
    output_text: str
    reasoning_text: str
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Incomplete(Event):
    """The turn ended early, and the text so far stays in the conversation.

    For a `reason` of SCHEMA_MISMATCH there is an answer, and `detail` says where it does not fit, and why.
    """

    type: ClassVar[str] = "response.incomplete"
    reason: Ending
    output_text: str
    reasoning_text: str
    usage: Usage
    timings: Timings
    detail: str = ""

    @property
    def sentence(self) -> str:
        """The same for a person."""
        sentence = self.reason.sentence
        return f"{sentence.rstrip('.')}: {self.detail}" if self.detail else sentence


@dataclass(frozen=True, slots=True)
class Error:
    """A failure: a stable code for programs, and a sentence with the remedy for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The turn could not go on; the conversation is intact."""

    type: ClassVar[str] = "response.failed"
    error: Error


@dataclass(frozen=True, slots=True)
class EngineLoading(Event):
    """The model is being loaded: `stage` in words, `done` of `total` bytes (0 of 0 when unknown)."""

    type: ClassVar[str] = "engine.loading"
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class EngineReady(Event):
    """The model can answer. `context` is the most tokens a conversation may hold."""

    type: ClassVar[str] = "engine.ready"
    model: str
    device: str
    context: int
    load_s: float


@dataclass(frozen=True, slots=True)
class EngineLacks(Event):
    """The engine cannot tell `what` was asked for of each token: "alternatives" or "experts"."""

    type: ClassVar[str] = "engine.lacks"
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineLost(Event):
    """The engine died and is being started again; no message was lost."""

    type: ClassVar[str] = "engine.lost"
    message: str


@dataclass(frozen=True, slots=True)
class ToolsStarting(Event):
    """The first turn waits for these files and servers to list their tools."""

    type: ClassVar[str] = "tools.starting"
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolsNotice(Event):
    """A file, a server or one of its tools cannot be used; everything else works."""

    type: ClassVar[str] = "tools.notice"
    origin: str
    message: str


@dataclass(frozen=True, slots=True)
class Compacting(Event):
    """The model writes a summary of so many earlier `turns`, and has written `tokens` of it by now."""

    type: ClassVar[str] = "context.compacting"
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ContextCut(Event):
    """From now on the model is shown less of the conversation, which stays as it is.

    `turns` are the person's messages of the turns that are left out, shortened to a line each; `summary`
    stands for them, if it is not "". `messages` counts what is left out, and `outputs` the outputs of tools
    that are shortened. The prompt had `before` tokens and has `after`, of at most `context`. `note` is a
    further sentence for the person.
    """

    type: ClassVar[str] = "context.cut"
    turns: tuple[str, ...]
    messages: int
    outputs: int
    summary: str
    before: int
    after: int
    context: int
    note: str = ""

    @property
    def headline(self) -> str:
        """What was done, and the tokens before and after."""
        change = f"{self.before:,} → {self.after:,}"
        return f"{self._what}: {change}{f' of {self.context:,}' if self.context else ''} tokens"

    @property
    def remark(self) -> str:
        """What else there is to say, in sentences."""
        return " ".join(filter(None, [self.note, "The history stays whole; /uncompact takes this back."]))

    @property
    def sentence(self) -> str:
        """The event in a sentence or two, for a person."""
        return f"{self.headline}. {self.remark}"

    @property
    def _what(self) -> str:
        turns, outputs = _count(len(self.turns), "earlier turn"), _count(self.outputs, "old output")
        if self.summary:
            return f"The model summed up {turns}"
        parts = [f"{outputs} of tools shortened"] if self.outputs else []
        if self.turns:
            parts.append(f"{turns} left out")
        elif self.messages:
            parts.append(f"{_count(self.messages, 'older message')} of this turn left out")
        return f"Of what the model is shown, {' and '.join(parts)}"


@dataclass(frozen=True, slots=True)
class ContextRestored(Event):
    """A cut was taken back: the model is shown `messages` messages and `outputs` outputs more again."""

    type: ClassVar[str] = "context.restored"
    messages: int
    outputs: int
    tokens: int
    context: int

    @property
    def sentence(self) -> str:
        """The event in a sentence, for a person."""
        again = " and ".join(
            _count(number, noun)
            for number, noun in ((self.messages, "message"), (self.outputs, "whole output"))
            if number
        )
        fits = "" if self.tokens < self.context else "; with your next message room is made again"
        return f"The model is shown {again} more again: {self.tokens:,} of {self.context:,} tokens{fits}."


@dataclass(frozen=True, slots=True)
class Unsaved(Event):
    """Messages cannot be written to disk now. The conversation goes on, and is written when that is possible.

    The event comes with the first failure and once in each turn until Saved.
    """

    type: ClassVar[str] = "conversation.unsaved"
    message: str


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """All messages that could not be written to disk are on disk now."""

    type: ClassVar[str] = "conversation.saved"
    message: str = "All of the conversation is saved now."


@dataclass(frozen=True, slots=True)
class StoreRescued(Event):
    """The file of conversations was damaged: it was renamed to `aside`, and `file` has what could be read."""

    type: ClassVar[str] = "store.rescued"
    file: str
    aside: str
    conversations: int
    messages: int
    lost: int
    message: str


@dataclass(frozen=True, slots=True)
class Forked(Event):
    """Somebody else goes on with the conversation `origin`, so this is another that begins like it.

    `pid`, `host` and `since`, in seconds since 1970, are those of the holder; 0 and "" where unknown.
    """

    type: ClassVar[str] = "conversation.forked"
    id: str
    origin: str
    pid: int
    host: str
    since: float
    message: str


@dataclass(frozen=True, slots=True)
class LeftOut(Event):
    """Messages of the stored conversation that was resumed cannot be read; the others are there."""

    type: ClassVar[str] = "conversation.left_out"
    message: str


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A stored conversation was resumed; it has `turns` turns to show."""

    type: ClassVar[str] = "conversation.resumed"
    id: str
    turns: int


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
