"""One sample: the engine's tokens, read by the parser, as events and finished messages."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from ..events import events
from ..events.events import Event
from ..events.stream import Sink
from ..harmony.header import Repair
from ..harmony.message import Channel, Message
from ..harmony.parse import Closed, Opened, Parser, Piece, Text
from ..harmony.vocabulary import ControlTokens
from ..history.draft import SampleDraft
from ..model.engine import Engine, Finished, Generation, PrefillProgress, Request, Token
from .repetition import REASONING, SPEECH, LoopDetector


@dataclass(slots=True)
class Sample:
    """The outcome of one sample, filled while `run` goes on.

    `keep` takes every finished message that is no call, as soon as it is whole. `calls` are the calls of
    tools, with their ids; a call that was cut short is left out. `answered` is true once there is a final
    message. `reason` is why the sampling ended: the engine's reason, or "max_reasoning_tokens" when the
    reasoning would exceed `most_reasoning` tokens (None for no bound), or "repetition". `reasoning_closed` is
    true if one of the last two ended the reasoning. `logprobs` are those of the tokens that the parser has
    read. The `draft` is told of the text as it grows.
    """

    new_call_id: Callable[[], str]
    keep: Callable[[Message], None]
    most_reasoning: int | None = None
    answered: bool = False
    calls: list[tuple[str, Message]] = field(default_factory=list)
    reason: str = ""
    reasoning_closed: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    reasoning_tokens: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    logprobs: array[float] = field(default_factory=lambda: array("f"), repr=False)
    draft: SampleDraft = field(default_factory=SampleDraft, repr=False)
    _generation: Generation | None = field(default=None, repr=False)
    _channel: str = ""
    _call_id: str = ""
    _thinks: bool = False
    _as_event: Callable[[str], Event] = events.OutputDelta  # the event of a text in the open message
    _structure: frozenset[int] = frozenset()
    _thought: LoopDetector = field(init=False, repr=False)
    _speech: LoopDetector = field(default_factory=lambda: LoopDetector(SPEECH), repr=False)

    async def run(
        self,
        engine: Engine,
        request: Request,
        parser: Parser,
        control: ControlTokens,
        emit: Sink,
        *,
        tells_tokens: bool = False,
    ) -> None:
        """Sample until a stop token, a limit, a loop or a cancellation; raises what the engine raises.

        With `tells_tokens` each token is an event as well.
        """
        self.prompt_tokens = len(request.prompt_ids)
        info = engine.info()
        bound = request.sampling.bound(info.longest_answer if info else None)
        self._thought = LoopDetector(REASONING.within(bound))
        self._structure = frozenset((control.end, control.start, control.channel, *control.stops))
        self._generation = engine.generate(request)
        self._events(parser.opened())
        async with aclosing(self._generation) as generation:
            try:
                async for item in generation:
                    if not isinstance(item, Token):
                        await self._note(item, parser, emit)
                        continue
                    if self.reason:
                        continue  # the token was on its way when the generation was cancelled
                    self.reason = self._why_end(item.id)
                    if self.reason:
                        generation.cancel()
                        await self._finish(parser, emit)
                        continue
                    self.sampled_tokens += 1
                    self.logprobs.append(item.logprob)
                    completed = [self._as_sampled(item)] if tells_tokens else []
                    # Nothing is emitted before all of the token is read: the reader may leave at any event.
                    completed += self._events(parser.feed(item.id))
                    for event in completed:
                        await emit(event)
                    if parser.ended and item.id not in control.stops:
                        break
            finally:  # whatever happens, the text so far becomes a message
                self._events(parser.finish())

    def cancel(self) -> None:
        """End the sampling soon, if it has not ended; `run` goes on to its end."""
        if self._generation is not None:
            self._generation.cancel()

    def _as_sampled(self, token: Token) -> Event:
        alternatives = tuple((other.id, other.logprob) for other in token.alternatives)
        return events.TokenSampled(token.id, token.logprob, self._channel, alternatives, token.experts)

    async def _note(self, item: PrefillProgress | Finished, parser: Parser, emit: Sink) -> None:
        match item:
            case PrefillProgress(done, total, cached):
                self.cached_tokens = cached
                await emit(events.Prefill(done, total, cached))
            case Finished(reason, prefill_s, decode_s):
                self.reason = self.reason or reason
                self.prefill_s, self.decode_s = prefill_s, decode_s
                await self._finish(parser, emit)

    async def _finish(self, parser: Parser, emit: Sink) -> None:
        for event in self._events(parser.finish()):
            await emit(event)

    def _why_end(self, token: int) -> str:
        """The reason to end the sample before `token`, "" to go on; counts the tokens of the reasoning."""
        if not self._thinks:
            return "repetition" if self._speech.feed(token) else ""
        why = "repetition" if self._thought.feed(token) else ""
        # The tokens that leave the reasoning, however the model goes on, are not part of it.
        if token not in self._structure:
            if self.most_reasoning is not None and self.reasoning_tokens >= self.most_reasoning:
                why = "max_reasoning_tokens"
            self.reasoning_tokens += not why
        self.reasoning_closed = bool(why)
        return why

    def _events(self, pieces: Iterable[Piece]) -> list[Event]:
        """Read all of the pieces; returns the events that show them."""
        return [event for piece in pieces if (event := self._event(piece)) is not None]

    def _event(self, piece: Piece) -> Event | None:
        if isinstance(piece, Text):  # by far the most pieces
            self.draft.add(piece.delta)
            return self._as_event(piece.delta)
        match piece:
            case Opened():
                self._open(piece)
            case Closed(message, ending):
                self.draft.close()
                self._channel, self._thinks = "", False
                self._close(message, is_cut=ending == "cut")
            case Repair(what, quote):
                return events.Repaired(what, quote)
        return None

    def _open(self, opened: Opened) -> None:
        """Begin a message. On the final channel it is for the person, whatever recipient its header names."""
        recipient = None if opened.channel is Channel.FINAL else opened.recipient
        self._channel = opened.channel.value
        self.draft.open(opened.channel, is_call=recipient is not None)
        self._thinks = opened.channel is Channel.ANALYSIS and not recipient
        self._call_id = self.new_call_id() if recipient else ""
        if recipient is not None:
            self._as_event = partial(events.ToolCallDelta, self._call_id, recipient)
        elif opened.channel is Channel.FINAL:
            self._as_event = events.OutputDelta
        else:
            self._as_event = events.ReasoningDelta if self._thinks else events.PreambleDelta

    def _close(self, message: Message, *, is_cut: bool) -> None:
        """Keep a finished message. A cut call is never run, nor shown to the model again."""
        is_answer = message.channel is Channel.FINAL and (message.recipient is None or is_cut)
        self.answered = self.answered or (is_answer and bool(message.text.strip()))
        if message.recipient is None or is_answer:
            if message.text:
                self.keep(replace(message, recipient=None))
        elif not is_cut:
            self.calls.append((self._call_id or self.new_call_id(), message))
