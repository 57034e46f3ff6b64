"""A conversation as a listing of its tokens: the prompt as it is rendered, or what was sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...harmony.message import Channel, Message, Role
from ...harmony.render import remembered, render, render_message
from ...harmony.vocabulary import Tokenizer
from .anatomy import Block, dissect, read_sample
from .held import Held
from .page import COLOURS, Page, count, title


def read_samples(held: Held, tokenizer: Tokenizer) -> Iterator[list[Block]]:
    """Each sample of the conversation as the parser reads it."""
    for one in held.sampled:
        names = {f"functions.{function.name}" for function in one.developer.functions}
        names |= {"python"} if one.system.python else set()
        names |= {f"browser.{name}" for name in ("search", "open", "find")} if one.system.browser else set()
        recipients = frozenset(names)
        yield read_sample(one.ids, tokenizer, recipients=recipients, channel=one.channel)


def rendered_lines(held: Held, tokenizer: Tokenizer, page: Page) -> Iterator[str]:
    """The whole prompt, message by message, with what is left out of it at its place."""
    blocks = dissect(render(held.conversation, tokenizer), tokenizer)
    messages = held.conversation.messages
    kept = remembered(messages)
    first = len(blocks) - 1 - len(kept)
    for block in blocks[:first]:
        yield from _block_lines(block, page)
    rest = iter(blocks[first:])
    kept_ids = {id(message) for message in kept}
    dropped: list[Block] = []
    for message in messages:
        if id(message) in kept_ids:
            yield from _block_lines(next(rest), page)
        else:
            (block,) = dissect(render_message(message, tokenizer), tokenizer)
            dropped.append(block)
            yield page.heading(f"dropped: {title(block)}", f"{count(len(block.pieces))}, left out", "9")
            yield from page.block(block, dropped=True)
            yield ""
    for block in rest:
        yield from _block_lines(block, page, " · the model goes on from here")
    yield from _summary(blocks, dropped, messages, tokenizer, page)
    if held.note:
        yield held.note


def _block_lines(block: Block, page: Page, said: str = "") -> Iterator[str]:
    yield page.heading(title(block) + said, count(len(block.pieces)), COLOURS.get(block.style, ""))
    yield from page.block(block)
    yield ""


def _summary(
    blocks: Sequence[Block],
    dropped: Sequence[Block],
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    page: Page,
) -> Iterator[str]:
    """Totals, what was forgotten, what will be, and the signs on the page."""
    yield from _totals(blocks, page)
    if dropped:
        gone = sum(len(block.pieces) for block in dropped)
        yield f"Dropped: {count(gone)} of the analysis in answered turns. The model never sees them again."
    kept = remembered(messages)
    later = {id(message) for message in remembered([*messages, Message(Role.USER, "")])}
    leaving = sum(len(render_message(one, tokenizer)) for one in kept if id(one) not in later)
    if leaving:
        yield f"Once you go on, {count(leaving)} of the analysis above will be dropped too."
    yield from _legend(page)


def _totals(blocks: Sequence[Block], page: Page) -> Iterator[str]:
    tally = Counter(dict.fromkeys(COLOURS, 0))
    for block in blocks:
        tally[block.style] += len(block.pieces)
    structure = sum(piece.kind in ("control", "header") for block in blocks for piece in block.pieces)
    parts = [page.paint(f"{style} {number:,}", COLOURS[style]) for style, number in tally.items() if number]
    yield f"{count(tally.total())}: {', '.join(parts)}."
    yield f"{structure:,} of them are control and header tokens."


def _legend(page: Page) -> Iterator[str]:
    yield "Analysis is raw reasoning: nobody has moderated it."
    signs = "· blank, ⏎ new line, ⇥ tab, \\xe2 part of a character"
    yield f"{page.paint('control', '1')}, {page.paint('header', '2')}, {signs}" if page.colour else signs


def sampled_lines(held: Held, tokenizer: Tokenizer, page: Page) -> Iterator[str]:
    """Every sample as the model wrote it; a repair stands under the token at which it was made."""
    repairs = 0
    every: list[Block] = []
    read = zip(held.sampled, read_samples(held, tokenizer), strict=True)
    for number, (sample, blocks) in enumerate(read, 1):
        ended = {"stop": "ended by itself"}.get(sample.reason, sample.reason or "broken off")
        yield page.paint(f"Sample {number}, {ended}, after {count(sample.first, 'message')}", "1")
        if sample.channel is not None:
            begun = f"<|channel|>{Channel(sample.channel).value}<|message|>"
            yield f"The prompt had already written {begun}"
        yield ""
        for block in blocks:
            yield from _block_lines(block, page)
        every += blocks
        repairs += sum(len(piece.repairs) for block in blocks for piece in block.pieces)
    yield from _totals(every, page)
    yield f"{count(repairs, 'repair')} made in reading them." if repairs else "All of it was well formed."
    yield from _legend(page)
