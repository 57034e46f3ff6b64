"""The turn: sample, route, call the tool, sample again, until the model gives its final answer.

The loop knows neither screen nor process: it reads an Engine, asks a Toolbox and yields events. Calls are
dispatched by recipient, whatever the channel, because models write them on either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ..calls.toolbox import Toolbox
from ..events import events
from ..events.events import Error, Event, Events, Timings, Usage
from ..harmony.message import Channel, Conversation, Message, ResponseFormat, Role
from ..harmony.parse import Parser
from ..history.sampled import Sampled
from ..model.engine import Engine, EngineDied, EngineError
from ..permissions.question import GoOn, Pause
from .grammar import skeleton
from .options import Options
from .renderer import Renderer
from .response_format import mismatch
from .sample import Sample

MOST_EQUAL = 3
"""Equal calls with equal results, one after the other, before the person is asked whether to go on."""

MOST_UNKNOWN = 3
"""Calls of tools that do not exist, one after the other, before the turn is ended."""

_INTERRUPTED = "[ERROR] Interrupted before it ended."


class ContextFull(Exception):
    """The prompt does not fit; the message says what to do."""


@dataclass(slots=True)
class Turn:
    """One turn over `conversation`, whose last message is the person's.

    Every message the model or a tool finishes is appended to the conversation as soon as it is whole, and
    before the event that shows it as finished: whoever reads the events can commit it in between, and
    nothing is lost however the turn ends. `cancel` ends it soon, at any time. The answer is kept to the
    conversation's response format whether or not `options` constrain the headers.
    """

    conversation: Conversation
    engine: Engine
    renderer: Renderer
    toolbox: Toolbox
    options: Options
    next_seed: Callable[[], int | None]
    new_call_id: Callable[[], str]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    samples: list[Sample] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)
    _calls: int = 0
    _unknown: int = 0
    _equal: int = 0
    _last_call: tuple[str, str, str] | None = None
    _asked_at: int = 0  # how many calls there were when the person last said to go on
    _channel: Channel | None = None  # that the next sample is asked for, also when the engine died before it

    @property
    def response_format(self) -> ResponseFormat | None:
        """The shape that the developer message asks of the answer."""
        return next(iter(self.conversation.developer.response_formats), None)

    async def run(self) -> Events:
        """The events of the turn, ending with Completed, Incomplete or Failed. Never raises for the model."""
        while True:
            sample = Sample(self.new_call_id, self.conversation.messages.append, self._reasoning_left)
            try:
                async with aclosing(self._sample(sample, self._channel)) as stream:
                    async for event in stream:
                        yield event
            except EngineDied:
                raise
            except (EngineError, ContextFull) as error:
                code = "context_full" if isinstance(error, ContextFull) else "engine_error"
                yield events.Failed(Error(code, str(error)))
                return

            async with aclosing(self._run_calls(sample)) as stream:
                async for event in stream:
                    yield event

            reason = self._why_over(sample)
            pause = self._why_paused(sample) if reason is None else None
            choice = await self.toolbox.go_on(pause, self.stop) if pause else GoOn.CONTINUE
            if pause and choice is GoOn.STOP:
                reason = "interrupted" if self.stop.is_set() else "tool_limit"
            if reason is not None:
                yield self._end(reason, pause.sentence if pause and reason == "tool_limit" else "")
                return
            why_asked = self._why_asked(sample)
            self._channel = Channel.FINAL if why_asked or choice is GoOn.ANSWER else None
            if why_asked is not None:
                yield why_asked

    def cancel(self) -> None:
        """End the turn soon: its sample, or the call that runs, ends early, and no other begins."""
        self.stop.set()
        if self.samples:
            self.samples[-1].cancel()

    async def _sample(self, sample: Sample, channel: Channel | None) -> Events:
        prompt = await self.renderer.render(self.conversation, channel)
        info = self.engine.info()
        if info is not None and len(prompt) >= info.context:
            raise ContextFull(
                f"This conversation has {len(prompt)} tokens and the model's context holds {info.context}. "
                "Start a new chat, or give it more room with --context."
            )
        parser = Parser(self.renderer.table, recipients=self.toolbox.recipients, channel=channel)
        sampling = replace(self.options.sampling, seed=self.next_seed())
        constraint = skeleton(
            self.renderer.control,
            self.toolbox.recipients,
            self.response_format,
            channel=channel,
            strict=self.options.constrain_headers,
        )
        self.samples.append(sample)
        if self.stop.is_set():
            sample.reason = "cancelled"
            return
        told = len(self.conversation.messages), self.conversation.system, self.conversation.developer
        try:
            async with aclosing(
                sample.run(
                    self.engine, parser, prompt, sampling, self.renderer.control, constraint=constraint
                )
            ) as stream:
                async for event in stream:
                    yield event
        finally:
            first, system, developer = told
            ids = tuple(parser.ids)
            self.sampled.append(Sampled(first, ids, sample.reason, channel, system, developer))

    async def _run_calls(self, sample: Sample) -> Events:
        """Run the calls of a sample in order; however that ends, each gets a result in the conversation."""
        for call_id, called in sample.calls:
            self._calls += 1
            assert called.recipient is not None
            is_misplaced = called.channel is Channel.FINAL
            message = replace(called, channel=Channel.COMMENTARY) if is_misplaced else called
            can_run = not is_misplaced and self.toolbox.find(called.recipient) is not None
            self._unknown = 0 if can_run else self._unknown + 1
            call = events.ToolCall(call_id, called.recipient, message.text)
            self.conversation.messages.append(message)
            reply = Message(Role.TOOL, _INTERRUPTED, name=called.recipient, channel=message.channel)
            answered = False
            try:
                yield call
                run = _misplaced(call) if is_misplaced else self.toolbox.call(call, self.stop)
                async with aclosing(run) as stream:
                    async for event in stream:
                        if isinstance(event, events.ToolOutput):
                            reply, answered = replace(reply, text=event.output), True
                            self.conversation.messages.append(reply)
                        yield event
            finally:
                if not answered:
                    self.conversation.messages.append(reply)
            this_call = (called.recipient, called.text, reply.text)
            self._equal = self._equal + 1 if this_call == self._last_call else 1
            self._last_call = this_call

    def _why_over(self, sample: Sample) -> str | None:
        """The reason the turn ends after this sample, "answered" for the best one; None to go on."""
        if self.stop.is_set() or sample.reason == "cancelled":
            return "interrupted"
        if sample.reason in ("length", "context"):
            return {"length": "max_output_tokens", "context": "context_full"}[sample.reason]
        if sample.reason == "repetition" and not sample.reasoning_closed:
            return "repetition"
        if sample.calls:
            return "tool_limit" if self._unknown >= MOST_UNKNOWN else None
        if sample.answered:
            return "answered"
        if self._channel is not None:
            return "repetition" if sample.reason == "repetition" else "no_answer"
        return None

    def _why_paused(self, sample: Sample) -> Pause | None:
        """What the person is asked about before the next sample; None for nothing."""
        if not sample.calls:
            return None
        is_equal = self._equal >= MOST_EQUAL
        if not is_equal and self._calls - self._asked_at < self.options.max_tool_calls:
            return None
        self._asked_at, self._equal = self._calls, 0
        return Pause("repeated_call" if is_equal else "tool_limit", self._calls)

    def _why_asked(self, sample: Sample) -> Event | None:
        """What to tell the person when the next sample is asked for the answer; None when it is free."""
        if sample.reasoning_closed:
            return events.ReasoningClosed(sample.reason)
        if not sample.calls:
            return events.Repaired("the model gave no answer and was asked for it")
        return events.ReasoningClosed("max_reasoning_tokens") if self._reasoning_left == 0 else None

    @property
    def _reasoning_left(self) -> int | None:
        """Tokens that may still be thought in this turn; None for any number."""
        most = self.options.max_reasoning_tokens
        return None if most is None else most - sum(sample.reasoning_tokens for sample in self.samples)

    def _end(self, reason: str, detail: str = "") -> Event:
        messages = self.conversation.messages
        asked = max(i for i, message in enumerate(messages) if message.role is Role.USER)
        said = messages[asked + 1 :]
        answer = _text(said, Channel.FINAL)
        reasoning = _text(said, Channel.ANALYSIS)
        usage, timings = self.usage(), self.timings()
        shape = self.response_format
        if reason == "answered" and shape and (why := mismatch(answer, shape)):
            return events.Incomplete("schema_mismatch", answer, reasoning, usage, timings, why)
        if reason == "answered":
            return events.Completed(answer, reasoning, usage, timings)
        return events.Incomplete(reason, answer, reasoning, usage, timings, detail)

    def usage(self) -> Usage:
        """Tokens of all samples so far."""
        return Usage(
            input_tokens=sum(s.prompt_tokens for s in self.samples),
            cached_tokens=sum(s.cached_tokens for s in self.samples),
            reasoning_tokens=sum(s.reasoning_tokens for s in self.samples),
            output_tokens=sum(s.sampled_tokens for s in self.samples),
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


async def _misplaced(call: events.ToolCall) -> Events:
    """The outcome of a call on the final channel: the person has read it as text, so nothing is run."""
    what = (
        "[ERROR] Nothing was run: a message on the final channel is for the user. "
        f"Call {call.recipient[:100]} on the commentary channel, or answer without a recipient."
    )
    yield events.ToolOutput(call.call_id, what, True, 0.0)
