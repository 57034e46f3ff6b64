"""What happens during a turn, as typed events.

Every front end (the TUI, `--plain`, `-p`, `--json`) reads this one stream. Names follow OpenAI's Responses
stream where it has one. `as_json` gives the object that `--json` prints, one a line.
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
    """Base of all events; `type` is the name on the wire."""

    type: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        """The event as the JSON object that `--json` prints."""
        return {"type": self.type, **asdict(self)}


Events = AsyncGenerator[Event, None]
"""A stream of events; leaving it early ends what it reports on."""


@dataclass(frozen=True, slots=True)
class Created(Event):
    """The turn began; the person's message is already kept."""

    type: ClassVar[str] = "response.created"
    id: str
    model: str
    effort: str


@dataclass(frozen=True, slots=True)
class Prefill(Event):
    """The model has read `done` of `total` prompt tokens, `cached` of them remembered from before."""

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
    """One more token of reasoning, `tokens` of them at a stretch, that is hidden or not judged yet."""

    type: ClassVar[str] = "response.reasoning.progress"
    tokens: int


@dataclass(frozen=True, slots=True)
class FilterFailed(Event):
    """The filter could not judge some of the reasoning, which is withheld."""

    type: ClassVar[str] = "response.reasoning.filter_failed"
    message: str


@dataclass(frozen=True, slots=True)
class ReasoningClosed(Event):
    """The reasoning was ended for the model, and it is asked for its answer.

    `reason` is "max_reasoning_tokens" or "repetition".
    """

    type: ClassVar[str] = "response.reasoning.closed"
    reason: str

    @property
    def sentence(self) -> str:
        """The same for a person."""
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

    It holds when `unverified` is empty: `url` and `title` are the page's, `quote` is what its lines `first`
    to `last` say. Else `unverified` tells why it does not, in a few words.
    """

    first: int
    last: int
    url: str = ""
    title: str = ""
    quote: str = ""
    unverified: str = ""


@dataclass(frozen=True, slots=True)
class PreambleDelta(Event):
    """More of what the model tells the person before or between its tool calls."""

    type: ClassVar[str] = "response.preamble.delta"
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta(Event):
    """More of the body of a call that the model is still writing to `recipient`."""

    type: ClassVar[str] = "response.tool_call.delta"
    call_id: str
    recipient: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCall(Event):
    """The model asked for a tool; `arguments` is the whole body, raw."""

    type: ClassVar[str] = "response.tool_call"
    call_id: str
    recipient: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolStarted(Event):
    """The call was allowed and runs now, for at most `time_limit_s`; `arguments` as the person left them."""

    type: ClassVar[str] = "response.tool_call.started"
    call_id: str
    arguments: str
    time_limit_s: float


@dataclass(frozen=True, slots=True)
class ToolRefused(Event):
    """A call was not run although nobody said no to it; `message` says why, and how it could be allowed."""

    type: ClassVar[str] = "response.tool_call.refused"
    call_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolNote(Event):
    """Something about a call that the person should know, and the model need not."""

    type: ClassVar[str] = "response.tool_call.note"
    call_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolOutputDelta(Event):
    """More output of a running tool, for the screen; the end of a very long one is not told this way.

    What the model is given follows as ToolOutput.
    """

    type: ClassVar[str] = "response.tool_output.delta"
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolOutput(Event):
    """The call ended; `output` is what the model is told.

    Where that was cut, `whole` names the file on this machine that has all of it.
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
    """The model's output was malformed and `what` is how it was read.

    `quote` is what of it the model wrote: it may be reasoning, and is left out where that is not shown raw.
    """

    type: ClassVar[str] = "response.repaired"
    what: str
    quote: str = ""

    def without_quote(self) -> Repaired:
        """The same without the words of the model."""
        return Repaired(self.what.replace(self.quote, "…")) if self.quote else self

    @property
    def sentence(self) -> str:
        """The same for a person."""
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
    """The turn ended early and what was said is kept.

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
    """What failed: a stable code for programs, a sentence with the mend for people."""

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
    """The first turn waits for these files and servers to say what tools they have."""

    type: ClassVar[str] = "tools.starting"
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolsNotice(Event):
    """A file, a server or one of its tools cannot be used; everything else works."""

    type: ClassVar[str] = "tools.notice"
    origin: str
    message: str


@dataclass(frozen=True, slots=True)
class Unsaved(Event):
    """Messages cannot be written to disk now; the conversation goes on, and is written when it can be.

    Told as soon as it is known, and once in each turn while it lasts; Saved is its end.
    """

    type: ClassVar[str] = "conversation.unsaved"
    message: str


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """All that could not be written to disk is there now."""

    type: ClassVar[str] = "conversation.saved"
    message: str = "All of the conversation is saved now."


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A stored conversation was taken up again; `turns` of it are there to be shown."""

    type: ClassVar[str] = "conversation.resumed"
    id: str
    turns: int
