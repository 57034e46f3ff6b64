"""The turn: sample, route, call the tool, sample again, until the model gives its final answer.

The loop knows neither screen nor process: it reads an Engine, calls the tools of a Toolbox, and writes events
into a sink. Calls are dispatched by recipient, whatever the channel, because models write them on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from ..calls.call import run_call
from ..calls.toolbox import Toolbox
from ..events import events
from ..events.endings import Ending
from ..events.events import Error, Event, Timings, ToolOutput, Usage
from ..events.stream import Sink
from ..harmony.message import Channel, Conversation, Message, ResponseFormat, Role
from ..harmony.parse import Parser
from ..history.cut import Cut
from ..history.draft import SampleDraft
from ..history.sampled import Sampled
from ..model.engine import Detail, Engine, EngineDied, EngineError, Request
from ..permissions.question import GoOn, Pause
from .context import ContextFull, is_spent, opening
from .grammar import grammar
from .options import Options
from .renderer import Renderer
from .response_format import mismatch
from .room import Room
from .sample import Sample

MOST_EQUAL = 3
"""Equal calls with equal results in a row, after which the person is asked whether to go on."""

MOST_UNKNOWN = 3
"""Calls in a row of unknown tools, or on the final channel, after which the turn is ended."""

_INTERRUPTED = "[ERROR] Interrupted before it ended."


class TurnState(Enum):
    """The state of a turn."""

    SAMPLING = auto()
    """The model writes."""
    CALLING = auto()
    """The calls of the model run, one after the other."""
    PAUSED = auto()
    """The person is asked whether the turn goes on."""
    OVER = auto()
    """The last event was emitted."""


@dataclass(slots=True)
class Turn:
    """One turn over `conversation`, whose last message is the person's.

    Every message of the model or a tool is appended to the conversation as soon as it is whole, and before
    the event that shows it as finished: whoever takes the events can commit the message first, and nothing is
    lost however the turn ends. `cancel` ends the turn soon, at any time. The answer is constrained to the
    conversation's response format whether or not `options` constrain the headers. With a `detail` each token
    is an event with what the detail asks for. `cuts` say what the model is not shown; the turn adds to them
    when the conversation fills the context.
    """

    conversation: Conversation
    engine: Engine
    renderer: Renderer
    toolbox: Toolbox
    options: Options
    next_seed: Callable[[], int | None]
    new_call_id: Callable[[], str]
    detail: Detail | None = None
    state: TurnState = TurnState.SAMPLING
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    samples: list[Sample] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)
    draft: SampleDraft = field(default_factory=SampleDraft)
    cuts: list[Cut] = field(default_factory=list)
    room: Room = field(init=False)
    _calls: int = 0
    _unknown: int = 0
    _equal: int = 0
    _last_call: tuple[str, str, str] | None = None
    _asked_at: int = 0  # the number of calls when the person was last asked whether to go on
    _question: Pause | None = None  # the question to the person while the turn is paused
    _channel: Channel | None = None  # the channel asked of the next sample, and again if the engine dies

    def __post_init__(self) -> None:
        self.room = Room(
            self.conversation,
            self.cuts,
            self.engine,
            self.renderer,
            self.toolbox.person,
            self.options,
            self.next_seed,
            self.stop,
        )

    @property
    def response_format(self) -> ResponseFormat | None:
        """The shape that the developer message asks of the answer."""
        return next(iter(self.conversation.developer.response_formats), None)

    async def run(self, emit: Sink) -> None:
        """Go from state to state until the turn is over; the last event is Completed, Incomplete or Failed.

        Nothing that the model does raises. The engine's death raises EngineDied in the state SAMPLING; the
        next `run` repeats that sample.
        """
        steps = {
            TurnState.SAMPLING: self._sample,
            TurnState.CALLING: self._call,
            TurnState.PAUSED: self._ask_person,
        }
        while self.state is not TurnState.OVER:
            self.state = await steps[self.state](emit)

    def cancel(self) -> None:
        """End the turn soon: its sample, or the call that runs, ends early, and no other begins."""
        self.stop.set()
        self.room.cancel()
        if self.samples:
            self.samples[-1].cancel()

    async def _sample(self, emit: Sink) -> TurnState:
        sample = Sample(
            self.new_call_id, self.conversation.messages.append, self._reasoning_left, draft=self.draft
        )
        try:
            await self._write(sample, emit)
        except EngineDied:
            raise
        except (EngineError, ContextFull) as error:
            code = "context_full" if isinstance(error, ContextFull) else "engine_error"
            await emit(events.Failed(Error(code, str(error))))
            return TurnState.OVER
        return TurnState.CALLING if sample.calls else await self._decide(emit)

    async def _write(self, sample: Sample, emit: Sink) -> None:
        """Have the model write one sample; raises what the engine raises, and ContextFull."""
        if self.stop.is_set():
            sample.reason = "cancelled"
            self.samples.append(sample)
            return
        if (prompt := await self._prompt(emit)) is None:
            sample.reason = "cancelled" if self.stop.is_set() else "context"
            self.samples.append(sample)
            return
        channel = self._channel
        control = self.renderer.control  # known once something was rendered
        parser = Parser(self.renderer.table, recipients=self.toolbox.recipients, channel=channel)
        constraint = grammar(
            control,
            self.toolbox.recipients,
            self.response_format,
            channel=channel,
            strict=self.options.constrain_headers,
        )
        request = Request(
            tuple(prompt),
            replace(self.options.sampling, seed=self.next_seed()),
            control.stops,
            constraint,
            self.detail or Detail.NONE,
            opening(prompt, self.conversation, control),
        )
        self.samples.append(sample)
        if self.stop.is_set():
            sample.reason = "cancelled"
            return
        conversation = self.conversation
        self.draft.begin(
            Sampled(
                len(conversation.messages),
                (),
                "",
                channel,
                conversation.system,
                conversation.developer,
                prompt_tokens=len(prompt),
            ),
            parser.ids,
            sample.logprobs,
        )
        try:
            await sample.run(
                self.engine, request, parser, control, emit, tells_tokens=self.detail is not None
            )
        finally:
            self.sampled.append(self.draft.end(sample.reason))

    async def _prompt(self, emit: Sink) -> list[int] | None:
        """The prompt of the next sample, with room made for it; None when the person would rather stop."""
        prompt = await self.room.prompt(self._channel)
        if self.room.holds(prompt):
            return prompt
        if not await self.room.make(emit):
            return None
        if is_spent(self.conversation.messages, self.room.cut):
            self._channel = Channel.FINAL
        return await self.room.prompt(self._channel)

    async def _call(self, emit: Sink) -> TurnState:
        """Run the calls of the last sample in order; however that ends, each gets a result."""
        for call_id, called in self.samples[-1].calls:
            self._calls += 1
            assert called.recipient is not None
            is_misplaced = called.channel is Channel.FINAL
            message = replace(called, channel=Channel.COMMENTARY) if is_misplaced else called
            can_run = not is_misplaced and self.toolbox.find(called.recipient) is not None
            self._unknown = 0 if can_run else self._unknown + 1
            call = events.ToolCall(call_id, called.recipient, message.text)
            self.conversation.messages.append(message)
            reply = Message(Role.TOOL, _INTERRUPTED, name=called.recipient, channel=message.channel)
            output: ToolOutput | None = None
            try:
                await emit(call)
                output = (
                    _misplaced(call) if is_misplaced else await run_call(self.toolbox, call, self.stop, emit)
                )
                reply = replace(reply, text=output.output)
            finally:
                self.conversation.messages.append(reply)
            await emit(output)
            this_call = (called.recipient, called.text, reply.text)
            self._equal = self._equal + 1 if this_call == self._last_call else 1
            self._last_call = this_call
        return await self._decide(emit)

    async def _decide(self, emit: Sink) -> TurnState:
        """The state after a sample whose calls have been answered."""
        sample = self.samples[-1]
        if (ending := self._ending(sample)) is not None:
            return await self._end(ending, emit)
        self._question = self._why_paused(sample)
        return TurnState.PAUSED if self._question else await self._go_on(emit)

    async def _ask_person(self, emit: Sink) -> TurnState:
        assert self._question is not None
        match await self.toolbox.go_on(self._question, self.stop):
            case GoOn.STOP if self.stop.is_set():
                return await self._end(Ending.INTERRUPTED, emit)
            case GoOn.STOP:
                return await self._end(Ending.TOOL_LIMIT, emit, self._question.sentence)
            case choice:
                return await self._go_on(emit, wants_answer=choice is GoOn.ANSWER)

    async def _go_on(self, emit: Sink, *, wants_answer: bool = False) -> TurnState:
        """Sample again, on the final channel where the answer is asked for."""
        why_asked = self._why_asked(self.samples[-1])
        self._channel = Channel.FINAL if why_asked or wants_answer else None
        if why_asked is not None:
            await emit(why_asked)
        return TurnState.SAMPLING

    def _ending(self, sample: Sample) -> Ending | None:
        """The ending of the turn after this sample; None to go on."""
        match sample.reason:
            case "cancelled":
                return Ending.INTERRUPTED
            case _ if self.stop.is_set():
                return Ending.INTERRUPTED
            case "length":
                return Ending.MAX_OUTPUT_TOKENS
            case "context":
                return Ending.CONTEXT_FULL
            case "repetition" if not sample.reasoning_closed:
                return Ending.REPETITION
        if sample.calls:
            return Ending.TOOL_LIMIT if self._unknown >= MOST_UNKNOWN else None
        if sample.answered:
            return Ending.ANSWERED
        if self._channel is not None:
            return Ending.REPETITION if sample.reason == "repetition" else Ending.NO_ANSWER
        return None

    def _why_paused(self, sample: Sample) -> Pause | None:
        """The question to the person before the next sample; None for none."""
        if not sample.calls:
            return None
        is_equal = self._equal >= MOST_EQUAL
        if not is_equal and self._calls - self._asked_at < self.options.max_tool_calls:
            return None
        self._asked_at, self._equal = self._calls, 0
        return Pause("repeated_call" if is_equal else "tool_limit", self._calls)

    def _why_asked(self, sample: Sample) -> Event | None:
        """The event that says why the next sample is asked for the answer; None when it is not."""
        if sample.reasoning_closed:
            return events.ReasoningClosed(sample.reason)
        if not sample.calls:
            return events.Repaired("the model gave no answer and was asked for it")
        return events.ReasoningClosed("max_reasoning_tokens") if self._reasoning_left == 0 else None

    @property
    def _reasoning_left(self) -> int | None:
        """The tokens of reasoning that are left in this turn; None for any number."""
        most = self.options.max_reasoning_tokens
        return None if most is None else most - sum(sample.reasoning_tokens for sample in self.samples)

    async def _end(self, ending: Ending, emit: Sink, detail: str = "") -> TurnState:
        messages = self.conversation.messages
        asked = max(i for i, message in enumerate(messages) if message.role is Role.USER)
        answer = _text(messages[asked + 1 :], Channel.FINAL)
        reasoning = _text(messages[asked + 1 :], Channel.ANALYSIS)
        shape = self.response_format
        if ending is Ending.ANSWERED and shape and (detail := mismatch(answer, shape)):
            ending = Ending.SCHEMA_MISMATCH
        usage, timings = self.usage(), self.timings()
        if ending is Ending.ANSWERED:
            await emit(events.Completed(answer, reasoning, usage, timings))
        else:
            await emit(events.Incomplete(ending, answer, reasoning, usage, timings, detail))
        return TurnState.OVER

    def usage(self) -> Usage:
        """Tokens of all samples so far, of summaries as well."""
        samples = [*self.room.samples, *self.samples]
        return Usage(
            input_tokens=sum(s.prompt_tokens for s in samples),
            cached_tokens=sum(s.cached_tokens for s in samples),
            reasoning_tokens=sum(s.reasoning_tokens for s in samples),
            output_tokens=sum(s.sampled_tokens for s in samples),
        )

    def timings(self) -> Timings:
        """Seconds of all samples so far."""
        info = self.engine.info()
        decode_s = sum(s.decode_s for s in self.samples)
        tokens = sum(s.sampled_tokens for s in self.samples)
        return Timings(
            load_s=info.load_s if info else 0.0,
            prefill_s=sum(s.prefill_s for s in self.samples),
            decode_tokens_per_s=tokens / decode_s if decode_s > 0 else 0.0,
        )


def _text(messages: list[Message], channel: Channel) -> str:
    return "\n\n".join(
        m.text for m in messages if m.role is Role.ASSISTANT and m.channel is channel and m.recipient is None
    )


def _misplaced(call: events.ToolCall) -> ToolOutput:
    """The outcome of a call on the final channel: the person has read it as text, so nothing is run."""
    why = (
        "[ERROR] Nothing was run: a message on the final channel is for the user. "
        f"Call {call.recipient[:100]} on the commentary channel, or answer without a recipient."
    )
    return ToolOutput(call.call_id, why, True, 0.0)
