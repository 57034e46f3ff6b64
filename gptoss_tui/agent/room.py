"""Room for the next sample, when the conversation does not fit the model's context any more.

Old outputs of tools are shortened first. If that is not enough, the oldest turns go: the model sums them up,
or they are left out, as the person chose. Last, the turn itself gives up its older calls. It goes in big
steps, for whatever follows a change in a prompt must be read again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ..calls.cancel import Stopped, unless_stopped
from ..calls.output import OutputRoom
from ..events import events
from ..events.stream import Sink
from ..harmony.message import Channel, Conversation, DeveloperPrompt, Effort, Message, Role, SystemPrompt
from ..harmony.parse import Parser
from ..harmony.render import remembered
from ..history.cut import Cut
from ..model.engine import Engine, EngineDied, EngineError, Request
from ..model.errors import CheckpointError
from ..permissions.question import Crowded, MakeRoom, Person
from ..tools.excerpt import excerpt
from .context import (
    SUMMARY_REQUEST,
    Capacity,
    ContextFull,
    fixed_tokens,
    is_spent,
    lengths_of,
    measured,
    shortened,
    shown,
    summed_up,
    turns,
    whole_and_shortened,
    with_fewer_turns,
    with_less_of_turn,
    with_shorter_outputs,
)
from .grammar import grammar
from .options import Options
from .renderer import Renderer
from .sample import Sample

MOST_SUMMARY: Final = 1024
"""Tokens of a summary at most; and at most an eighth of the context."""

_LINE: Final = 200
_NO_CALLS: Final[frozenset[str]] = frozenset()
_DETAILS: Final = (
    " It takes the place of what was said before, which you will not see again. Keep what I asked for, what"
    " was found out and decided, names, numbers and files exactly, and what is still open. Write only that."
)
_POOR: Final = "This model sums up poorly, so it is not asked to (--context-full compact does)."
_IS_POOR: Final = "This model sums up poorly: read its summary before you rely on it."
_FAILED: Final = "The model wrote no summary."
_SPENT: Final = "The model is asked for its answer."


@dataclass(slots=True)
class Room:
    """The room in the context of a conversation; `cuts` are the decisions so far, of which the last holds.

    `stop` is set when the person stops the turn; `cancel` then ends a summary under way.
    """

    conversation: Conversation
    cuts: list[Cut]
    engine: Engine
    renderer: Renderer
    person: Person
    options: Options
    next_seed: Callable[[], int | None]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    samples: list[Sample] = field(default_factory=list)

    @property
    def cut(self) -> Cut:
        """What the model is not shown now."""
        return self.cuts[-1] if self.cuts else Cut()

    @property
    def capacity(self) -> Capacity | None:
        """The tokens that there are; None while no model is loaded."""
        info = self.engine.info()
        return Capacity.of(info, self.options.sampling) if info is not None else None

    def cancel(self) -> None:
        """End the summary under way soon."""
        if self.samples:
            self.samples[-1].cancel()

    async def prompt(self, channel: Channel | None) -> list[int]:
        """The tokens of the prompt for the next message, whether or not they fit."""
        messages = shown(self.conversation.messages, self.cut)
        return await self.renderer.render(replace(self.conversation, messages=messages), channel)

    def holds(self, prompt: Sequence[int]) -> bool:
        """True when there is room for an answer after this prompt."""
        return self.capacity is None or len(prompt) <= self.capacity.prompt

    def for_output(self) -> OutputRoom | None:
        """The room for one output of a tool."""
        capacity = self.capacity

        async def measure(text: str) -> int:
            try:
                (tokens,) = await self.renderer.measure([Message(Role.TOOL, text)])
            except (EngineError, CheckpointError):  # a token has at least one byte
                return len(text.encode("utf-8", "replace"))
            return tokens

        return OutputRoom(capacity.output, measure) if capacity is not None else None

    async def refusal(self, message: Message) -> str:
        """Why the person's message cannot be taken, however much room is made; "" if it can be."""
        capacity = self.capacity
        if capacity is None:
            return ""
        fixed = await fixed_tokens(self.renderer, self.conversation)
        (length,) = await self.renderer.measure([message])
        most = capacity.prompt - fixed
        if length <= most:
            return ""
        return (
            f"This message was not sent: it has {length:,} tokens, and {max(0, most):,} fit. The model's"
            f" context holds {capacity.context:,}, of which instructions and tools take {fixed:,} and an"
            f" answer {capacity.answer:,}. Shorten the message, or raise --context."
        )

    async def make(self, emit: Sink) -> bool:
        """Make the conversation fit; False when the person stops instead. Raises ContextFull, EngineDied."""
        capacity = self.capacity
        if capacity is None:
            return True
        sizes = await measured(self.renderer, self.conversation, self.cut)
        free = capacity.prompt - sizes.fixed
        enough, goal = capacity.prompt - free // 4, capacity.prompt - free // 2
        cut, note = with_shorter_outputs(sizes, self.cut, enough), ""
        if sizes(cut) > enough and turns(sizes.messages, cut):
            how = await self._how(Crowded(sizes(self.cut), capacity.prompt, turns(sizes.messages, cut)))
            if how is MakeRoom.COMPACT:
                fewer = with_fewer_turns(sizes, cut, max(sizes.fixed, goal - _most_summary(capacity)))
                summary = await self._summary(fewer.first, "", emit)
                if summary:
                    cut = replace(fewer, summary=summary)
                    sizes = replace(sizes, lengths={**sizes.lengths, **await self._lengths(cut)})
                    note = _IS_POOR if self.options.sums_up_poorly else ""
                else:
                    how, note = MakeRoom.DROP, _FAILED
            elif self.options.sums_up_poorly and self.options.context_full == "drop":
                note = _POOR
            if how is MakeRoom.STOP or self.stop.is_set():
                return False
            if how is MakeRoom.DROP:
                cut = with_fewer_turns(sizes, cut, goal)
        if sizes(cut) > capacity.prompt:
            cut = with_less_of_turn(sizes, cut, goal, capacity.prompt)
            note = " ".join(filter(None, [note, _SPENT if is_spent(sizes.messages, cut) else ""]))
        if sizes(cut) > capacity.prompt:
            raise ContextFull(
                f"Instructions, tools and your message have {sizes(cut):,} tokens. The model's context holds"
                f" {capacity.context:,}, {capacity.answer:,} of them for an answer. Take fewer tools, or"
                " raise --context."
            )
        await self._take(cut, sizes(self.cut), sizes(cut), note, emit)
        return True

    async def compact(self, instruction: str, emit: Sink) -> bool:
        """Have the model sum up all turns so far; False when there is no summary."""
        capacity, end = self.capacity, len(self.conversation.messages)
        if capacity is None or not (summary := await self._summary(end, instruction, emit)):
            return False
        cut = replace(self.cut, first=end, summary=summary)
        sizes = await measured(self.renderer, self.conversation, self.cut)
        sizes = replace(sizes, lengths={**sizes.lengths, **await self._lengths(cut)})
        note = _IS_POOR if self.options.sums_up_poorly else ""
        await self._take(cut, sizes(self.cut), sizes(cut), note, emit)
        return True

    async def _how(self, crowded: Crowded) -> MakeRoom:
        if self.options.context_full != "ask":
            return MakeRoom(self.options.context_full)
        try:
            return await unless_stopped(self.stop, self.person.make_room(crowded))
        except Stopped:
            return MakeRoom.STOP

    async def _take(self, cut: Cut, before: int, after: int, note: str, emit: Sink) -> None:
        messages, old = self.conversation.messages, self.cut
        cut = replace(cut, at=len(messages), before=before, after=after)
        self.cuts.append(cut)
        capacity = self.capacity
        await emit(told(messages, old, cut, capacity.context if capacity else 0, note))

    async def _summary(self, end: int, instruction: str, emit: Sink) -> str:
        """The model's summary of the messages before `end` that it is shown now; "" for none.

        Where they do not fit the context at once, summaries are summed up.
        """
        capacity = self.capacity
        assert capacity is not None
        messages, cut = self.conversation.messages, self.cut
        request = Message(Role.USER, " ".join(filter(None, [SUMMARY_REQUEST + _DETAILS, instruction])))
        system = SystemPrompt(Effort.LOW, self.conversation.system.date)
        asking = Conversation(system, DeveloperPrompt(), [request])
        ends = [i for i in range(cut.first + 1, end) if messages[i].role is Role.USER] + [end]
        count = len(ends)
        try:
            room = capacity.context - _most_summary(capacity) - await fixed_tokens(self.renderer, asking)
            lengths = await lengths_of(
                self.renderer, [*whole_and_shortened(messages[cut.first : end]), request]
            )
            while ends and not self.stop.is_set():
                lengths |= await self._lengths(cut)
                parts = _Parts(messages, cut, request, lengths)
                fitting = bisect_right(ends, room, key=parts.length)
                end_of_part = ends[max(0, fitting - 1)]
                part = parts.until(end_of_part)
                if not fitting:
                    part = await self._squeezed(part, room)
                summary = await self._write(replace(asking, messages=part), count, emit)
                if not summary:
                    return ""
                cut = replace(cut, first=end_of_part, within=0, summary=summary)
                del ends[: max(1, fitting)]
        except EngineDied:
            raise
        except EngineError:
            return ""
        return cut.summary if not self.stop.is_set() else ""

    async def _squeezed(self, messages: list[Message], most: int) -> list[Message]:
        """The messages with the middle of their texts left out, as far as it takes them to fit."""
        share = 1.0
        squeezed = messages
        while (length := sum(await self.renderer.measure(squeezed))) > most and share > 1e-6:
            share *= 0.9 * min(1.0, most / length)
            squeezed = [
                replace(m, text=excerpt(m.text, max(100, int(len(m.text) * share)))) for m in messages
            ]
        return squeezed

    async def _write(self, asking: Conversation, count: int, emit: Sink) -> str:
        """One summary from the model, without reasoning and tools; "" when it wrote none, or was stopped."""
        prompt = await self.renderer.render(asking, Channel.FINAL)
        capacity, control = self.capacity, self.renderer.control
        assert capacity is not None
        most = max(1, min(_most_summary(capacity), capacity.context - len(prompt)))
        sampling = replace(self.options.sampling, seed=self.next_seed(), max_tokens=most)
        constraint = grammar(control, _NO_CALLS, channel=Channel.FINAL)
        parser = Parser(self.renderer.table, recipients=_NO_CALLS, channel=Channel.FINAL)
        request = Request(tuple(prompt), sampling, control.stops, constraint)
        written: list[Message] = []
        sample = Sample(str, written.append)
        self.samples.append(sample)
        await emit(events.Compacting(count, 0))
        if not self.stop.is_set():
            progress = partial(self._tell, sample, count, emit)
            await sample.run(self.engine, request, parser, control, progress)
        if self.stop.is_set() or sample.reason in ("cancelled", "repetition"):
            return ""
        return "\n\n".join(message.text for message in written if message.channel is Channel.FINAL).strip()

    async def _tell(self, sample: Sample, count: int, emit: Sink, event: events.Event) -> None:
        match event:
            case events.Prefill():
                await emit(event)
            case events.OutputDelta():
                await emit(events.Compacting(count, sample.sampled_tokens))

    async def _lengths(self, cut: Cut) -> dict[Message, int]:
        return await lengths_of(self.renderer, summed_up(cut))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The messages from `cut` on, up to a place, with the request to sum them up."""

    messages: Sequence[Message]
    cut: Cut
    request: Message
    lengths: Mapping[Message, int]

    def until(self, end: int) -> list[Message]:
        return remembered([*shown(self.messages[:end], self.cut), self.request])

    def length(self, end: int) -> int:
        return sum(self.lengths[message] for message in self.until(end))


def told(messages: Sequence[Message], old: Cut, cut: Cut, context: int, note: str = "") -> events.ContextCut:
    """The event that tells the person of `cut`, which came after `old`."""
    gone = [*messages[old.first : cut.first], *messages[max(old.within, cut.first + 1) : cut.within]]
    questions = [message.text for message in gone if message.role is Role.USER]
    return events.ContextCut(
        tuple(" ".join(text[:_LINE].split()) for text in questions),
        len(gone),
        _outputs(messages, old, cut),
        cut.summary if cut.summary != old.summary else "",
        cut.before,
        cut.after,
        context,
        note,
    )


def _outputs(messages: Sequence[Message], old: Cut, cut: Cut) -> int:
    """The number of outputs that `cut` shortens and `old` did not, as far as they are still shown."""
    return sum(shortened(m) != m for m in messages[max(old.outputs, cut.first) : cut.outputs])


def _most_summary(capacity: Capacity) -> int:
    return max(1, min(MOST_SUMMARY, capacity.context // 8))
