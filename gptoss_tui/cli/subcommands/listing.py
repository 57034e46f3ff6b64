"""The listing of a conversation's tokens: those of the rendered prompt, or those of every sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...harmony.message import Channel, Message, Role
from ...harmony.render import remembered, render, render_message
from ...harmony.vocabulary import Tokenizer
from .anatomy import Segment, dissect, read_sample
from .formatter import COLOURS, TokenFormatter, count, title
from .inspection import Inspection


def read_samples(inspection: Inspection, tokenizer: Tokenizer) -> Iterator[list[Segment]]:
    """The messages that the parser reads in each sample of the conversation."""
    for sample in inspection.sampled:
        names = {f"functions.{function.name}" for function in sample.developer.functions}
        names |= {"python"} if sample.system.python else set()
        names |= (
            {f"browser.{name}" for name in ("search", "open", "find")} if sample.system.browser else set()
        )
        recipients = frozenset(names)
        yield read_sample(sample.ids, tokenizer, recipients=recipients, channel=sample.channel)


def rendered_lines(inspection: Inspection, tokenizer: Tokenizer, formatter: TokenFormatter) -> Iterator[str]:
    """The whole prompt, message by message; the messages left out of it stand marked in their places."""
    segments = dissect(render(inspection.conversation, tokenizer), tokenizer)
    messages = inspection.conversation.messages
    rendered = remembered(messages)
    first = len(segments) - 1 - len(rendered)
    for segment in segments[:first]:
        yield from _segment_lines(segment, formatter)
    rest = iter(segments[first:])
    rendered_ids = {id(message) for message in rendered}
    dropped: list[Segment] = []
    for message in messages:
        if id(message) in rendered_ids:
            yield from _segment_lines(next(rest), formatter)
        else:
            (segment,) = dissect(render_message(message, tokenizer), tokenizer)
            dropped.append(segment)
            yield formatter.heading(
                f"dropped: {title(segment)}", f"{count(len(segment.pieces))}, left out", "9"
            )
            yield from formatter.lines(segment, dropped=True)
            yield ""
    for segment in rest:
        yield from _segment_lines(segment, formatter, " · the model goes on from here")
    yield from _summary(segments, dropped, messages, tokenizer, formatter)
    if inspection.note:
        yield inspection.note


def _segment_lines(segment: Segment, formatter: TokenFormatter, remark: str = "") -> Iterator[str]:
    yield formatter.heading(
        title(segment) + remark, count(len(segment.pieces)), COLOURS.get(segment.style, "")
    )
    yield from formatter.lines(segment)
    yield ""


def _summary(
    segments: Sequence[Segment],
    dropped: Sequence[Segment],
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    formatter: TokenFormatter,
) -> Iterator[str]:
    """The totals, the tokens dropped by now and those to be dropped next, and the legend."""
    yield from _totals(segments, formatter)
    if dropped:
        total = sum(len(segment.pieces) for segment in dropped)
        yield f"Dropped: {count(total)} of the analysis in answered turns. The model never sees them again."
    later = {id(message) for message in remembered([*messages, Message(Role.USER, "")])}
    leaving = [message for message in remembered(messages) if id(message) not in later]
    if total := sum(len(render_message(message, tokenizer)) for message in leaving):
        yield f"Once you go on, {count(total)} of the analysis above will be dropped too."
    yield from _legend(formatter)


def _totals(segments: Sequence[Segment], formatter: TokenFormatter) -> Iterator[str]:
    tally = Counter(dict.fromkeys(COLOURS, 0))
    for segment in segments:
        tally[segment.style] += len(segment.pieces)
    structure = sum(piece.kind in ("control", "header") for segment in segments for piece in segment.pieces)
    parts = [
        formatter.paint(f"{style} {number:,}", COLOURS[style]) for style, number in tally.items() if number
    ]
    yield f"{count(tally.total())}: {', '.join(parts)}."
    yield f"{structure:,} of them are control and header tokens."


def _legend(formatter: TokenFormatter) -> Iterator[str]:
    yield "Analysis is raw reasoning: nobody has moderated it."
    signs = "· blank, ⏎ new line, ⇥ tab, \\xe2 part of a character"
    yield (
        f"{formatter.paint('control', '1')}, {formatter.paint('header', '2')}, {signs}"
        if formatter.colour
        else signs
    )


def sampled_lines(inspection: Inspection, tokenizer: Tokenizer, formatter: TokenFormatter) -> Iterator[str]:
    """Every sample, token by token; a repair stands under the token at which the parser made it."""
    repairs = 0
    everything: list[Segment] = []
    read = zip(inspection.sampled, read_samples(inspection, tokenizer), strict=True)
    for number, (sample, segments) in enumerate(read, 1):
        ended = {"stop": "ended by itself"}.get(sample.reason, sample.reason or "broken off")
        yield formatter.paint(f"Sample {number}, {ended}, after {count(sample.first, 'message')}", "1")
        if sample.channel is not None:
            header = f"<|channel|>{Channel(sample.channel).value}<|message|>"
            yield f"The prompt had already written {header}"
        yield ""
        for segment in segments:
            yield from _segment_lines(segment, formatter)
        everything += segments
        repairs += sum(len(piece.repairs) for segment in segments for piece in segment.pieces)
    yield from _totals(everything, formatter)
    yield f"{count(repairs, 'repair')} made in reading them." if repairs else "All of it was well formed."
    yield from _legend(formatter)
