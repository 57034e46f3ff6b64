"""One sample: the engine's tokens, read by the parser, as events and finished messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ..events import events
from ..events.events import Event, Events
from ..harmony.header import Repair
from ..harmony.message import Channel, Message
from ..harmony.parse import Closed, Opened, Parser, Piece, Text
from ..harmony.vocabulary import ControlTokens
from ..model.constraint import Constraint
from ..model.engine import Engine, Finished, Generation, Item, PrefillProgress, Request, Sampling, Token
from .repetition import REASONING, SPEECH, LoopDetector


@dataclass(slots=True)
class Sample:
    """What one sample brought; filled while `run` goes on.

    `keep` takes every finished message that is no call, as soon as it is whole. `calls` are those that ask
    for a tool, with their ids; one that was cut short is left out. `answered` says that there was a final
    message. `reason` is why the sampling ended: as the engine says it, or "max_reasoning_tokens" when more
    than `most_reasoning` tokens were to be thought (None for no bound), or "repetition". `reasoning_closed`
    says that it was the reasoning that was ended in this way.
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
    _generation: Generation | None = field(default=None, repr=False)
    _open: Opened | None = None
    _call_id: str = ""
    _thought: LoopDetector = field(init=False, repr=False)
    _speech: LoopDetector = field(default_factory=lambda: LoopDetector(SPEECH))

    async def run(
        self,
        engine: Engine,
        parser: Parser,
        prompt: Sequence[int],
        sampling: Sampling,
        control: ControlTokens,
        *,
        constraint: Constraint | None = None,
    ) -> Events:
        """Sample until a stop token, a limit, a loop or a cancellation; raises what the engine raises."""
        self.prompt_tokens = len(prompt)
        info = engine.info()
        bound = sampling.bound(info.longest_answer if info else None)
        self._thought = LoopDetector(REASONING.within(bound))
        request = Request(tuple(prompt), sampling, control.stops, constraint)
        self._generation = engine.generate(request)
        async with aclosing(self._generation) as generation:
            try:
                async for item in generation:
                    if isinstance(item, Token) and not self.reason:
                        self.reason = self._why_end(item.id, control)
                        if self.reason:
                            generation.cancel()
                            for event in self._finish(parser):
                                yield event
                    if isinstance(item, Token) and self.reason:
                        continue  # this one, and those on their way when it was cancelled
                    for event in self._read(item, parser):
                        yield event
                    if parser.ended and isinstance(item, Token) and item.id not in control.stops:
                        break
            finally:
                self._finish(parser)

    def cancel(self) -> None:
        """End the sampling soon, if it has not ended; `run` goes on to its end."""
        if self._generation is not None:
            self._generation.cancel()

    def _finish(self, parser: Parser) -> list[Event]:
        """Whatever happens, what was said so far is kept."""
        return [event for piece in parser.finish() if (event := self._piece(piece)) is not None]

    def _why_end(self, token: int, control: ControlTokens) -> str:
        """Why the sample is ended before `token` is read; "" to go on. Counts the tokens of the reasoning."""
        thinks = (
            self._open is not None and self._open.channel is Channel.ANALYSIS and not self._open.recipient
        )
        why = "repetition" if (self._thought if thinks else self._speech).feed(token) else ""
        # The tokens that leave the reasoning, however the model goes on, are not part of it.
        if thinks and token not in (control.end, control.start, control.channel, *control.stops):
            if self.most_reasoning is not None and self.reasoning_tokens >= self.most_reasoning:
                why = "max_reasoning_tokens"
            self.reasoning_tokens += not why
        self.reasoning_closed = bool(why) and thinks
        return why

    def _read(self, item: Item, parser: Parser) -> list[Event]:
        match item:
            case PrefillProgress(done, total, cached):
                self.cached_tokens = cached
                return [events.Prefill(done, total, cached)]
            case Token(token):
                self.sampled_tokens += 1
                return [event for piece in parser.feed(token) if (event := self._piece(piece)) is not None]
            case Finished(reason, prefill_s, decode_s):
                self.reason = self.reason or reason
                self.prefill_s, self.decode_s = prefill_s, decode_s
                return self._finish(parser)

    def _piece(self, piece: Piece) -> Event | None:
        match piece:
            case Opened(channel=Channel.FINAL):
                self._open = replace(piece, recipient=None)
                self._call_id = ""
            case Opened(recipient=recipient):
                self._open = piece
                self._call_id = self.new_call_id() if recipient else ""
            case Text(delta):
                return self._delta(delta)
            case Closed(message, ending):
                self._open = None
                return self._finished(message, cut=ending == "cut")
            case Repair(what, quote):
                return events.Repaired(what, quote)
        return None

    def _delta(self, delta: str) -> Event | None:
        match self._open:
            case Opened(recipient=str(recipient)):
                return events.ToolCallDelta(self._call_id, recipient, delta)
            case Opened(channel=Channel.ANALYSIS):
                return events.ReasoningDelta(delta)
            case Opened(channel=Channel.FINAL):
                return events.OutputDelta(delta)
            case Opened():
                return events.PreambleDelta(delta)
        return None

    def _finished(self, message: Message, *, cut: bool) -> Event | None:
        """Keep a finished message. Half a call is never run, nor shown to the model again."""
        is_answer = message.channel is Channel.FINAL and (message.recipient is None or cut)
        self.answered = self.answered or (is_answer and bool(message.text.strip()))
        if message.recipient is None or is_answer:
            if message.text:
                self.keep(replace(message, recipient=None))
            return None
        if not cut:
            self.calls.append((self._call_id or self.new_call_id(), message))
        return None
